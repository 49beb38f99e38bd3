"""The key files of a STATE directory: docs/format/keys.md.

Owns where `STATE/store/keys/` and `STATE/box.key` are and how they are read. It opens no wrap.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from appliance.base.durable import named_os_errors
from appliance.base.errors import AccessError, IntegrityError
from appliance.formats.keyfile import FILE_MAX_BYTES, Wrap, decode_box_key, decode_wrap

# scrypt may take a second for each passphrase wrap; nobody has more keys than this.
WRAPS_MAX = 64


@dataclass(frozen=True)
class WrapFile:
    """A file in `keys/`: its wrap, or in one line what is wrong with it."""

    path: Path
    wrap: Wrap | None
    damage: str = ""


def wraps_directory(state: Path) -> Path:
    """Where the wraps are."""
    return state / "store" / "keys"


def box_key_path(state: Path) -> Path:
    """Where the box key is, if the box has one."""
    return state / "box.key"


def wrap_paths(state: Path) -> list[Path]:
    """All files of wraps. Raises IntegrityError if there are more than WRAPS_MAX."""
    directory = wraps_directory(state)
    with named_os_errors(directory):
        paths = sorted(path for path in directory.glob("*.json") if path.name[0] != ".")
    if len(paths) > WRAPS_MAX:
        raise IntegrityError(
            f"{directory} holds more than {WRAPS_MAX} key files: remove strange ones"
        )
    return paths


def read_wrap_files(state: Path) -> list[WrapFile]:
    """Every file of a wrap, damaged ones too. Raises as `wrap_paths` does."""
    files = []
    for path in wrap_paths(state):
        try:
            data = read_key_file(path)
            if data is not None:
                files.append(WrapFile(path, decode_wrap(data)))
        except IntegrityError as error:
            files.append(WrapFile(path, None, str(error)))
    return files


def read_box_key(state: Path) -> bytes | None:
    """The box key, or None without one.

    Raises AccessError if others could read or change it, IntegrityError if it is damaged.
    """
    path = box_key_path(state)
    data = read_key_file(path, private=True)
    if data is None:
        return None
    try:
        return decode_box_key(data)
    except IntegrityError as error:
        raise IntegrityError(f"{path}: {error}") from None


def read_key_file(path: Path, *, private: bool = False) -> bytes | None:
    """Up to one byte more than any key file may have, or None without a file.

    With `private`, a file that others could read or change raises AccessError.
    """
    with named_os_errors(path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if private and stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
                raise AccessError(f"{path} is open to others: run 'chmod 600 {path}'")
            return file.read(FILE_MAX_BYTES + 1)
