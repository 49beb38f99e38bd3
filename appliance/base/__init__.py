"""Row 0: errors, progress, clock, durable files, locks, processes. No domain words."""
