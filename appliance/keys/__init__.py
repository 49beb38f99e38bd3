"""Row 2: the master key, what is derived from it, and where it comes from. Never prints a key."""
