"""Files inside the disks of a point: found, shown, fetched; nothing is ever mounted."""
