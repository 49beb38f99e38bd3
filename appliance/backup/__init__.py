"""Row 6: a source becomes a recovery point."""
