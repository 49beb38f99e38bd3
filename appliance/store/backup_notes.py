"""Notes of backups that made no point yet: what an interrupted one has sealed is not garbage yet.

A note is written when a machine's backup starts and removed when its point is made. While it is
there, and for 14 days after the last attempt, collection spares containers that are younger than
the first one; the next backup finds their chunks through the index.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from appliance.base.errors import IntegrityError
from appliance.formats.record import BackupNote, decode_backup_note, encode_backup_note
from appliance.store.records import Records
from appliance.store.timekeeping import Timekeeper

SPARED = timedelta(days=14)
_FOLDER = "backups"
_SUFFIX = ".note"


class BackupNotes:
    """The notes of one store. Machines are named by their folder."""

    def __init__(self, records: Records, timekeeper: Timekeeper) -> None:
        self._records = records
        self._timekeeper = timekeeper

    def begin(self, folder: str, machine: str) -> None:
        """A backup starts; durable on return. It goes on where an interrupted one stopped."""
        began_ns = self._timekeeper.now_ns()
        try:
            data = self._records.read(_place(folder))
            if data is not None:
                began_ns = min(decode_backup_note(data).began_ns, began_ns)
        except IntegrityError:
            pass  # of a damaged note nothing is known but that it is replaced
        note = BackupNote(machine, began_ns, self._timekeeper.now())
        self._records.write(_place(folder), encode_backup_note(note))

    def end(self, folder: str) -> None:
        """The machine has a new point."""
        self._records.remove(_place(folder))

    def spared_since_ns(self) -> int | None:
        """Containers whose modification time is not before this are spared; None spares nothing.

        Raises IntegrityError with the way out for a damaged note: it might spare anything.
        """
        return min((note.began_ns for note in self._living()), default=None)

    def _living(self) -> Iterator[BackupNote]:
        for place in self._records.places(_FOLDER, _SUFFIX):
            try:
                data = self._records.read(place)
                if data is None:
                    continue
                note = decode_backup_note(data)
            except IntegrityError as error:
                raise IntegrityError(
                    f"{error}, so it is unknown what an interrupted backup has stored: "
                    f"back that machine up once more, or delete {self._records.path(place)}"
                ) from error
            is_over = note.renewed + SPARED <= self._timekeeper.now()
            if not (is_over and self._timekeeper.doubt() is None):
                yield note


def _place(folder: str) -> str:
    return f"{_FOLDER}/{folder}{_SUFFIX}"
