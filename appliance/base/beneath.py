"""The one door for writing trees with foreign names: nothing ever lands outside the target.

Every name is one component, used relative to an open directory that was itself reached without
following a link. What a file is made of becomes visible under its name only when it is complete.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path

from appliance.base.durable import TEMPORARY_PREFIX, named_os_errors
from appliance.base.errors import UsageError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder:
    """An open directory. Names are text as `os.fsdecode` gives it; OSError is the caller's."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def open(cls, path: Path) -> Folder:
        """Open a directory that the user named, links and all; made if it is missing."""
        with named_os_errors(path):
            with contextlib.suppress(FileExistsError):
                path.mkdir()
            return cls(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def kind_of(self, name: str) -> int | None:
        """The type bits of what has this name, or None. A link is a link."""
        try:
            found = os.stat(_one(name), dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return stat.S_IFMT(found.st_mode)

    def enter(self, name: str) -> Folder:
        """The directory of this name; never through a link."""
        return Folder(os.open(_one(name), _FOLDER, dir_fd=self.descriptor))

    def make(self, name: str) -> Folder:
        """A new directory that only we may look into for now."""
        os.mkdir(_one(name), 0o700, dir_fd=self.descriptor)
        return self.enter(name)

    def walk(self, names: list[str]) -> Folder:
        """The directory that lies below by these names."""
        folder = Folder(os.dup(self.descriptor))
        for name in names:
            with folder:
                folder = folder.enter(name)
        return folder

    def start(self) -> tuple[str, int]:
        """A new file under a temporary name, and its descriptor."""
        name = _temporary()
        return name, os.open(name, _NEW_FILE, 0o600, dir_fd=self.descriptor)

    def start_link(self, target: str) -> str:
        """A new symbolic link under a temporary name. Nobody follows it here."""
        name = _temporary()
        os.symlink(target, name, dir_fd=self.descriptor)
        return name

    def start_node(self, mode: int, device: int) -> str:
        """A new device, pipe or socket under a temporary name."""
        name = _temporary()
        os.mknod(name, mode, device, dir_fd=self.descriptor)
        return name

    def start_hard_link(self, folder: Folder, name: str) -> str:
        """Another name, temporary, for a file of `folder`."""
        temporary = _temporary()
        os.link(
            _one(name),
            temporary,
            src_dir_fd=folder.descriptor,
            dst_dir_fd=self.descriptor,
            follow_symlinks=False,
        )
        return temporary

    def finish(self, temporary: str, name: str, *, replace: bool) -> None:
        """Give what is complete its name. Raises FileExistsError unless it may `replace`.

        A directory is never replaced.
        """
        kind = self.kind_of(name)
        if kind is not None and (not replace or stat.S_ISDIR(kind)):
            raise FileExistsError(errno.EEXIST, "is there already", name)
        os.rename(temporary, _one(name), src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        # Two names of one file: rename did nothing at all.
        self.discard(temporary)

    def discard(self, temporary: str) -> None:
        """Remove what was started and is not wanted; a missing one is fine."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=self.descriptor)


def _temporary() -> str:
    return f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"


def _one(name: str) -> str:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise UsageError("a name that is no name")
    return name


def settle() -> None:
    """Make all that was written durable: one call for a tree is cheaper than one for each file."""
    os.sync()
