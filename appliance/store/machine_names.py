"""What machines are called today, where that is not what they were called first.

A point says for ever what its machine was called when it had its first one, and its folder follows
from that; a rename is one sealed record beside them (docs/format/record.md), so it costs nothing,
changes no point and no vault, and an earlier name goes on meaning the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from appliance.base.errors import IntegrityError, UsageError
from appliance.formats.machine_names import decode_names, encode_names
from appliance.formats.names import PointName
from appliance.formats.point import Manifest
from appliance.store.records import Records

PLACE = "names.record"


class MachineNames:
    """The names of one store, as they were when it was opened or refreshed last."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._stamp: str | None = None
        self._later: dict[str, tuple[str, ...]] = {}
        self._first: dict[str, str] = {}
        self.trouble: str | None = None

    def refresh(self) -> str:
        """Read the names again if they changed; gives what changes with them."""
        stamp = self._records.stamp(PLACE)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                data = self._records.read(PLACE)
                self._later = {} if data is None else decode_names(data)
                self.trouble = None
            except IntegrityError as error:
                self._later = {}
                self.trouble = f"{error}, so machines are shown by their first names"
            self._first = {
                name: first for first, later in self._later.items() for name in (first, *later)
            }
        return stamp

    def first(self, name: str) -> str:
        """What the machine called `name` was called first."""
        if self._stamp is None:
            self.refresh()
        return self._first.get(name, name)

    def current(self, name: str) -> str:
        """What the machine that has or had this name is called now."""
        first = self.first(name)
        return self._later[first][-1] if first in self._later else first

    def is_taken(self, name: str) -> bool:
        """Whether a machine that was renamed has or had this name."""
        return self.first(name) != name or name in self._first

    def refuse_in_doubt(self) -> None:
        """Raise IntegrityError where nobody knows which machine a name means."""
        self.first("")
        if self.trouble is not None:
            path = self._records.path(PLACE)
            raise IntegrityError(f"{self.trouble}; delete {path} and rename them again")

    def rename(self, name: str, new: str) -> None:
        """Call a machine `new` from now on, durably on return. Raises UsageError if it is taken."""
        self.refresh()
        self.refuse_in_doubt()
        first = self.first(name)
        if self.first(new) != first and self.is_taken(new):
            raise UsageError(f"'{new}' is or was the name of another machine: choose another one")
        later = [name for name in self._later.get(first, ()) if name != new]
        self._records.write(PLACE, encode_names({**self._later, first: [*later, new]}))
        self._stamp = None

    def show(self, manifest: Manifest) -> Manifest:
        """A manifest as people see it."""
        return _replace(manifest, self.current)

    def hide(self, manifest: Manifest) -> Manifest:
        """A manifest as it is sealed: with first names. Raises IntegrityError in doubt."""
        self.refuse_in_doubt()
        return _replace(manifest, self.first)


def _replace(manifest: Manifest, change: Callable[[str], str]) -> Manifest:
    base = manifest.base
    return replace(
        manifest,
        machine=change(manifest.machine),
        base=None if base is None else PointName(change(base.machine), base.time),
    )
