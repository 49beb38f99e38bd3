"""What a machine is promised: when it is backed up, and how far it may fall behind."""
