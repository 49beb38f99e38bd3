"""A bucket as it was at a time: the answer to somebody who overwrites.

Owns a read-only view that ignores every later version and every delete marker. It remembers which
version of a name it found, so that reading many ranges of one object asks once.
"""

from __future__ import annotations

from datetime import datetime
from typing import NoReturn

from appliance.base.errors import UsageError
from appliance.vault.bucket import PAGE_MAX, Abilities, Bucket, Fetched, ObjectInfo, Page
from appliance.vault.bucket_view import BucketView
from appliance.vault.object_lock import find_as_of, list_as_of

_REMEMBERED_MAX = 100_000
_READ_ONLY = "the vault was opened as of a time in the past: nothing is written to it"


class AsOfBucket(BucketView):
    """Shows `bucket` as of `time`; whatever would change it raises UsageError."""

    def __init__(self, bucket: Bucket, time: datetime) -> None:
        """Raises UsageError where there are no versions to go back to."""
        if not bucket.abilities.has_versions:
            raise UsageError("this vault keeps no versions: leave out --as-of")
        super().__init__(bucket)
        self._time = time
        self._versions: dict[str, str | None] = {}

    @property
    def abilities(self) -> Abilities:
        """Without versions: there is one of each name."""
        return Abilities()

    async def get(
        self,
        name: str,
        *,
        offset: int = 0,
        size_bytes: int | None = None,
        version: str | None = None,
    ) -> Fetched:
        """What was there then; see `Bucket.get`."""
        version = version or await self._find(name)
        return await super().get(name, offset=offset, size_bytes=size_bytes, version=version)

    async def head(self, name: str, *, version: str | None = None) -> ObjectInfo:
        """What was there then; see `Bucket.head`."""
        return await super().head(name, version=version or await self._find(name))

    async def list_page(self, prefix: str, *, after: str = "", limit: int = PAGE_MAX) -> Page:
        """What was there then; see `Bucket.list_page`."""
        found: list[ObjectInfo] = []
        async for info in list_as_of(self._bucket, prefix, self._time, after=after):
            if info.name <= after:
                continue
            if len(found) == limit:
                return Page(tuple(found), found[-1].name)
            self._remember(info)
            found.append(info)
        return Page(tuple(found))

    async def list_versions(
        self, prefix: str, *, after: str = "", cursor: str = "", limit: int = PAGE_MAX
    ) -> Page:
        """The same as `list_page`."""
        return await self.list_page(prefix, after=cursor or after, limit=limit)

    async def _refuse(self, *_: object, **__: object) -> NoReturn:
        """Raises UsageError."""
        raise UsageError(_READ_ONLY)

    put = replace = delete = lock = drop_unfinished = _refuse

    async def _find(self, name: str) -> str | None:
        if name not in self._versions:
            self._remember(await find_as_of(self._bucket, name, self._time))
        return self._versions[name]

    def _remember(self, info: ObjectInfo) -> None:
        if len(self._versions) >= _REMEMBERED_MAX:
            self._versions.clear()
        self._versions[info.name] = info.version
