"""Whether locks hold, and which versions were there before somebody came.

Owns the canary, and what a bucket held at a time. A server's word that something is locked is never
believed.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.base.errors import AccessError, HoldfastError, NotFoundError
from appliance.vault.bucket import (
    Bucket,
    DeniedError,
    MissingObjectError,
    ObjectInfo,
    TransientError,
    check_name,
    list_all_versions,
)

PROBE_PREFIX = "probe/"
_CANARY_LOCK = timedelta(seconds=90)
_MORE = timedelta(seconds=30)


@dataclass(frozen=True)
class LockVerdict:
    """What the canary showed. `reason` says why locks do not hold; empty where they do."""

    holds: bool
    reason: str = ""


async def probe_lock(bucket: Bucket) -> LockVerdict:
    """Lock a small object for a moment, and try to get rid of it with these credentials.

    Only after `holds` may anything be called immutable. Times are the server's, so a clock that is
    wrong here decides nothing. Raises TransientError when nothing could be found out. Leaves an
    object below `probe/` that the next probe removes.
    """
    if not bucket.abilities.has_lock:
        return LockVerdict(False, "object lock is not switched on for this bucket")
    await _sweep_probes(bucket)
    name = f"{PROBE_PREFIX}{secrets.token_hex(8)}"
    body = secrets.token_bytes(32)
    digest = hashlib.sha256(body).digest()
    began = (await bucket.put(name, body, digest)).modified
    until = began + _CANARY_LOCK
    try:
        canary = await bucket.put(name, body, digest, lock_until=until)
    except TransientError:
        raise
    except HoldfastError as error:
        return LockVerdict(False, f"the server refuses to lock an object: {error}")
    if canary.version is None:
        return LockVerdict(False, "the server keeps no versions")
    verdict = await _attack(bucket, name, canary.version, until)
    await bucket.delete(name)
    if verdict.holds:
        try:
            found = await bucket.get(name, version=canary.version)
        except NotFoundError:
            return LockVerdict(False, "a locked version is gone after it was deleted")
        if found.data != body:
            return LockVerdict(False, "a locked version does not hold what was written")
    return verdict


async def _attack(bucket: Bucket, name: str, version: str, until: datetime) -> LockVerdict:
    """Try what a thief with the box's credentials would try."""
    if await _may(bucket.delete(name, version=version)):
        return LockVerdict(False, "the server let a locked version be deleted")
    if await _may(bucket.lock(name, until - _MORE, version=version)):
        return LockVerdict(False, "the server let a lock be shortened")
    try:
        await bucket.lock(name, until + _MORE, version=version)
    except AccessError as error:
        return LockVerdict(False, f"a lock cannot be extended: {error}")
    shown = (await bucket.head(name, version=version)).locked_until
    if shown is None or shown < until:
        return LockVerdict(False, "the server forgets that it locked an object")
    return LockVerdict(True)


async def _may(attempt: Awaitable[None]) -> bool:
    """Whether `attempt` is let through. Only a clear refusal counts as one."""
    try:
        await attempt
    except DeniedError:
        return False
    except TransientError:
        raise
    except HoldfastError:
        return True
    return True


async def _sweep_probes(bucket: Bucket) -> None:
    """Remove what earlier probes left, as far as its locks have ended; the rest stays hidden."""
    left = [info async for info in list_all_versions(bucket, PROBE_PREFIX)]
    locked: set[str] = set()
    for info in sorted(left, key=lambda info: info.is_marker):
        if info.name in locked:
            continue
        try:
            await bucket.delete(info.name, version=info.version)
        except DeniedError:
            locked.add(info.name)


# ---- what was there at a time ------------------------------------------------------------------


async def list_as_of(
    bucket: Bucket, prefix: str, time: datetime, *, after: str = ""
) -> AsyncIterator[ObjectInfo]:
    """Of each name the newest version written not later than `time`, by the bucket's clock.

    Delete markers are passed over: what is locked is never rightly deleted, only hidden.
    """
    done = ""
    cursor: str | None = ""
    while cursor is not None:
        page = await bucket.list_versions(prefix, after=after, cursor=cursor)
        for info in page.objects:
            if info.name != done and not info.is_marker and info.modified <= time:
                done = info.name
                yield info
        cursor = page.next


async def find_as_of(bucket: Bucket, name: str, time: datetime) -> ObjectInfo:
    """The version of `name` that was there at `time`. Raises MissingObjectError."""
    async for info in list_as_of(bucket, check_name(name), time):
        if info.name == name:
            return info
    raise MissingObjectError(f"{name} was not in the vault at {time:%Y-%m-%d %H:%M:%S} UTC")
