"""Sending objects: deadlines, parts, repeated attempts, and the note that they are there.

Owns one object's way into the vault. Whether an object is needed, and when it may go, others say.
An object counts as sent only after the vault said so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from appliance.base.errors import NotFoundError
from appliance.base.progress import Progress
from appliance.catalog.vault_ledger import Held, VaultLedger
from appliance.formats.vault_names import HashedKey, object_key
from appliance.store.layout import Layout
from appliance.vault.bucket import Bucket, FileRange, SlowDownError, TransientError
from appliance.vault.gate import Gate
from appliance.vault.streams import Streams
from appliance.vault.traffic import Request
from appliance.vault.wardrobe import Wardrobe

ATTEMPTS = 6
_PAUSE_S = 1.0
_PAUSE_MAX_S = 60.0
# One PUT is cheapest; parts pay when a cut would throw a minute of work away.
_WHOLE_S = 60.0
_PART_S = 15.0
_PART_MIN_BYTES = 5 << 20  # of S3's multipart uploads
# Slower than this nobody calls a line: the attempt is given up.
_SLOWEST_BYTES_PER_S = 16 << 10
_DEADLINE_BASE_S = 120.0


@dataclass
class Sent:
    """What was sent by one sync."""

    objects: int = 0
    bytes: int = 0
    names: list[str] = field(default_factory=list)


class Uploader:
    """Sends to one vault. Belongs to one event loop."""

    def __init__(
        self,
        bucket: Bucket,
        layout: Layout,
        ledger: VaultLedger,
        wardrobe: Wardrobe,
        *,
        gate: Gate,
        progress: Progress,
        lock_until: Callable[[], datetime | None],
    ) -> None:
        """`lock_until` gives until when what is written now stays locked, if it does."""
        self._bucket = bucket
        self._layout = layout
        self._ledger = ledger
        self._wardrobe = wardrobe
        self._gate = gate
        self.progress = progress
        self.lock_until = lock_until
        self.streams = Streams()
        self.sent = Sent()
        bucket.traffic.listeners += [self.streams.note, self._note_time]

    async def drop_unfinished(self, before: datetime) -> int:
        """Give up what interrupted uploads left half-made before then; how many."""
        return await self._bucket.drop_unfinished(before)

    async def send_container(self, held: Held) -> None:
        """Send a container of the box; in the vault, and noted so, on return.

        Raises NotFoundError if it is no longer on the box, IntegrityError if it is damaged here.
        """
        path = self._layout.container(held.name)
        until = self.lock_until()
        async with self.streams.stream():
            await self._gate.wait_open(held.size_bytes)
            try:
                size_bytes = path.stat().st_size
            except FileNotFoundError as error:
                raise NotFoundError(f"container {held.name.hex()} is gone") from error
            body = FileRange(path, size_bytes)
            await self._put(object_key("containers", held.name), body, held.name, until)
        until_s = 0 if until is None else int(until.timestamp())
        self._ledger.put_present("containers", held.name, size_bytes, until_s)
        self.sent.objects += 1
        self.sent.bytes += size_bytes
        with self.progress.spending("source"):
            await asyncio.to_thread(self._wardrobe.learn, path, held.name)
        self.progress.advance(size_bytes)

    async def send_made(self, key: HashedKey, data: bytes) -> None:
        """Send what was made in the place of containers; in the vault, and noted so, on return."""
        await self._gate.wait_open(len(data))
        await self.send_small(key, data)
        self.sent.objects += 1
        self.sent.bytes += len(data)
        self.progress.advance(len(data))

    @property
    def allowed_bytes_per_s(self) -> float | None:
        """How fast may be sent now; None: as fast as it goes."""
        return self._gate.bytes_per_s

    async def send_small(self, key: HashedKey, data: bytes) -> None:
        """Send an object that is named by its hash; in the vault, and noted so, on return."""
        until = self.lock_until()
        async with self.streams.stream():
            await self._put(str(key), data, key.digest, until)
        until_s = 0 if until is None else int(until.timestamp())
        self._ledger.put_present(key.kind, key.digest, len(data), until_s)

    def _note_time(self, request: Request) -> None:
        """A request takes the line's time; a directory's, that of the disk it lies on."""
        spent_ns = int(request.seconds * 1e9)
        self.progress.spend("disk" if self._gate.is_local else "line", spent_ns)

    async def _put(
        self, key: str, body: bytes | FileRange, sha256: bytes, until: datetime | None
    ) -> None:
        size_bytes = body.size_bytes if isinstance(body, FileRange) else len(body)
        pause_s = _PAUSE_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with asyncio.timeout(self._deadline_s(size_bytes)):
                    await self._bucket.put(
                        key,
                        body,
                        sha256,
                        lock_until=until,
                        part_bytes=self._part_bytes(size_bytes),
                    )
            except (TransientError, TimeoutError) as error:
                if attempt == ATTEMPTS:
                    if isinstance(error, TimeoutError):
                        raise TransientError(f"{key} did not get through in time") from error
                    raise
                slower = 4 if isinstance(error, SlowDownError) else 1
                await asyncio.sleep(min(_PAUSE_MAX_S, pause_s * slower))
                pause_s *= 2
            else:
                return

    def _deadline_s(self, size_bytes: int) -> float:
        allowed = self._gate.bytes_per_s
        slowest = min(_SLOWEST_BYTES_PER_S, allowed / 16) if allowed else _SLOWEST_BYTES_PER_S
        return _DEADLINE_BASE_S + size_bytes / slowest

    def _part_bytes(self, size_bytes: int) -> int | None:
        rate = self.streams.bytes_per_s
        allowed = self._gate.bytes_per_s
        if allowed is not None:
            rate = min(rate or allowed, allowed / self.streams.limit)
        if rate is None or size_bytes / rate <= _WHOLE_S:
            return None
        return max(_PART_MIN_BYTES, int(rate * _PART_S))
