"""The bucket that is a bucket: S3 and what speaks like it.

Owns the operations of `bucket.Bucket` in terms of S3's requests. What is checked here never trusts
an answer more than it has to: sizes, names and order of what a server says are all looked at.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from appliance.base.errors import NotFoundError, UsageError
from appliance.vault.bucket import (
    GET_MAX_BYTES,
    PAGE_MAX,
    Abilities,
    Body,
    ConflictError,
    Fetched,
    MissingObjectError,
    ObjectInfo,
    Page,
    TransientError,
    check_name,
    is_name,
    measure,
)
from appliance.vault.hedge import Hedge
from appliance.vault.multipart import MultipartUpload, drop_uploads
from appliance.vault.s3_calls import S3Calls
from appliance.vault.s3_errors import UnsupportedError
from appliance.vault.traffic import Traffic
from appliance.vault.transport import Outgoing

_MODE = "COMPLIANCE"


class S3Bucket:
    """Objects below the prefix of one bucket. `opening` makes these."""

    def __init__(self, calls: S3Calls, abilities: Abilities) -> None:
        self._calls = calls
        self._abilities = abilities
        self._prefix = calls.address.prefix
        self._hedge = Hedge(calls.clock)

    @property
    def abilities(self) -> Abilities:
        """What was found out when the bucket was opened, and since."""
        return self._abilities

    @property
    def traffic(self) -> Traffic:
        """Requests and bytes so far; every attempt counts."""
        return self._calls.traffic

    @property
    def calls(self) -> S3Calls:
        """The client, for what is no object: the bucket's own settings."""
        return self._calls

    async def put(
        self,
        name: str,
        body: Body,
        sha256: bytes,
        *,
        lock_until: datetime | None = None,
        part_bytes: int | None = None,
    ) -> ObjectInfo:
        """One PUT, or parts; see `Bucket.put`. The server checks the signed SHA-256 too."""
        check_name(name)
        self._check_lock(lock_until)
        if part_bytes is None or measure(body) <= part_bytes:
            return await self._put(name, body, sha256, lock_until)
        upload = MultipartUpload(self._calls, name, body, sha256, part_bytes=part_bytes)
        await upload.run(_lock_members(lock_until))
        info = await self.head(name)
        # What was asked for when the upload began is forgotten by some servers, or was another day.
        if lock_until is not None and (info.locked_until is None or info.locked_until < lock_until):
            await self.lock(name, lock_until, version=info.version)
            info = replace(info, locked_until=lock_until)
        return info

    async def replace(
        self, name: str, data: bytes, *, tag: str | None, lock_until: datetime | None = None
    ) -> ObjectInfo:
        """A PUT with a condition where the server knows such; see `Bucket.replace`."""
        self._check_lock(lock_until)
        condition: dict[str, Any] = {}
        if self._abilities.is_conditional:
            condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        try:
            return await self._put(name, data, None, lock_until, **condition)
        except UnsupportedError:
            if not condition:
                raise
            self._abilities = replace(self._abilities, is_conditional=False)
            return await self._put(name, data, None, lock_until)
        except (ConflictError, NotFoundError):
            if not condition:
                raise
            return await self._own_write(name, data)

    async def _own_write(self, name: str, data: bytes) -> ObjectInfo:
        """After a conflict: the object, if it was our own write whose answer was lost."""
        try:
            found = await self.get(name)
        except NotFoundError:
            found = None
        if found is None or found.data != data:
            raise ConflictError(f"{name} was changed by somebody else")
        return found.info

    async def get(
        self,
        name: str,
        *,
        offset: int = 0,
        size_bytes: int | None = None,
        version: str | None = None,
    ) -> Fetched:
        """A GET, and a second one when the first is slow; the first answer counts."""
        members = self._members(name, version)
        if size_bytes == 0:
            return await self._get_nothing(name, offset, version)
        if offset or size_bytes is not None:
            end = "" if size_bytes is None else str(offset + size_bytes - 1)
            members["Range"] = f"bytes={offset}-{end}"
        most_bytes = GET_MAX_BYTES if size_bytes is None else size_bytes

        def fetch() -> Awaitable[tuple[dict[str, Any], bytes]]:
            return self._calls.fetch(name, most_bytes, **members)

        try:
            answer, data = await self._hedge.run(fetch, most_bytes)
        except UsageError:
            # A range that begins at the end is empty; S3 has no words for that.
            return await self._get_nothing(name, offset, version)
        info = self._describe(name, answer)
        total = _total_bytes(answer)
        wanted = -1 if total is None else total - offset
        if len(data) != (wanted if size_bytes is None else min(size_bytes, wanted)):
            raise TransientError(f"{name}: the server answered with another range")
        assert total is not None
        return Fetched(replace(info, size_bytes=total), data)

    async def head(self, name: str, *, version: str | None = None) -> ObjectInfo:
        """Size, tag, version and lock. S3 cannot tell a missing bucket here."""
        answer = await self._calls.call("head_object", "HEAD", name, **self._members(name, version))
        return self._describe(name, answer)

    async def list_page(self, prefix: str, *, after: str = "", limit: int = PAGE_MAX) -> Page:
        """One LIST; see `Bucket.list_page`. Names that are not the project's are left out."""
        members: dict[str, Any] = {"Prefix": self._prefix + prefix, "MaxKeys": limit}
        if after:
            members["StartAfter"] = self._prefix + after
        answer = await self._calls.call("list_objects_v2", "LIST", f"list of {prefix}", **members)
        rows = answer.get("Contents", [])
        names = [self._strip(str(row.get("Key", ""))) for row in rows]
        if names != sorted(set(names)) or (names and names[0] <= after):
            raise TransientError(f"list of {prefix}: the server's order is not that of names")
        found = [
            _describe_row(name, row)
            for name, row in zip(names, rows, strict=True)
            if is_name(name) and name.startswith(prefix)
        ]
        following = names[-1] if answer.get("IsTruncated") and names else None
        return Page(tuple(found), following)

    async def list_versions(
        self, prefix: str, *, after: str = "", cursor: str = "", limit: int = PAGE_MAX
    ) -> Page:
        """One LIST of versions; see `Bucket.list_versions`."""
        members: dict[str, Any] = {"Prefix": self._prefix + prefix, "MaxKeys": limit}
        if cursor or after:
            version, key = cursor.split(" ", 1) if cursor else ("", self._prefix + after)
            members["KeyMarker"] = key
            if version:
                members["VersionIdMarker"] = version
        answer = await self._calls.call(
            "list_object_versions", "LIST", f"list of {prefix}", **members
        )
        rows = [(row, False) for row in answer.get("Versions", [])]
        rows += [(row, True) for row in answer.get("DeleteMarkers", [])]
        found = [
            replace(_describe_row(name, row), is_marker=is_marker)
            for row, is_marker in rows
            if is_name(name := self._strip(str(row.get("Key", ""))))
        ]
        found.sort(key=lambda info: info.modified, reverse=True)
        found.sort(key=lambda info: (info.name, not info.is_latest))
        following = None
        if answer.get("IsTruncated"):
            following = f"{answer.get('NextVersionIdMarker', '')} {answer.get('NextKeyMarker', '')}"
            if following == cursor:
                raise TransientError(f"list of {prefix}: the server's list does not go on")
        return Page(tuple(found), following)

    async def delete(self, name: str, *, version: str | None = None) -> None:
        """One DELETE; a missing object is fine."""
        with contextlib.suppress(MissingObjectError):
            await self._calls.call("delete_object", "DELETE", name, **self._members(name, version))

    async def lock(self, name: str, until: datetime, *, version: str | None = None) -> None:
        """Lock a version in compliance mode, or extend that; nobody can shorten it."""
        self._check_lock(until)
        await self._calls.call(
            "put_object_retention",
            "PUT",
            name,
            Retention={"Mode": _MODE, "RetainUntilDate": until},
            **self._members(name, version),
        )

    async def drop_unfinished(self, before: datetime) -> int:
        """Give up unfinished multipart uploads that began before then; how many."""
        return await drop_uploads(self._calls, self._prefix, before.isoformat())

    async def close(self) -> None:
        """Close every connection."""
        await self._calls.close()

    # ---- one object ----

    async def _put(
        self,
        name: str,
        body: Body,
        sha256: bytes | None,
        lock_until: datetime | None,
        **condition: Any,
    ) -> ObjectInfo:
        key = self._key(name)
        members = _lock_members(lock_until)
        if lock_until is not None:
            members["ContentMD5"] = await asyncio.to_thread(_content_md5, name, body)
        answer = await self._calls.send(
            "put_object",
            name,
            lambda: Outgoing(name, body, sha256),
            Key=key,
            **members,
            **condition,
        )
        tag = str(answer.get("ETag", "")).strip('"')
        if not tag:
            return await self.head(name)
        return ObjectInfo(
            name, measure(body), _answered(answer), tag, _version(answer), locked_until=lock_until
        )

    async def _get_nothing(self, name: str, offset: int, version: str | None) -> Fetched:
        info = await self.head(name, version=version)
        if offset > info.size_bytes:
            raise UsageError(f"{name} has only {info.size_bytes} bytes")
        return Fetched(info, b"")

    def _describe(self, name: str, answer: dict[str, Any]) -> ObjectInfo:
        modified = answer.get("LastModified")
        return ObjectInfo(
            name,
            int(answer.get("ContentLength", 0)),
            modified if isinstance(modified, datetime) else _answered(answer),
            str(answer.get("ETag", "")).strip('"'),
            _version(answer),
            locked_until=answer.get("ObjectLockRetainUntilDate")
            if answer.get("ObjectLockMode") == _MODE
            else None,
        )

    def _members(self, name: str, version: str | None) -> dict[str, Any]:
        members: dict[str, Any] = {"Key": self._key(name)}
        if version is not None:
            members["VersionId"] = version
        return members

    def _key(self, name: str) -> str:
        return self._prefix + check_name(name)

    def _strip(self, key: str) -> str:
        """The name behind a key; a key that is not below the prefix becomes no name."""
        return key[len(self._prefix) :] if key.startswith(self._prefix) else ""

    def _check_lock(self, until: datetime | None) -> None:
        if until is not None and not self._abilities.has_lock:
            raise UsageError("object lock is not switched on for this bucket")


