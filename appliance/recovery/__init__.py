"""Row 6: a point becomes useful: restored, mounted, booted. Never writes to the store."""
