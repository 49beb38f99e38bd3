"""The contract of what a vault is kept in, and the errors of every backend.

Owns the names, the types and the meaning of each operation. It never talks to anybody: the
backends are `directory` and `s3`. What is stored is opaque here.

An object is written whole or not at all. Most names never change what they hold (a container is
named by the SHA-256 of its bytes): putting them again is harmless, so a lost answer costs one more
put. The few heads that do change are written with `replace`, which says what it replaces.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from appliance.base.errors import (
    AccessError,
    BusyError,
    HoldfastError,
    IntegrityError,
    NoSpaceError,
    NotFoundError,
    UsageError,
)
from appliance.vault.traffic import Traffic

NAME_MAX = 512
PAGE_MAX = 1000  # of S3's listings
GET_MAX_BYTES = 128 << 20  # a manifest has 64 MiB at most, a container 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]*(/[A-Za-z0-9][A-Za-z0-9._=+-]*)*")


# ---- errors: what the caller may do about it ----------------------------------------------------


class TransientError(HoldfastError):
    """The line, or a server that will recover: the same request may work later."""


class SlowDownError(TransientError):
    """The server asks for fewer requests (503 SlowDown, 429)."""


class RefusedError(HoldfastError):
    """The server understood and says no for a reason that repeating does not change."""


class DeniedError(AccessError):
    """The credentials are not enough for this, or the object is locked."""


class CredentialsError(DeniedError):
    """The credentials are unknown, revoked or expired: nothing works until they are replaced."""


class ClockSkewError(DeniedError):
    """The clocks here and there are too far apart for a signed request."""


class MissingObjectError(NotFoundError):
    """There is no object, or no version, of this name."""


class MissingBucketError(NotFoundError):
    """The bucket or the directory itself is not there."""


class ConflictError(BusyError):
    """Somebody else changed the object since it was read."""


class FullError(NoSpaceError):
    """The quota or the disk of the vault is used up."""


# ---- what goes in and out -----------------------------------------------------------------------


@dataclass(frozen=True)
class FileRange:
    """`size_bytes` bytes of a file from `offset` on, to be read while they are sent."""

    path: Path
    size_bytes: int
    offset: int = 0


Body = bytes | FileRange


@dataclass(frozen=True)
class ObjectInfo:
    """An object, or one version of it.

    Attributes:
        name: as it was put.
        size_bytes: of the whole object, also where a range was read.
        modified: by the clock of the backend, UTC.
        tag: changes whenever the object does; for `replace`. Means nothing else.
        version: None where the backend keeps none.
        is_latest: what a reader gets that names no version.
        is_marker: no object, but the note that it was deleted (only in `list_versions`).
        locked_until: None where nothing is locked, or where the backend did not say
            (listings do not).
    """

    name: str
    size_bytes: int
    modified: datetime
    tag: str
    version: str | None = None
    is_latest: bool = True
    is_marker: bool = False
    locked_until: datetime | None = None


@dataclass(frozen=True)
class Fetched:
    """What `get` read, and from which version of what."""

    info: ObjectInfo
    data: bytes


@dataclass(frozen=True)
class Page:
    """A part of a listing, sorted by name. `next` continues it; None at its end."""

    objects: tuple[ObjectInfo, ...]
    next: str | None = None


@dataclass(frozen=True)
class Abilities:
    """What this backend really does.

    Attributes:
        has_versions: overwritten and deleted objects can still be read.
        has_lock: objects are asked to be locked. Whether they are, only the canary shows.
        is_conditional: `replace` refuses when somebody else was faster.
        is_local: no line in between; nothing to pace, hedge or pay.
    """

    has_versions: bool = False
    has_lock: bool = False
    is_conditional: bool = False
    is_local: bool = False


class Throttle(Protocol):
    """Decides when bytes may be sent."""

    async def spend(self, size_bytes: int) -> None:
        """Return when `size_bytes` more may go out."""


class Bucket(Protocol):
    """A flat space of named objects. May be used by many tasks of one event loop at once.

    Besides what each method names, all may raise TransientError (after bounded retries of their
    own), SlowDownError, DeniedError, CredentialsError, ClockSkewError, MissingBucketError and
    RefusedError. A cancelled call may or may not have happened. Names obey `check_name`.
    """

    @property
    def abilities(self) -> Abilities:
        """What this backend can do."""

    @property
    def traffic(self) -> Traffic:
        """Requests and bytes so far, counted."""

    async def put(
        self,
        name: str,
        body: Body,
        sha256: bytes,
        *,
        lock_until: datetime | None = None,
        part_bytes: int | None = None,
    ) -> ObjectInfo:
        """Store an object that is the same whenever it is put. Durable on return.

        `sha256` (32 bytes) is what the body must have, else IntegrityError and nothing is visible.
        What an earlier put of this name left is replaced, so damage there heals. With `part_bytes`
        a longer body goes in parts of that size, and only those that are not there yet are sent,
        whoever began. `lock_until` is for a backend that locks, else UsageError. Raises FullError.
        """

    async def replace(
        self, name: str, data: bytes, *, tag: str | None, lock_until: datetime | None = None
    ) -> ObjectInfo:
        """Let `name` hold `data` from now on. Durable on return.

        `tag` is of the object that was read before, None if there was none. Where the backend is
        conditional, ConflictError if that is no longer so (unless what is there is `data`: then
        the answer to this very write was lost); elsewhere the last writer wins.
        """

    async def get(
        self,
        name: str,
        *,
        offset: int = 0,
        size_bytes: int | None = None,
        version: str | None = None,
    ) -> Fetched:
        """The bytes from `offset` on: exactly `size_bytes`, or fewer where the object ends.

        Raises MissingObjectError, UsageError for an offset beyond the end, and without
        `size_bytes` IntegrityError for more than GET_MAX_BYTES.
        """

    async def head(self, name: str, *, version: str | None = None) -> ObjectInfo:
        """The object without its bytes. Raises MissingObjectError."""

    async def list_page(self, prefix: str, *, after: str = "", limit: int = PAGE_MAX) -> Page:
        """Objects whose names begin with `prefix` and sort after `after`, at most `limit`.

        `Page.next` is the next `after`; any name will do, so a listing can be taken up anywhere.
        """

    async def list_versions(
        self, prefix: str, *, after: str = "", cursor: str = "", limit: int = PAGE_MAX
    ) -> Page:
        """All versions and delete markers of names after `after`, newest first within a name.

        `Page.next` is the next `cursor` and means nothing else.
        """

    async def delete(self, name: str, *, version: str | None = None) -> None:
        """Remove an object, durably on return; a missing one is fine.

        With a `version` just that one, for ever; DeniedError while it is locked. Without, where
        there are versions, only a delete marker is written.
        """

    async def lock(self, name: str, until: datetime, *, version: str | None = None) -> None:
        """Lock a version (default: the latest) until then, or longer than it was.

        Raises DeniedError for shorter than it was, UsageError where the backend has no lock.
        """

    async def drop_unfinished(self, before: datetime) -> int:
        """Give up what interrupted puts left half-made before then; how many.

        Nobody sees it, and it is paid for. What is still to be taken up begins anew.
        """

    async def close(self) -> None:
        """Let go of connections. Nothing else may be called after it."""


# ---- for all backends and callers ---------------------------------------------------------------


def check_name(name: str) -> str:
    """`name`, which every backend can keep as it is. Raises UsageError for any other."""
    if len(name) > NAME_MAX or not _NAME.fullmatch(name):
        raise UsageError(f"{name[:80]!r} cannot be the name of an object")
    return name


def is_name(name: str) -> bool:
    """Whether an object of the project may have this name; others in a bucket are ignored."""
    return len(name) <= NAME_MAX and _NAME.fullmatch(name) is not None


def measure(body: Body) -> int:
    """Its length in bytes."""
    return body.size_bytes if isinstance(body, FileRange) else len(body)


def check_digest(name: str, found: bytes, expected: bytes) -> None:
    """Raise IntegrityError unless what is to be sent as `name` is what was announced."""
    if found != expected:
        raise IntegrityError(
            f"{name}: the bytes here are not what they were (SHA-256 {found.hex()[:16]}... instead "
            f"of {expected.hex()[:16]}...): 'holdfast verify' says what that hurts"
        )


async def list_objects(
    bucket: Bucket, prefix: str, *, after: str = ""
) -> AsyncIterator[ObjectInfo]:
    """Every object below `prefix`, page by page, so that any number fits in memory."""
    cursor: str | None = after
    while cursor is not None:
        page = await bucket.list_page(prefix, after=cursor)
        for info in page.objects:
            yield info
        cursor = page.next


async def list_all_versions(
    bucket: Bucket, prefix: str, *, after: str = ""
) -> AsyncIterator[ObjectInfo]:
    """Every version and delete marker below `prefix` of names after `after`, page by page."""
    cursor: str | None = ""
    while cursor is not None:
        page = await bucket.list_versions(prefix, after=after, cursor=cursor)
        for info in page.objects:
            yield info
        cursor = page.next
