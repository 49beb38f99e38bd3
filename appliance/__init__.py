"""Holdfast: backup and disaster recovery for a branch office."""

__version__ = "0.1.0"
