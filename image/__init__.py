"""Disks of real Debian for the demo and the tests, and the page's modules. No part of appliance."""
