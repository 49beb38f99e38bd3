"""Whether the clock may be believed: nothing is deleted because a clock jumped.

A sealed mark holds the time that was believed last, and how far the monotonic clock of that boot
was. While the machine stays up, time goes by as the monotonic clock says; over a restart nobody
knows how long the machine was off, so that may be long, but not longer than a few days. Otherwise
the clock is doubted, the mark stays, and nothing goes until the clock is set right or somebody
says that it is right.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta

from appliance.base.clock import Clock, boot_id
from appliance.base.errors import IntegrityError, NoSpaceError
from appliance.formats.names import PointName, format_time
from appliance.formats.record import (
    ClockMark,
    decode_clock_mark,
    decode_trash_note,
    encode_clock_mark,
)
from appliance.store.records import Records

# A clock that is set by hand or corrected by NTP moves by minutes, one in the wrong zone by hours.
TOLERANCE = timedelta(days=1)
# From Friday evening to Monday morning, and less than half of the default trash window.
OFF_MAX = timedelta(days=3)
_RENEW = timedelta(hours=1)
_PLACE = "clock.mark"
_WAY_OUT = "set the clock, or if it is right say so with 'holdfast prune --trust-clock'"


class Timekeeper:
    """Compares the clock with what was seen before."""

    def __init__(self, records: Records, clock: Clock, boot: str | None = None) -> None:
        self._records = records
        self._clock = clock
        self._boot = boot

    def now(self) -> datetime:
        """The clock's time in whole seconds, believed or not."""
        return self._clock.now().replace(microsecond=0)

    def now_ns(self) -> int:
        """The clock's time as files carry it, believed or not."""
        return round(self._clock.now().timestamp() * 10**6) * 1000

    def latest(self) -> datetime:
        """The clock's time, or what it should be if it went back: windows begin here."""
        try:
            mark = self._read()
        except IntegrityError:
            mark = None
        return self.now() if mark is None else max(self.now(), expected_time(mark, self._present()))

    def doubt(self) -> str | None:
        """Why the clock must not be believed, with the way out; None if it may."""
        try:
            mark = self._read() or self._witness()
        except IntegrityError as error:
            return f"the clock cannot be checked, {error}: {_WAY_OUT}"
        return None if mark is None else doubt_of(mark, self._present())

    def note(self) -> None:
        """Remember the time, if it is believed; without room on the disk it is left."""
        with contextlib.suppress(IntegrityError, NoSpaceError):
            mark, present = self._read() or self._witness(), self._present()
            if mark is None:
                self._write(present)
            elif doubt_of(mark, present) is None:
                expected = expected_time(mark, present)
                if mark.boot != present.boot or expected - mark.time >= _RENEW:
                    self._write(ClockMark(expected, present.boot, present.monotonic_s))

    def trust(self) -> None:
        """Believe the clock as it is from now on: somebody who knows said so."""
        self._write(self._present())

    def _present(self) -> ClockMark:
        if self._boot is None:
            self._boot = boot_id()
        return ClockMark(self.now(), self._boot, round(self._clock.monotonic_s(), 3))

    def _read(self) -> ClockMark | None:
        data = self._records.read(_PLACE)
        return None if data is None else decode_clock_mark(data)

    def _witness(self) -> ClockMark | None:
        """In place of a mark that is gone: the latest time that points and records give."""
        times = [
            time
            for place in self._records.places("trash", ".note")
            for time in self._forgotten(place)
        ]
        for path in self._records.path("points").glob("*/*.point"):
            with contextlib.suppress(IntegrityError):
                times.append(PointName.from_file_time("", path.stem).time)
        return ClockMark(max(times), "", 0.0) if times else None

    def _forgotten(self, place: str) -> Iterator[datetime]:
        with contextlib.suppress(IntegrityError):
            data = self._records.read(place)
            if data is not None:
                yield decode_trash_note(data).forgotten

    def _write(self, mark: ClockMark) -> None:
        self._records.write(_PLACE, encode_clock_mark(mark))


def expected_time(mark: ClockMark, present: ClockMark) -> datetime:
    """What time it should be now: in the same boot what the monotonic clock says.

    Were the wall clock taken instead, many small jumps would add up to a large one unseen.
    """
    if mark.boot != present.boot:
        return max(mark.time, present.time)
    passed_s = int(max(present.monotonic_s - mark.monotonic_s, 0.0))
    return mark.time + timedelta(seconds=passed_s)


def doubt_of(mark: ClockMark, present: ClockMark) -> str | None:
    """Why `present` cannot be believed after `mark`, or None."""
    is_same_boot = mark.boot == present.boot
    expected = expected_time(mark, present) if is_same_boot else mark.time
    ahead = present.time - expected
    if -TOLERANCE <= ahead <= (TOLERANCE if is_same_boot else OFF_MAX):
        return None
    return (
        f"the clock says {format_time(present.time)}, which is "
        f"{'behind' if ahead < timedelta() else 'far beyond'} the {format_time(expected)} "
        f"{'expected' if is_same_boot else 'seen last'}: {_WAY_OUT}"
    )
