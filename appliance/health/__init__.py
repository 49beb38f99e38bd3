"""Row 6: disks, arrays and the box become findings. Never writes to a disk's data."""
