"""Row 9: the box as one process: what runs in it, and how it begins and ends."""
