"""The bucket that is a directory: a removable disk, a share, or the demo's vault.

Owns the files below one directory whose names are names of objects; everything else there is left
alone and never seen. It never follows a symbolic link, and keeps no versions and no locks.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from appliance.base import durable
from appliance.base.clock import Clock, SystemClock
from appliance.base.errors import (
    AccessError,
    HoldfastError,
    IntegrityError,
    NoSpaceError,
    NotFoundError,
    UsageError,
)
from appliance.base.locks import FileLock
from appliance.vault.bucket import (
    GET_MAX_BYTES,
    PAGE_MAX,
    Abilities,
    Body,
    ConflictError,
    DeniedError,
    Fetched,
    FullError,
    MissingBucketError,
    MissingObjectError,
    ObjectInfo,
    Page,
    check_digest,
    check_name,
    is_name,
    measure,
)
from appliance.vault.traffic import Outcome, Request, Traffic

_STAGING = ".incoming"  # no name of an object begins with a dot
_LOCK = ".lock"
_STALE_S = 86_400.0
_PIECE_BYTES = 1 << 20
_NO_LOCK = "a directory cannot lock objects: use an s3:// vault with object lock"
_Result = TypeVar("_Result")


# Where disks are mounted: what lies there on the system's own disk is a mount that is missing.
_MOUNT_PLACES = (Path("/mnt"), Path("/media"), Path("/run/media"))
_SYSTEM = Path("/")


def make_root(root: Path) -> None:
    """Make the directory of a new vault durably; one that is there is left as it is.

    Raises MissingBucketError where it would lie in nothing, or in the place of a disk that is not
    mounted: that would fill the system's disk, and the vault would be gone when the disk comes.
    """
    if root.is_dir():
        return
    parent = root.parent
    if not parent.is_dir():
        raise MissingBucketError(f"{parent} is not there: mount the disk, or create the directory")
    place = parent.resolve()
    if any(place.is_relative_to(one) for one in _MOUNT_PLACES) and (
        place.stat().st_dev == _SYSTEM.stat().st_dev
    ):
        raise MissingBucketError(
            f"no disk is mounted at {root}: mount it, or create the directory, "
            "if the vault is to be on the system's own disk"
        )
    durable.make_directory(root)


class DirectoryBucket:
    """Objects as files below `root`. Several processes may use one at the same time."""

    def __init__(self, root: Path, clock: Clock | None = None) -> None:
        """Raises MissingBucketError unless `root` is a directory."""
        self._root = root
        self._clock = clock or SystemClock()
        self._traffic = Traffic()
        self._is_staged = False
        self._check_root()

    @property
    def abilities(self) -> Abilities:
        """A directory is near, and replaces under a lock."""
        return Abilities(is_conditional=True, is_local=True)

    @property
    def traffic(self) -> Traffic:
        """Operations and bytes so far."""
        return self._traffic

    async def put(
        self,
        name: str,
        body: Body,
        sha256: bytes,
        *,
        lock_until: datetime | None = None,
        part_bytes: int | None = None,
    ) -> ObjectInfo:
        """Write a file, durable and whole on return; see `Bucket.put`. Parts make no sense here."""
        del part_bytes
        self._refuse_lock(lock_until)
        path = self._path(name)
        return await self._run("PUT", lambda: self._write(name, path, body, sha256), measure(body))

    async def replace(
        self, name: str, data: bytes, *, tag: str | None, lock_until: datetime | None = None
    ) -> ObjectInfo:
        """Put `data` in the place of what `tag` names; see `Bucket.replace`."""
        self._refuse_lock(lock_until)
        path = self._path(name)

        def replace() -> ObjectInfo:
            self._prepare(path)
            with self._named(self._root), FileLock(self._root / _LOCK):
                found = self._find(name, path)
                if (found.tag if found else None) != tag:
                    raise ConflictError(f"{name} was changed by somebody else")
                return self._write(name, path, data, hashlib.sha256(data).digest())

        return await self._run("PUT", replace, len(data))

    async def get(
        self,
        name: str,
        *,
        offset: int = 0,
        size_bytes: int | None = None,
        version: str | None = None,
    ) -> Fetched:
        """Read a file or a range of it; see `Bucket.get`."""
        path = self._path(name)
        self._refuse_version(name, version)
        return await self._run("GET", lambda: self._read(name, path, offset, size_bytes))

    async def head(self, name: str, *, version: str | None = None) -> ObjectInfo:
        """Size, time and tag of a file. Raises MissingObjectError."""
        path = self._path(name)
        self._refuse_version(name, version)

        def head() -> ObjectInfo:
            found = self._find(name, path)
            if found is None:
                raise self._missing(name)
            return found

        return await self._run("HEAD", head)

    async def list_page(self, prefix: str, *, after: str = "", limit: int = PAGE_MAX) -> Page:
        """Files in the order of their names; see `Bucket.list_page`."""
        return await self._run("LIST", lambda: self._list(prefix, after, limit))

    async def list_versions(
        self, prefix: str, *, after: str = "", cursor: str = "", limit: int = PAGE_MAX
    ) -> Page:
        """The same as `list_page`: a directory keeps no versions."""
        return await self.list_page(prefix, after=cursor or after, limit=limit)

    async def delete(self, name: str, *, version: str | None = None) -> None:
        """Remove a file, durably on return; a missing one is fine."""
        path = self._path(name)
        self._refuse_version(name, version)

        def delete() -> None:
            with self._named(path), contextlib.suppress(NotFoundError):
                durable.remove_file(path)

        await self._run("DELETE", delete)

    async def lock(self, name: str, until: datetime, *, version: str | None = None) -> None:  # noqa: ARG002
        """Raises UsageError: nothing keeps somebody from deleting a file."""
        raise UsageError(_NO_LOCK)

    async def drop_unfinished(self, before: datetime) -> int:
        """Remove what killed writers left; see `Bucket.drop_unfinished`."""
        return await self._run("DELETE", lambda: self._drop_staged(before.timestamp()))

    async def close(self) -> None:
        """Nothing is held open."""

    # ---- one file, in a thread ----

    def _write(self, name: str, path: Path, body: Body, sha256: bytes) -> ObjectInfo:
        self._prepare(path)
        digest, size_bytes = hashlib.sha256(), 0
        with (
            self._named(path),
            durable.open_durably(path, staging=self._root / _STAGING) as descriptor,
        ):
            for piece in _pieces(body):
                digest.update(piece)
                durable.write_all(descriptor, piece)
                size_bytes += len(piece)
            if size_bytes != measure(body):
                raise IntegrityError(f"{name}: its file has only {size_bytes} bytes")
            check_digest(name, digest.digest(), sha256)
        found = self._find(name, path)
        if found is None:
            raise self._missing(name)
        return found

    def _read(self, name: str, path: Path, offset: int, size_bytes: int | None) -> Fetched:
        if self._find(name, path) is None:
            raise self._missing(name)
        with self._named(path), path.open("rb", buffering=0) as stream:
            status = os.fstat(stream.fileno())
            if offset > status.st_size:
                raise UsageError(f"{name} has only {status.st_size} bytes")
            wanted = status.st_size - offset
            if size_bytes is not None:
                wanted = min(size_bytes, wanted)
            elif wanted > GET_MAX_BYTES:
                raise IntegrityError(f"{name} is too large to be read at once")
            stream.seek(offset)
            data = bytearray()
            while len(data) < wanted and (piece := stream.read(wanted - len(data))):
                data += piece
            return Fetched(_describe(name, status), bytes(data))

    def _list(self, prefix: str, after: str, limit: int) -> Page:
        self._check_root()
        found: list[ObjectInfo] = []
        with self._named(self._root):
            for name, path in _walk(self._root, "", prefix, after):
                if len(found) == limit:
                    return Page(tuple(found), found[-1].name)
                info = self._find(name, path)
                if info is not None:
                    found.append(info)
        return Page(tuple(found))

    def _find(self, name: str, path: Path) -> ObjectInfo | None:
        with self._named(path):
            try:
                status = path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                return None
            return _describe(name, status) if stat.S_ISREG(status.st_mode) else None

    # ---- the directory ----

    def _prepare(self, path: Path) -> None:
        """Make the folders of `path`; at first also drop what killed writers left."""
        self._check_root()
        with self._named(path):
            durable.make_directory(path.parent)
            if self._is_staged:
                return
            staging = self._root / _STAGING
            durable.make_directory(staging)
            self._drop_staged(self._clock.now().timestamp() - _STALE_S)
            self._is_staged = True

    def _drop_staged(self, before_s: float) -> int:
        dropped = 0
        for left in (self._root / _STAGING).glob(f"{durable.TEMPORARY_PREFIX}*"):
            with contextlib.suppress(FileNotFoundError):
                if left.stat().st_mtime < before_s:
                    left.unlink()
                    dropped += 1
        return dropped

    def _check_root(self) -> None:
        if not self._root.is_dir():
            raise MissingBucketError(
                f"{self._root} is not there: mount the disk, or create the directory"
            )

    def _path(self, name: str) -> Path:
        """The file of an object. Raises DeniedError where a link leads out of the directory."""
        path = self._root / check_name(name)
        if not path.parent.resolve().is_relative_to(self._root.resolve()):
            raise DeniedError(f"{path.parent} is a link to elsewhere: it is not followed")
        return path

    def _missing(self, name: str) -> NotFoundError:
        self._check_root()
        return MissingObjectError(f"there is no object {name} in {self._root}")

    @contextlib.contextmanager
    def _named(self, path: Path) -> Iterator[None]:
        """Turn what the filesystem says into the errors of a bucket."""
        try:
            with durable.named_os_errors(path):
                yield
        except NoSpaceError as error:
            raise FullError(f"the disk of the vault {self._root} is full") from error
        except DeniedError:
            raise
        except AccessError as error:
            raise DeniedError(str(error)) from error

    @staticmethod
    def _refuse_lock(lock_until: datetime | None) -> None:
        if lock_until is not None:
            raise UsageError(_NO_LOCK)

    @staticmethod
    def _refuse_version(name: str, version: str | None) -> None:
        if version is not None:
            raise MissingObjectError(f"{name}: a directory keeps no versions")

    async def _run(self, kind: str, work: Callable[[], _Result], sent_bytes: int = 0) -> _Result:
        """Do `work` in a thread and count it."""
        began_s = self._clock.monotonic_s()
        outcome, received = Outcome.REFUSED, 0
        try:
            result = await asyncio.to_thread(work)
            outcome = Outcome.DONE
            received = len(result.data) if isinstance(result, Fetched) else 0
        except OSError as error:
            outcome = Outcome.BROKEN
            raise HoldfastError(f"{self._root}: {error.strerror}") from error
        else:
            return result
        finally:
            seconds = self._clock.monotonic_s() - began_s
            sent = sent_bytes if outcome is Outcome.DONE else 0
            self._traffic.note(Request(kind, outcome, sent, received, seconds))


def _pieces(body: Body) -> Iterator[bytes]:
    """The bytes of `body`, a piece at a time. A file that became shorter just ends."""
    if isinstance(body, bytes):
        yield body
        return
    with durable.named_os_errors(body.path), body.path.open("rb") as stream:
        stream.seek(body.offset)
        left = body.size_bytes
        while left and (piece := stream.read(min(left, _PIECE_BYTES))):
            left -= len(piece)
            yield piece


def _describe(name: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(
        name,
        status.st_size,
        datetime.fromtimestamp(status.st_mtime, UTC),
        f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}",
    )


def _walk(folder: Path, stem: str, prefix: str, after: str) -> Iterator[tuple[str, Path]]:
    """(name, file) below `folder` in the order of whole names, as a bucket lists them.

    A folder sorts as if its name ended with `/`. Folders that cannot hold a wanted name are not
    opened, so a listing that goes on in the middle costs one path down.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted(
                (f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name)
                for entry in entries
                if is_name(entry.name)
            )
    except FileNotFoundError:
        return
    for entry_name in found:
        name = stem + entry_name
        if entry_name.endswith("/"):
            is_wanted = name.startswith(prefix) or prefix.startswith(name)
            is_ahead = name > after or after.startswith(name)
            if is_wanted and is_ahead:
                yield from _walk(folder / entry_name, name, prefix, after)
        elif name.startswith(prefix) and name > after and is_name(name):
            yield name, folder / entry_name
