"""Disks, arrays and the box on a real kernel: a guest under QEMU, or a bench of real machines."""
