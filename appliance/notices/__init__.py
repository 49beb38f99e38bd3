"""Findings leave the box: by mail and by signed webhook."""
