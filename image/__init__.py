"""Disks made of real Debian for the demo and the tests. No part of the appliance package."""
