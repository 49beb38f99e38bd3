"""Row 7: what helps somebody who helps. Sends nothing anywhere."""
