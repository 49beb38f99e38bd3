"""Power cuts on a real kernel: recorded in a guest, cut and looked at on the host."""
