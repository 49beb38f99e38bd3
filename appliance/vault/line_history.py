"""How fast the line to a vault was, minute by minute, so that a page can draw it.

Owns when a rate is written down: once a minute while something goes out, and the end of it. How
much of that is kept `catalog.measurements` decides: the older, the coarser.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from appliance.base.clock import Clock
from appliance.catalog.catalog import Catalog
from appliance.catalog.measurements import Measurements

STEP_S = 60.0
WHAT = "sent_bytes_per_s"
_ALWAYS = datetime.fromtimestamp(0, UTC)


class LineHistory:
    """What goes out to one vault from now on. Belongs to one event loop."""

    def __init__(self, measurements: Measurements, vault: str, clock: Clock) -> None:
        self._measurements = measurements
        self._subject = name_line(vault)
        self._clock = clock
        self._began: datetime | None = None  # None while nothing goes out
        self._began_s = 0.0
        self._sent_bytes = 0

    def note_sent(self, size_bytes: int) -> None:
        """So many bytes go out now."""
        if self._began is None or self._clock.monotonic_s() - self._began_s >= STEP_S:
            self._write_rate()
            self._began, self._began_s = self._clock.now(), self._clock.monotonic_s()
        self._sent_bytes += size_bytes

    def close(self) -> None:
        """Nothing goes out any more."""
        if self._began is not None:
            self._write_rate()
            self._measurements.note(self._subject, WHAT, self._clock.now(), 0.0)
        self._began = None

    def _write_rate(self) -> None:
        """What went out since it began, as of then; in less than a second there is no rate."""
        passed_s = self._clock.monotonic_s() - self._began_s
        if self._began is not None and passed_s >= 1.0:
            rate = round(self._sent_bytes / passed_s)
            self._measurements.note(self._subject, WHAT, self._began, rate)
        self._sent_bytes = 0


def name_line(vault: str) -> str:
    """What the line to a vault is called among measurements."""
    return f"line to {vault}"


def recall_line(state: Path, vault: str, since: datetime) -> Sequence[tuple[datetime, float]]:
    """The rates of the line to a vault since then, in bytes per second, oldest first.

    Each holds until the next; the last one until now.
    """
    with Catalog(state / "catalog.db") as catalog:
        values = Measurements(catalog).recall(name_line(vault), WHAT, _ALWAYS)
    before = [rate for time, rate in values if time < since]
    return [(since, rate) for rate in before[-1:]] + [one for one in values if one[0] >= since]
