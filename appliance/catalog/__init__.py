"""Row 5: SQLite. Knows quickly what is slow to find out; never the only copy of anything."""
