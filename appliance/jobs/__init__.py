"""Row 7: long actions: verbs, the queue, worker processes, their progress and log."""
