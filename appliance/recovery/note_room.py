"""Room for the notes about a VM on a disk that is full, as it is just when they matter.

Owns a file of zeros beside the notes, set aside while there is space, and notes that a full disk
pays from it. Never says what a note holds.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from appliance.base import durable
from appliance.base.errors import NoSpaceError
from appliance.recovery.runtime import write_note

ROOM = "room"
# A note is one block; as much is freed again when it replaces the one before.
_STEP_BYTES = 8 << 10
_ROOM_BYTES = 8 * _STEP_BYTES


def set_room_aside(folder: Path) -> None:
    """Have all of it set aside; without space there is less or none, silently."""
    room = folder / ROOM
    with suppress(NoSpaceError):
        if not room.exists() or room.stat().st_size != _ROOM_BYTES:
            durable.write_file(room, bytes(_ROOM_BYTES))


def note_for_sure(path: Path, value: dict[str, Any]) -> None:
    """`write_note` that a full disk pays from the room beside `path`.

    Raises NoSpaceError when that is used up.
    """
    while True:
        try:
            write_note(path, value)
        except NoSpaceError:
            if not _take(path.parent / ROOM):
                raise
        else:
            return


def _take(room: Path) -> bool:
    """Free a little of it; says whether there was any left."""
    try:
        rest_bytes = room.stat().st_size - _STEP_BYTES
        if rest_bytes < 0:
            return False
        os.truncate(room, rest_bytes)
    except FileNotFoundError:
        return False
    return True
