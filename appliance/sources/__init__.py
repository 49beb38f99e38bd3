"""Row 4: where data comes from. Never knows where it goes."""
