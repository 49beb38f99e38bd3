"""Releases of the software side by side: signed updates, the one that runs, the way back."""
