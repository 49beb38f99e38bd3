"""The records of machines and of what they are promised: read once, and when they change.

Owns where they lie (docs/format/record.md) and the life of a machine: added, paused, resumed,
retired. A machine's own protection takes the place of the default as a whole. It starts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from appliance.base import durable
from appliance.base.clock import wall_ns
from appliance.base.errors import IntegrityError, NotFoundError, UsageError
from appliance.formats.names import format_time
from appliance.formats.protection import (
    NOTHING,
    MachineRecord,
    Protection,
    State,
    check_protection,
    decode_machine,
    decode_protection,
    encode_machine,
    encode_protection,
)
from appliance.policies.slots import check_schedule
from appliance.store.points import Points
from appliance.store.records import Records

_DEFAULT = "default"
_SETTLED_NS = 2 * 10**9
_Record = TypeVar("_Record", Protection, MachineRecord)


@dataclass(frozen=True)
class Entry:
    """A machine with what it is promised."""

    machine: MachineRecord
    protection: Protection

    @property
    def is_scheduled(self) -> bool:
        """Whether backups of it begin by themselves."""
        found = self.machine
        return found.state == "active" and bool(found.sources) and bool(self.protection.schedule)


class Book:
    """The records of one store. Reading again costs two looks at folders while nothing changes."""

    def __init__(self, points: Points) -> None:
        self._points = points
        records = points.records
        self._machines: _Folder[MachineRecord] = _Folder(
            records, "machines", ".machine", decode_machine
        )
        self._protections: _Folder[Protection] = _Folder(
            records, "policies", ".protection", decode_protection
        )

    @property
    def reads(self) -> int:
        """How many records were opened so far."""
        return self._machines.reads + self._protections.reads

    def version(self) -> tuple[int, int, str]:
        """Changes whenever a record does, or the name of a machine."""
        names = self._points.names.refresh()
        return self._machines.refresh(), self._protections.refresh(), names

    def troubles(self) -> list[str]:
        """What is wrong with records that cannot be read; they count as missing."""
        self.version()
        name = self._points.names.trouble
        found = [*self._machines.troubles.values(), *self._protections.troubles.values()]
        return found if name is None else [name, *found]

    def entries(self) -> Iterator[Entry]:
        """Every machine that has a record, by name; what is damaged promises nothing."""
        self.version()
        records = map(self._show, self._machines.found.values())
        for record in sorted(records, key=lambda found: found.machine):
            try:
                protection = self._protection_of(self._folder(record.machine))
            except IntegrityError:
                protection = NOTHING
            yield Entry(record, protection)

    def has_points(self, machine: str) -> bool:
        """Whether there is anything to recover a machine from, here or in a vault."""
        return bool(self._points.all_files(machine))

    # ---- machines ----

    def find(self, machine: str) -> MachineRecord | None:
        """What is known of a machine. Raises IntegrityError if its record is damaged."""
        self.version()
        found = self._machines.get(self._folder(machine))
        return None if found is None else self._show(found)

    def put(self, record: MachineRecord) -> None:
        """Keep what is known of a machine, durably on return."""
        self._machines.put(self._folder(record.machine), encode_machine(record))

    def set_state(self, machine: str, state: State, now: datetime) -> MachineRecord:
        """Pause, resume or retire a machine, durably on return."""
        found = self.find(machine)
        since = format_time(now.replace(microsecond=0))
        if found is None:
            found = MachineRecord(machine=machine, since=since)
        if found.state == state:
            raise UsageError(f"{machine} is {state} already", code="machine-state")
        record = msgspec.structs.replace(found, state=state, since=since)
        self.put(record)
        return record

    def set_name(self, machine: str, new: str, now: datetime) -> MachineRecord:
        """Call a machine `new` from now on, durably on return.

        Raises UsageError if another machine is or was called so.
        """
        names = self._points.names
        is_own = names.first(new) == names.first(machine)
        if not is_own and (
            self.find(new) is not None
            or self.own(new) is not None
            or self._points.all_files(new)
            or self._points.policies.find(new) is not None
        ):
            raise UsageError(
                f"there is a machine '{new}' already: choose another name", code="machine-exists"
            )
        found = self.find(machine)
        since = format_time(now.replace(microsecond=0))
        if found is None:
            found = MachineRecord(machine=machine, since=since)
        names.set_name(machine, new)
        # Its schedule goes on under the new name: what was answered under the old one stays so.
        record = msgspec.structs.replace(found, machine=new, since=since)
        self.put(record)
        return record

    # ---- what they are promised ----

    def of(self, machine: str) -> Protection:
        """What holds for a machine. Raises IntegrityError for a damaged record."""
        self.version()
        return self._protection_of(self._folder(machine))

    def of_folder(self, folder: str) -> Protection:
        """The same, by the folder of its points."""
        self.version()
        return self._protection_of(folder)

    def own(self, machine: str | None) -> Protection | None:
        """What was set for just this machine, or (None) for all others."""
        self.version()
        return self._protections.get(self._folder(machine))

    def protections(self) -> list[Protection]:
        """Everything that was set, the default first."""
        self.version()
        found = [
            one
            if one.machine is None
            else msgspec.structs.replace(one, machine=self._name(one.machine))
            for one in self._protections.found.values()
        ]
        return sorted(found, key=lambda one: one.machine or "")

    def set(self, protection: Protection, now: datetime) -> Protection:
        """Put a protection in place of what was there, durably on return. Raises UsageError."""
        check_protection(protection)
        check_schedule(protection.schedule, protection.blackout)
        check_schedule(protection.drill)
        since = format_time(now.replace(microsecond=0))
        with suppress(IntegrityError):
            before = self.own(protection.machine)
            if before is not None and _same_slots(before, protection):
                since = before.since  # a slot that is due stays due
        protection = msgspec.structs.replace(protection, since=since)
        self._protections.put(self._folder(protection.machine), encode_protection(protection))
        return protection

    def clear(self, machine: str | None) -> None:
        """Take a protection away, durably on return. Raises NotFoundError if there is none."""
        if not self._protections.remove(self._folder(machine)):
            raise NotFoundError("there is no such policy: 'holdfast policy show' lists them")

    def _protection_of(self, folder: str) -> Protection:
        return self._protections.get(folder) or self._protections.get(_DEFAULT) or NOTHING

    def _show(self, record: MachineRecord) -> MachineRecord:
        """With the name that the machine has today."""
        name = self._name(record.machine)
        return record if name == record.machine else msgspec.structs.replace(record, machine=name)

    def _name(self, machine: str) -> str:
        return self._points.names.current(machine)

    def _folder(self, machine: str | None) -> str:
        return _DEFAULT if machine is None else self._points.folder_of(machine)


def _same_slots(one: Protection, other: Protection) -> bool:
    return (one.schedule, one.drill) == (other.schedule, other.drill)


class _Folder(Generic[_Record]):
    """The records of one kind, kept in memory while their files stay as they are."""

    def __init__(
        self, records: Records, folder: str, suffix: str, decode: Callable[[bytes], _Record]
    ) -> None:
        self._records = records
        self._folder = folder
        self._suffix = suffix
        self._decode: Callable[[bytes], _Record] = decode
        self._stamp = -1
        self._version = 0
        self._stamps: dict[str, str] = {}
        self.found: dict[str, _Record] = {}
        self.troubles: dict[str, str] = {}
        self.reads = 0

    def refresh(self) -> int:
        """Read what changed; a number that grows when something did."""
        try:
            stamp = self._records.path(self._folder).stat().st_mtime_ns
        except FileNotFoundError:
            stamp = 0
        if stamp == self._stamp:
            return self._version
        # Within the grain of file times a second change would not show.
        self._stamp = stamp if wall_ns() - stamp > _SETTLED_NS else -1
        stamps = {
            place: self._records.stamp(place)
            for place in self._records.places(self._folder, self._suffix)
        }
        for place in self._stamps.keys() - stamps.keys():
            self.found.pop(self._stem(place), None)
            self.troubles.pop(self._stem(place), None)
        for place, file in stamps.items():
            if self._stamps.get(place) != file:
                self._read(place)
        if stamps != self._stamps:
            self._version += 1
        self._stamps = stamps
        return self._version

    def get(self, stem: str) -> _Record | None:
        """One record. Raises IntegrityError if it is damaged."""
        if stem in self.troubles:
            raise IntegrityError(self.troubles[stem])
        return self.found.get(stem)

    def put(self, stem: str, plain: bytes) -> None:
        place = f"{self._folder}/{stem}{self._suffix}"
        durable.make_directory(self._records.path(place).parent)
        self._records.write(place, plain)
        self._stamp = -1

    def remove(self, stem: str) -> bool:
        """Durably; whether there was one."""
        place = f"{self._folder}/{stem}{self._suffix}"
        if not self._records.path(place).exists():
            return False
        self._records.remove(place)
        self._stamp = -1
        return True

    def _read(self, place: str) -> None:
        stem = self._stem(place)
        self.found.pop(stem, None)
        self.troubles.pop(stem, None)
        self.reads += 1
        try:
            data = self._records.read(place)
            if data is not None:
                self.found[stem] = self._decode(data)
        except IntegrityError as error:
            self.troubles[stem] = str(error)

    def _stem(self, place: str) -> str:
        return place.removeprefix(f"{self._folder}/").removesuffix(self._suffix)
