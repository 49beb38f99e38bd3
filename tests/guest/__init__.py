"""Virtual machines for tests: a Debian kernel with its modules, and an initial ramdisk."""
