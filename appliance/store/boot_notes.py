"""What the last boot of each machine read until it was ready: `STATE/boots`, derived and small.

Owns these files. Recovery writes them, whoever keeps boot sets reads them.
"""

from __future__ import annotations

from pathlib import Path

from appliance.base.durable import make_directory, write_file
from appliance.formats.names import parse_machine_name
from appliance.formats.touched import Touched, decode_touched, encode_touched

_SUFFIX = ".touched"
_FILE_MAX_BYTES = 2 << 20


def _path(state: Path, machine: str) -> Path:
    return state / "boots" / f"{parse_machine_name(machine)}{_SUFFIX}"


def keep_boot_note(state: Path, machine: str, running: Path) -> bool:
    """Keep what `running`, a file that is being appended to, says by now; durable on return.

    False if it says nothing.
    """
    touched = _read(running)
    if not touched:
        return False
    path = _path(state, machine)
    make_directory(path.parent)
    write_file(path, encode_touched(touched))
    return True


def read_boot_note(state: Path, machine: str) -> list[Touched]:
    """What the last boot read, in order; empty if nothing is known."""
    return _read(_path(state, machine))


def _read(path: Path) -> list[Touched]:
    try:
        with path.open("rb") as file:
            return decode_touched(file.read(_FILE_MAX_BYTES))
    except OSError:
        return []
