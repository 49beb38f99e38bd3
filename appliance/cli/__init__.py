"""Row 10: the command line. Parses, builds the objects, calls, prints. No logic."""
