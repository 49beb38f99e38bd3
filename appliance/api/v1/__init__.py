"""Version 1: each module owns the routes, the handlers and the types of the folders it names."""
