"""Scrubbing: every container is read again within so many days, a share at each call.

Owns `scrub.json`: when the containers of each of the 256 folders were last read, how far the folder
in work is, and how much is owed. Names are hashes, so folders are alike and their number measures
the work. The file is derived: without it everything counts as never read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from appliance.base import durable
from appliance.base.clock import Clock
from appliance.base.errors import NoSpaceError
from appliance.base.locks import FileLock
from appliance.base.pace import Pace
from appliance.base.progress import Progress
from appliance.store.checks import Checked, ContainerCheck, Fault, check_all
from appliance.store.containers import container_name, folder_names, list_folders
from appliance.store.findings import CONTAINER, Record, quarantined, read_findings
from appliance.store.impact import Assessment
from appliance.store.quarantine import Quarantine, give_back
from appliance.store.store import Store

FOLDERS = 256
_DAY_S = 24 * 3600
_SAVE_EVERY_S = 30.0


@dataclass(frozen=True)
class Memory:
    """What earlier calls left. Times in seconds since the epoch; 0 = never."""

    read_s: dict[str, int] = field(default_factory=dict)
    """Folder -> when the last of its containers was read."""
    folder: str = ""
    """The folder in work, and the last container of it that was read."""
    after: bytes = b""
    owed: float = 0.0
    """Folders that were due and have not been read yet."""
    called_s: int = 0
    walked_s: int = 0
    """When the maps of all points were last followed."""

    def encode(self) -> bytes:
        """As `scrub.json` holds it."""
        return json.dumps({"format": 1, **self.__dict__, "after": self.after.hex()}).encode()

    @classmethod
    def decode(cls, data: bytes) -> Memory:
        """What `encode` made; anything else is an empty memory."""
        try:
            raw: dict[str, Any] = json.loads(data)
            return cls(
                {str(name): int(at) for name, at in raw["read_s"].items()},
                str(raw["folder"]),
                bytes.fromhex(raw["after"]),
                float(raw["owed"]),
                int(raw["called_s"]),
                int(raw["walked_s"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            return cls()


@dataclass(frozen=True)
class Scrubbed:
    """What one call did."""

    read_containers: int
    read_bytes: int
    faults: tuple[Fault, ...]
    repaired: frozenset[bytes]
    """The containers of `faults` that are whole again."""
    is_finished: bool
    """Whether all that was due was read."""
    oldest_read_s: int
    """Since when every container has been read, in seconds since the epoch; 0 = not yet."""
    assessment: Assessment | None
    """Of the points that were looked at."""
    record: Record


class Scrub:
    """One call. Only one at a time per store: a second raises BusyError."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        progress: Progress,
        *,
        days: float = 30,
        bytes_per_s: float | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._progress = progress
        self._days = days
        self._pace = Pace(clock, bytes_per_s)
        self._quarantine = Quarantine(store, clock.now(), progress)
        self._check = ContainerCheck(store.layout, store.keys, "full")
        self._faults: dict[bytes, Fault] = {}
        self._containers = 0
        self._bytes = 0
        self._saved_s = clock.monotonic_s()
        self._memory = Memory()

    def run(self, *, is_all: bool = False, for_s: float | None = None) -> Scrubbed:
        """Read what is due, or everything; treat what is damaged. Durable on return.

        `for_s` ends the reading after so many seconds; the rest stays due.
        """
        busy = "another scrub is running: wait until it has ended"
        with FileLock(self._store.layout.locks / "scrub", wait=False, busy=busy):
            self._load(is_all=is_all)
            until_s = None if for_s is None else self._clock.monotonic_s() + for_s
            give_back(self._store.layout)
            in_place = self._read_again()
            try:
                is_finished = self._read(until_s)
                assessment = self._treat(in_place, is_all=is_all)
            except BaseException:
                # Damage that was seen and not treated must be seen again.
                for name in self._faults:
                    self._memory.read_s.pop(name.hex()[:2], None)
                self._memory = replace(self._memory, folder="", after=b"")
                raise
            finally:
                self._save()
        return self._result(assessment, is_finished=is_finished)

    def _result(self, assessment: Assessment | None, *, is_finished: bool) -> Scrubbed:
        folders = list_folders(self._store.layout)
        return Scrubbed(
            read_containers=self._containers,
            read_bytes=self._bytes,
            faults=tuple(self._faults.values()),
            repaired=frozenset(self._quarantine.repaired),
            is_finished=is_finished,
            oldest_read_s=min((self._memory.read_s.get(name, 0) for name in folders), default=0),
            assessment=assessment,
            record=read_findings(self._store.layout),
        )

    # ---- what is due ----

    def _now_s(self) -> int:
        return int(self._clock.now().timestamp())

    def _load(self, *, is_all: bool) -> None:
        try:
            memory = Memory.decode(self._store.layout.scrub.read_bytes())
        except OSError:
            memory = Memory()
        now_s = self._now_s()
        # A clock that went back owes nothing; one that jumped ahead owes one pass at most.
        passed_s = now_s - memory.called_s if memory.called_s else _DAY_S
        owed = memory.owed + max(passed_s, 0) / _DAY_S / self._days * FOLDERS
        owed = float(FOLDERS) if is_all else min(owed, float(FOLDERS))
        self._memory = replace(memory, owed=owed, called_s=now_s)

    def _save(self) -> None:
        try:
            durable.write_file(self._store.layout.scrub, self._memory.encode())
        except NoSpaceError:
            return  # it is read again
        self._saved_s = self._clock.monotonic_s()

    def _due(self) -> Iterator[str]:
        """Folders, the one in work first, then the least recently read."""
        order = sorted(
            list_folders(self._store.layout),
            key=lambda name: (
                name != self._memory.folder,
                self._memory.read_s.get(name, 0),
                name,
            ),
        )
        for name in order:
            if self._memory.owed <= 0:
                return
            yield name

    # ---- reading ----

    def _read(self, until_s: float | None) -> bool:
        total = None
        self._progress.phase("reading containers", total=total)
        for folder in self._due():
            after = self._memory.after if folder == self._memory.folder else b""
            names = [name for name in folder_names(self._store.layout, folder) if name > after]
            self._memory = replace(self._memory, folder=folder, after=after)
            for checked in check_all(names, self._check.check, self._progress):
                self._note(checked)
                self._memory = replace(self._memory, after=checked.name)
                if until_s is not None and self._clock.monotonic_s() >= until_s:
                    return False
                if self._clock.monotonic_s() - self._saved_s > _SAVE_EVERY_S and not self._faults:
                    self._save()
            self._memory.read_s[folder] = self._now_s()
            self._memory = replace(self._memory, folder="", after=b"", owed=self._memory.owed - 1)
        return True

    def _note(self, checked: Checked) -> None:
        self._containers += 1
        self._bytes += checked.size_bytes
        if checked.fault is not None:
            self._faults[checked.name] = checked.fault
        self._pace.spend(checked.size_bytes, self._progress)

    def _read_again(self) -> list[Fault]:
        """What is known to be damaged and is still in its place."""
        aside = set(quarantined(self._store.layout))
        known = []
        for finding in read_findings(self._store.layout).findings:
            name = container_name(finding.what.removeprefix(CONTAINER))
            if name is not None and name not in aside:
                known.append(name)
        checked = check_all(known, self._check.check, self._progress)
        return [one.fault for one in checked if one.fault is not None]

    def _treat(self, in_place: list[Fault], *, is_all: bool) -> Assessment | None:
        found = [*self._faults.values(), *in_place]
        record = read_findings(self._store.layout)
        is_walk_due = is_all or self._now_s() - self._memory.walked_s >= self._days * _DAY_S
        if found or is_walk_due or record.hurt is None:
            assessment = self._quarantine.treat(found)
            self._memory = replace(self._memory, walked_s=self._now_s())
            return assessment
        if record.findings or record.hurt:
            return self._quarantine.look_again()
        return None
