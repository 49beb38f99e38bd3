"""Holds: points that nobody may forget, neither by hand nor by policy, until they are released.

One sealed record per held point. A hold that ends by itself ends only if the clock is believed;
a damaged one holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from appliance.base.errors import BusyError, IntegrityError, NotFoundError
from appliance.base.text import printable
from appliance.formats.names import PointName, format_time
from appliance.formats.record import Hold, decode_hold, encode_hold
from appliance.store.records import Records
from appliance.store.timekeeping import Timekeeper

_FOLDER = "holds"
_SUFFIX = ".hold"


class Holds:
    """The holds of one store. Points are named by their label, `FOLDER-TIME`."""

    def __init__(self, records: Records, timekeeper: Timekeeper) -> None:
        self._records = records
        self._timekeeper = timekeeper

    def labels(self) -> Iterator[str]:
        """The label of each point that has a hold, also one that has ended."""
        for place in self._records.places(_FOLDER, _SUFFIX):
            yield place.removeprefix(f"{_FOLDER}/").removesuffix(_SUFFIX)

    def find(self, label: str) -> Hold | None:
        """The hold of a point that has not ended. Raises IntegrityError if it is damaged."""
        data = self._records.read(_place(label))
        hold = None if data is None else decode_hold(data)
        if hold is None or self._has_ended(hold):
            return None
        return hold

    def shield(self, label: str) -> str | None:
        """Why a point must stay, with the way out; None if nothing holds it."""
        try:
            hold = self.find(label)
        except IntegrityError as error:
            return f"held, although {error}"
        if hold is None:
            return None
        until = "" if hold.until is None else f" until {format_time(hold.until)}"
        reason = f" ({printable(hold.reason)})" if hold.reason else ""
        return f"held{until}{reason}"

    def refuse_if_held(self, label: str, name: PointName) -> None:
        """Raise BusyError if something holds the point."""
        shield = self.shield(label)
        if shield is not None:
            raise BusyError(
                f"{name} is {shield}: 'holdfast release {name}' first", code="point-held"
            )

    def put(self, label: str, name: PointName, reason: str, until: datetime | None) -> Hold:
        """Hold a point, durably on return, in place of a hold it may have had.

        The caller holds the commit lock and knows that the point is there.
        """
        hold = Hold(name, self._timekeeper.now(), until, reason)
        self._records.write(_place(label), encode_hold(hold))
        return hold

    def remove(self, label: str, name: PointName) -> None:
        """Take the hold away, durably on return, damaged or not. Raises NotFoundError."""
        if not self._records.path(_place(label)).exists():
            raise NotFoundError(f"{name} is not held: 'holdfast points' shows what is")
        self._records.remove(_place(label))

    def _has_ended(self, hold: Hold) -> bool:
        if hold.until is None or hold.until > self._timekeeper.now():
            return False
        return self._timekeeper.doubt() is None


def _place(label: str) -> str:
    return f"{_FOLDER}/{label}{_SUFFIX}"
