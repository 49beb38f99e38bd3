"""Which disk sat in which bay, and in which place of which array.

Owns the table of seats. A disk that is gone keeps its seat until another takes its place in the
array, or for a year. Lost with the catalog, and then disks that are gone by then have no names.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from appliance.catalog.catalog import Catalog
from appliance.formats.disk_seat import Seat

if TYPE_CHECKING:
    import sqlite3

    import sqlite_utils

FORGET_AFTER = timedelta(days=365)
_RECALL = (
    "select serial, name, model, bay, bus_path, array, member, slot, carries, seen"
    " from disk_seats order by serial, array"
)
_INSERT = (
    "insert into disk_seats"
    " (serial, name, model, bay, bus_path, array, member, slot, carries, seen)"
    " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class DiskSeats:
    """Remembers seats. Any thread may ask."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def remember(self, seats: Sequence[Seat], now: datetime) -> None:
        """Replace what is known of the disks of `seats`, and of the places they are in.

        A member that failed has no slot any more: it keeps the one that it had.
        """

        def replace(database: sqlite_utils.Database) -> None:
            with database.conn as connection:
                connection.execute("begin immediate")
                slots = _read_slots(connection)
                for serial in {seat.serial for seat in seats}:
                    connection.execute("delete from disk_seats where serial = ?", (serial,))
                for seat in seats:
                    _insert(connection, seat, slots.get((seat.serial, seat.array)))
                oldest_s = (now - FORGET_AFTER).timestamp()
                connection.execute("delete from disk_seats where seen < ?", (oldest_s,))

        self._catalog.do(replace)

    def recall(self) -> Sequence[Seat]:
        """All seats that are known, of disks that are here and of others."""
        rows = self._catalog.do(lambda database: database.conn.execute(_RECALL).fetchall())
        return [_to_seat(row) for row in rows]


def _to_seat(row: tuple[Any, ...]) -> Seat:
    serial, name, model, bay, bus_path, array, member, slot, carries, seen_s = row
    seen = datetime.fromtimestamp(seen_s, UTC)
    return Seat(serial, name, model, bay, bus_path, array, member, slot, carries, seen)


def _read_slots(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    rows = connection.execute(
        "select serial, array, slot from disk_seats where slot is not null"
    ).fetchall()
    return {(serial, array): slot for serial, array, slot in rows}


def _insert(connection: sqlite3.Connection, seat: Seat, slot_before: int | None) -> None:
    if seat.slot is not None:
        connection.execute(
            "delete from disk_seats where array = ? and slot = ?", (seat.array, seat.slot)
        )
    slot = seat.slot
    if slot is None and seat.array:
        taken = connection.execute(
            "select 1 from disk_seats where array = ? and slot = ?", (seat.array, slot_before)
        ).fetchone()
        slot = None if taken else slot_before
    facts = (seat.serial, seat.name, seat.model, seat.bay, seat.bus_path, seat.array, seat.member)
    connection.execute(_INSERT, (*facts, slot, seat.carries, seat.seen.timestamp()))
