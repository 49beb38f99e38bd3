"""What views of a bucket have in common: they read through to it, and close it.

Owns the reading half of a bucket, passed on as it is. What a view shows otherwise, it says itself.
"""

from __future__ import annotations

from appliance.vault.bucket import PAGE_MAX, Abilities, Bucket, Fetched, ObjectInfo, Page
from appliance.vault.traffic import Traffic


class BucketView:
    """Shows `bucket` as it is."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @property
    def abilities(self) -> Abilities:
        """Those of the bucket behind."""
        return self._bucket.abilities

    @property
    def traffic(self) -> Traffic:
        """Requests and bytes of the bucket behind."""
        return self._bucket.traffic

    async def get(
        self,
        name: str,
        *,
        offset: int = 0,
        size_bytes: int | None = None,
        version: str | None = None,
    ) -> Fetched:
        """See `Bucket.get`."""
        return await self._bucket.get(name, offset=offset, size_bytes=size_bytes, version=version)

    async def head(self, name: str, *, version: str | None = None) -> ObjectInfo:
        """See `Bucket.head`."""
        return await self._bucket.head(name, version=version)

    async def list_page(self, prefix: str, *, after: str = "", limit: int = PAGE_MAX) -> Page:
        """See `Bucket.list_page`."""
        return await self._bucket.list_page(prefix, after=after, limit=limit)

    async def list_versions(
        self, prefix: str, *, after: str = "", cursor: str = "", limit: int = PAGE_MAX
    ) -> Page:
        """See `Bucket.list_versions`."""
        return await self._bucket.list_versions(prefix, after=after, cursor=cursor, limit=limit)

    async def close(self) -> None:
        """Close the bucket behind."""
        await self._bucket.close()