def _describe_row(name: str, row: dict[str, Any]) -> ObjectInfo:
    modified = row.get("LastModified")
    if not isinstance(modified, datetime):
        raise TransientError(f"{name}: the server's list says no time")
    return ObjectInfo(
        name,
        int(row.get("Size", 0)),
        modified,
        str(row.get("ETag", "")).strip('"'),
        _version(row),
        bool(row.get("IsLatest", True)),
    )


def _version(answer: dict[str, Any]) -> str | None:
    version = answer.get("VersionId")
    return str(version) if version else None


def _answered(answer: dict[str, Any]) -> datetime:
    """When the server answered, by its own clock."""
    text = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (TypeError, ValueError):
        return datetime.fromtimestamp(0, UTC)


def _total_bytes(answer: dict[str, Any]) -> int | None:
    """The size of the whole object, from an answer to a range or to all of it."""
    described = answer.get("ContentRange")
    if not described:
        return int(answer.get("ContentLength", 0))
    total = str(described).rpartition("/")[2]
    return int(total) if total.isdecimal() else None


def _lock_members(until: datetime | None) -> dict[str, Any]:
    if until is None:
        return {}
    return {"ObjectLockMode": _MODE, "ObjectLockRetainUntilDate": until}


def _content_md5(name: str, body: Body) -> str:
    outgoing = Outgoing(name, body, None)
    try:
        return base64.b64encode(outgoing.md5()).decode()
    finally:
        outgoing.close()
