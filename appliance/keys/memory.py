"""An unlocked box: the master key in a memory filesystem, so that it is gone after a reboot.

Owns `holdfast/` in /run or /dev/shm. It never writes a key where a disk could keep it (swap
excepted, which the owner of the machine encrypts or not).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import psutil

from appliance.base.durable import make_directory, named_os_errors, remove_file, write_file
from appliance.base.errors import AccessError, HoldfastError
from appliance.formats.keyfile import KEY_BYTES
from appliance.keys.hierarchy import MasterKey

ROOTS = (Path("/run"), Path("/dev/shm"))  # noqa: S108
_MEMORY_FILESYSTEMS = ("tmpfs", "ramfs")


def remember_key(master: MasterKey) -> None:
    """Keep the master key until reboot or `forget_key`.

    Raises HoldfastError without a memory filesystem, AccessError if somebody else owns our place.
    """
    directory = _find_directory()
    make_directory(directory)
    _refuse_strangers(directory)
    write_file(directory / master.store_id.hex(), master.secret)


def recall_key(store_id: bytes) -> MasterKey | None:
    """The master key that was remembered for this store, or None."""
    try:
        path = _find_directory() / store_id.hex()
    except HoldfastError:
        return None
    if not path.is_file():
        return None
    _refuse_strangers(path.parent)
    with named_os_errors(path):
        secret = path.read_bytes()
    if len(secret) != KEY_BYTES:
        raise AccessError(f"{path} is damaged: run 'holdfast unlock' again")
    return MasterKey(secret, store_id)


def forget_key(store_id: bytes) -> None:
    """Drop what was remembered for this store, if anything."""
    remove_file(_find_directory() / store_id.hex())


def _find_directory() -> Path:
    # Where something is mounted over a mount, the later line counts.
    types = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    for root in ROOTS:
        if types.get(str(root)) in _MEMORY_FILESYSTEMS and os.access(root, os.W_OK):
            return root / "holdfast"
    raise HoldfastError(
        f"no memory filesystem at {' or '.join(map(str, ROOTS))} to keep the key in: mount a tmpfs"
    )


def _refuse_strangers(directory: Path) -> None:
    """Shared memory is open to everybody: only a directory that is ours alone may hold a key."""
    with named_os_errors(directory):
        found = directory.lstat()
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != os.geteuid()
        or stat.S_IMODE(found.st_mode) & 0o077
    ):
        raise AccessError(f"{directory} is not private to this user: remove it and unlock again")
