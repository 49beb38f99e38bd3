"""Which directories are mounts of ours, and who serves them.

Owns the notes `STATE/run/mounts/ID.json`. A note is written before its mount appears and removed
after it is gone, so that whatever a killed process leaves mounted is found again.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.base import durable
from appliance.base.errors import IntegrityError, NotFoundError
from appliance.recovery.runtime import ProcessId, Runtime, read_note, write_note

FILESYSTEM_NAME = "holdfast"
_OCTAL = re.compile(r"\\([0-7]{3})")  # how the kernel writes spaces in mountinfo (proc(5))


@dataclass(frozen=True)
class MountNote:
    """Who serves `directory` (absolute). `path` is where this is noted."""

    path: Path
    directory: Path
    server: ProcessId


def is_mounted(directory: Path) -> bool:
    """Whether one of our filesystems, alive or dead, is mounted at `directory`."""
    wanted = str(resolve(directory))
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), before.split(" ")[4])
        if point == wanted and after.split(" ")[1] == FILESYSTEM_NAME:
            return True
    return False


def resolve(directory: Path) -> Path:
    """The absolute path without links; does not ask a mount at `directory` itself."""
    return directory.parent.resolve() / directory.name if directory.name else directory.resolve()


def list_mounts(runtime: Runtime) -> list[MountNote]:
    """What the notes say, one for each mount; notes that nobody can read are removed."""
    found = []
    try:
        names = os.listdir(runtime.mounts)
    except FileNotFoundError:
        return []
    for path in (runtime.mounts / name for name in names if name.endswith(".json")):
        try:
            note = read_note(path)
            found.append(MountNote(path, Path(note["directory"]), ProcessId.from_json(note)))
        except NotFoundError:
            continue
        except (IntegrityError, KeyError, TypeError, ValueError):
            durable.remove_file(path)
    return found


@contextmanager
def note_mount(runtime: Runtime, directory: Path) -> Iterator[None]:
    """Note, while the block runs, that this process serves `directory`."""
    durable.make_directory(runtime.mounts)
    server = ProcessId.of(os.getpid())
    assert server is not None
    path = runtime.mounts / f"{secrets.token_hex(8)}.json"
    write_note(path, {"directory": str(directory), **server.to_json()})
    try:
        yield
    finally:
        durable.remove_file(path)
