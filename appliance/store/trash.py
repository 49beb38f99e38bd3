"""The trash: forgotten points that can be brought back until their window ends.

Beside each point lies a sealed note that says when it may go. The note is written first, then the
point is moved: the move alone is what forgets. A point whose note is missing or damaged stays, a
note without a point means nothing. What may go is removed by collection, when nobody reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from appliance.base.durable import remove_file
from appliance.base.errors import IntegrityError, NotFoundError
from appliance.formats.names import PointName, format_time
from appliance.formats.record import TrashNote, decode_trash_note, encode_trash_note
from appliance.store.holds import Holds
from appliance.store.layout import Layout
from appliance.store.records import Records
from appliance.store.timekeeping import Timekeeper

_POINT_SUFFIX = ".point"
_NOTE_SUFFIX = ".note"
_MENDING = "'holdfast unforget POINT' brings the point back"


@dataclass(frozen=True)
class Trashed:
    """A point in the trash. Without a readable `note` it stays, and `trouble` says why."""

    label: str
    note: TrashNote | None
    trouble: str | None


class Trash:
    """The trash of one store. Points are named by their label, `FOLDER-TIME`."""

    def __init__(
        self, layout: Layout, records: Records, holds: Holds, timekeeper: Timekeeper
    ) -> None:
        self._layout = layout
        self._records = records
        self._holds = holds
        self._timekeeper = timekeeper

    def path(self, label: str) -> Path:
        """Where a forgotten point lies."""
        return self._layout.trash / f"{label}{_POINT_SUFFIX}"

    def entries(self) -> list[Trashed]:
        """Every point in the trash, by label."""
        paths = sorted(self._layout.trash.glob(f"*-*{_POINT_SUFFIX}"))
        return [self.entry(path.name.removesuffix(_POINT_SUFFIX)) for path in paths]

    def entry(self, label: str) -> Trashed:
        """The point `label` with its note."""
        try:
            data = self._records.read(_place(label))
            if data is None:
                raise IntegrityError(f"{_place(label)} is missing")
            return Trashed(label, decode_trash_note(data), None)
        except IntegrityError as error:
            return Trashed(label, None, f"{error}, so its point stays in the trash: {_MENDING}")

    def put_note(self, label: str, name: PointName, window: timedelta | None) -> None:
        """Say when a point may go that will be moved here next; durable on return.

        Without a window it may go at once: somebody at the box said so.
        """
        now = max(self._timekeeper.latest(), name.time)
        note = TrashNote(name, now, None if window is None else now + window)
        self._records.write(_place(label), encode_trash_note(note))

    def remove_note(self, label: str) -> None:
        """The point was brought back."""
        self._records.remove(_place(label))

    def refuse_if_over(self, label: str, name: PointName) -> None:
        """Raise NotFoundError if the point may be on its way out already."""
        note = self.entry(label).note
        if note is not None and self._is_over(note, self._timekeeper.doubt()):
            when = "" if note.ends is None else f" at {format_time(note.ends)}"
            raise NotFoundError(f"{name} was forgotten for good{when}: it cannot be brought back")

    def kept(self) -> set[str]:
        """Labels of the points that stay: in their window, in doubt, or held."""
        entries = self.entries()
        doubt = self._timekeeper.doubt() if entries else None
        return {entry.label for entry in entries if not self._may_go(entry, doubt)}

    def troubles(self) -> Iterator[str]:
        """Why points stay longer than their window, each with the way out."""
        entries = self.entries()
        doubt = self._timekeeper.doubt() if entries else None
        for entry in entries:
            if entry.trouble is not None:
                yield entry.trouble
        if doubt is not None:
            yield f"the trash is kept: {doubt}"

    def purge(self, kept: set[str]) -> None:
        """Remove all but the points `kept`, and the notes of points that are not here.

        The caller holds the commit lock.
        """
        self._timekeeper.note()
        for path in sorted(self._layout.trash.glob(f"*-*{_POINT_SUFFIX}")):
            if path.name.removesuffix(_POINT_SUFFIX) not in kept:
                remove_file(path)
        for path in sorted(self._layout.trash.glob(f"*-*{_NOTE_SUFFIX}")):
            if not self.path(path.name.removesuffix(_NOTE_SUFFIX)).exists():
                remove_file(path)

    def _may_go(self, entry: Trashed, doubt: str | None) -> bool:
        if entry.note is None or not self._is_over(entry.note, doubt):
            return False
        return self._holds.shield(entry.label) is None

    def _is_over(self, note: TrashNote, doubt: str | None) -> bool:
        """Without an end somebody consented at the box; otherwise the clock must be believed."""
        if note.ends is None:
            return True
        return doubt is None and note.ends <= self._timekeeper.now()


def _place(label: str) -> str:
    return f"trash/{label}{_NOTE_SUFFIX}"
