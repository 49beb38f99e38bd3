"""Reading containers past what somebody wrote over them, or hid behind a delete marker.

Owns a view of a bucket with versions that knows, of an object named by its SHA-256, which version
has it. The question goes out beside the first read, so nobody waits for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from datetime import datetime

from appliance.base.errors import HoldfastError, IntegrityError, NotFoundError
from appliance.vault.bucket import (
    Body,
    Bucket,
    Fetched,
    MissingObjectError,
    ObjectInfo,
    list_all_versions,
)
from appliance.vault.bucket_view import BucketView

_HASH_NAME = re.compile(r"(?:.*/)?([0-9a-f]{64})")
_REMEMBERED_MAX = 100_000


class SoundBucket(BucketView):
    """Gives of each object that is named by its hash the version that has it; else as `bucket`."""

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(bucket)
        self._sound: dict[str, str | None] = {}

    async def get(
        self,
        name: str,
        *,
        offset: int = 0,
        size_bytes: int | None = None,
        version: str | None = None,
    ) -> Fetched:
        """A range of the version that is what its name says; see `Bucket.get`.

        Raises IntegrityError if there are versions and none is.
        """
        version = version or self._sound.get(name)
        read = self._bucket.get(name, offset=offset, size_bytes=size_bytes, version=version)
        if version is not None or not self._is_questionable(name):
            return await read
        first, found = await asyncio.gather(read, self._find(name), return_exceptions=True)
        if isinstance(found, BaseException):
            raise found
        if isinstance(first, Fetched) and first.info.version == found:
            return first
        if isinstance(first, BaseException) and not isinstance(first, HoldfastError):
            raise first
        return await self._bucket.get(name, offset=offset, size_bytes=size_bytes, version=found)

    async def head(self, name: str, *, version: str | None = None) -> ObjectInfo:
        """The version that is what its name says; see `Bucket.head`."""
        if version is None and self._is_questionable(name):
            version = await self._find(name)
        return await self._bucket.head(name, version=version)

    async def _find(self, name: str) -> str | None:
        """The version of `name` that has its hash; more than one are read only if they differ."""
        if name in self._sound:
            return self._sound[name]
        versions = [
            info
            async for info in list_all_versions(self._bucket, name)
            if info.name == name and not info.is_marker
        ]
        if not versions:
            raise MissingObjectError(f"{name} is not in the vault")
        if len({(info.size_bytes, info.tag) for info in versions}) > 1:
            # What was there first cannot be what somebody wrote over it.
            versions = [await self._first_sound(name, versions[::-1])]
        if len(self._sound) >= _REMEMBERED_MAX:
            self._sound.clear()
        self._sound[name] = versions[0].version
        return versions[0].version

    async def _first_sound(self, name: str, versions: list[ObjectInfo]) -> ObjectInfo:
        matched = _HASH_NAME.fullmatch(name)
        for info in versions:
            try:
                data = (await self._bucket.get(name, version=info.version)).data
            except (NotFoundError, IntegrityError):
                continue
            if matched and hashlib.sha256(data).hexdigest() == matched[1]:
                return info
        raise IntegrityError(f"{name}: no version of it in the vault is what was written")

    def _is_questionable(self, name: str) -> bool:
        return self.abilities.has_versions and _HASH_NAME.fullmatch(name) is not None

    # ---- as it is, and found anew ----

    async def put(
        self,
        name: str,
        body: Body,
        sha256: bytes,
        *,
        lock_until: datetime | None = None,
        part_bytes: int | None = None,
    ) -> ObjectInfo:
        """See `Bucket.put`."""
        self._sound.pop(name, None)
        return await self._bucket.put(
            name, body, sha256, lock_until=lock_until, part_bytes=part_bytes
        )

    async def replace(
        self, name: str, data: bytes, *, tag: str | None, lock_until: datetime | None = None
    ) -> ObjectInfo:
        """See `Bucket.replace`."""
        return await self._bucket.replace(name, data, tag=tag, lock_until=lock_until)

    async def delete(self, name: str, *, version: str | None = None) -> None:
        """See `Bucket.delete`."""
        self._sound.pop(name, None)
        await self._bucket.delete(name, version=version)

    async def lock(self, name: str, until: datetime, *, version: str | None = None) -> None:
        """See `Bucket.lock`."""
        await self._bucket.lock(name, until, version=version)

    async def drop_unfinished(self, before: datetime) -> int:
        """See `Bucket.drop_unfinished`."""
        return await self._bucket.drop_unfinished(before)
