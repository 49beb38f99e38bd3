"""The log of a drill or a failover: a text file that grows line by line, for people.

Owns the file. What was decided is in records; this says how it came about.
"""

from __future__ import annotations

import threading
from pathlib import Path

from appliance.base.clock import Clock
from appliance.base.durable import named_os_errors
from appliance.base.text import printable
from appliance.formats.names import format_time


class Journal:
    """Appends lines to `path`. From any thread; each line is there when `say` returns."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Add a line with the time."""
        time = format_time(self._clock.now().replace(microsecond=0))
        with self._lock, named_os_errors(self.path), self.path.open("a") as file:
            file.write(f"{time}  {printable(text)}\n")
