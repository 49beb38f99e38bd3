"""Row 6: which points stay. Owns the rules of retention; never deletes by itself."""
