"""The one door to durable writes: what these functions return from survives a power cut.

A file becomes visible under its name only when its bytes are on the disk: write to a temporary
name in the same directory, fsync, rename, fsync the directory. A failed fsync is never repeated
on the same descriptor (the kernel has dropped the pages): the temporary file is removed and the
error raised, and the caller still holds the bytes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

from appliance.base.errors import AccessError, HoldfastError, NoSpaceError, NotFoundError

TEMPORARY_PREFIX = ".tmp-"
_PAGE_BYTES = 4096
# Smaller files are gone from the cache soon enough, and are often read again at once.
_DIRECT_BYTES = 1 << 20
_SYNCS_AT_ONCE = 16
Bytes = bytes | bytearray | memoryview


@contextmanager
def named_os_errors(path: Path | str) -> Iterator[None]:
    """Turn an OSError of the block into the error tree, naming `path`.

    Raises NoSpaceError for a full filesystem or quota, AccessError for a permission or a
    read-only filesystem, NotFoundError for a missing file, HoldfastError otherwise.
    """
    try:
        yield
    except OSError as error:
        reason = f"{path}: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpaceError(
                f"{reason}: free space with 'holdfast forget POINT --now' and 'holdfast collect'"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise AccessError(reason) from error
        if error.errno == errno.ENOENT:
            raise NotFoundError(reason) from error
        raise HoldfastError(reason) from error


def fsync_directory(directory: Path) -> None:
    """Make the names in `directory` durable."""
    _fsync(directory, os.O_DIRECTORY)


def _fsync(path: Path, flag: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | flag)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_and_close(descriptor: int, path: Path) -> None:
    """Make what was written to an open file or device durable, its name too, and close it."""
    with named_os_errors(path):
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        fsync_directory(path.parent)


def make_directory(directory: Path, mode: int = 0o700) -> None:
    """Create `directory` and its missing parents durably; an existing one is left as it is."""
    with named_os_errors(directory):
        missing = [directory, *directory.parents]
        for path in reversed([path for path in missing if not path.is_dir()]):
            path.mkdir(mode=mode, exist_ok=True)
            fsync_directory(path.parent)


@contextmanager
def open_durably(
    path: Path, mode: int = 0o600, *, replace: bool = True, staging: Path | None = None
) -> Iterator[int]:
    """Give a descriptor to fill; when the block ends well, `path` durably holds what was written.

    When the block raises, `path` is as before. Without `replace` an existing `path` raises
    FileExistsError and is left alone. The temporary file lies in `staging` (default: beside
    `path`), which must be on the same filesystem.
    """
    temporary = (staging or path.parent) / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    with named_os_errors(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        try:
            with named_os_errors(path):
                yield descriptor
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if replace:
            with named_os_errors(path):
                temporary.rename(path)
        else:
            _link_new(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with named_os_errors(path):
        fsync_directory(path.parent)


def _link_new(temporary: Path, path: Path) -> None:
    """Give the file its name unless that is taken: FileExistsError, which callers await."""
    with named_os_errors(path):
        try:
            os.link(temporary, path)
        except FileExistsError as error:
            taken = error
        else:
            temporary.unlink()
            return
    raise taken


def write_all(descriptor: int, data: Bytes) -> None:
    """Write every byte of `data` to `descriptor`."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_past_cache(descriptor: int, data: Bytes) -> None:
    """Write every byte of `data` to the empty file, past the page cache where that is possible.

    What is written once and seldom read soon would push out what is in use, and filling the cache
    costs more than the write itself (a fifth of a first full). The memory must begin at a page for
    that; where it does not, or the filesystem cannot, this is `write_all`.
    """
    view, done = memoryview(data), 0
    whole = len(view) - len(view) % _PAGE_BYTES
    try:
        _set_direct(descriptor, is_direct=True)
        while done < whole and done % _PAGE_BYTES == 0:
            done += os.write(descriptor, view[done:whole])
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        _set_direct(descriptor, is_direct=False)
    write_all(descriptor, view[done:])


def _set_direct(descriptor: int, *, is_direct: bool) -> None:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    wanted = flags | os.O_DIRECT if is_direct else flags & ~os.O_DIRECT
    fcntl.fcntl(descriptor, fcntl.F_SETFL, wanted)


def write_file(
    path: Path,
    data: Bytes,
    mode: int = 0o600,
    *,
    replace: bool = True,
    staging: Path | None = None,
) -> None:
    """Make `path` hold `data`, durably on return. See `open_durably` for what may be raised."""
    with open_durably(path, mode, replace=replace, staging=staging) as descriptor:
        if len(data) >= _DIRECT_BYTES:
            write_past_cache(descriptor, data)
        else:
            write_all(descriptor, data)


def move_file(source: Path, target: Path) -> None:
    """Rename `source` to `target` on one filesystem, durably on return."""
    with named_os_errors(source):
        source.rename(target)
        fsync_directory(target.parent)
        if target.parent != source.parent:
            fsync_directory(source.parent)


def remove_file(path: Path) -> None:
    """Remove `path`, durably on return; a missing file is fine."""
    with named_os_errors(path):
        try:
            path.unlink()
        except FileNotFoundError:
            return
        fsync_directory(path.parent)


def switch_link(link: Path, target: str) -> None:
    """Let the symbolic link `link` lead to `target`, at once and durably; it may be new."""
    temporary = link.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    with named_os_errors(link):
        temporary.symlink_to(target)
        temporary.rename(link)
        fsync_directory(link.parent)


def sync_tree(directory: Path) -> None:
    """Make every file and name below `directory` durable; links are not followed.

    Several at once: filesystems with a journal write one commit for all that wait for it.
    """
    with named_os_errors(directory), ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
        for folder, _, names in os.walk(directory):
            files = [Path(folder, name) for name in names]
            for _ in pool.map(_fsync, files, repeat(os.O_NOFOLLOW)):
                pass
            fsync_directory(Path(folder))


def remove_temporaries(directory: Path) -> None:
    """Remove what killed writers left half-made in `directory`. Nobody may be writing there."""
    for path in directory.glob(f"{TEMPORARY_PREFIX}*"):
        path.unlink(missing_ok=True)
