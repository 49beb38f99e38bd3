"""Row 7: recovery rehearsed and carried out: drills, their records and report, runbooks."""
