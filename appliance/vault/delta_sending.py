"""Sending deltas in the place of containers, when the line is what everybody waits for.

Owns when that is so, and that sending and making go on at the same time. What was sent counts as
held by the vault at once, so that the walk finds the chunks there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from appliance.catalog.vault_ledger import Held, VaultLedger
from appliance.formats.vault_names import HashedKey
from appliance.native import HEADER_BYTES, TRAILER_BYTES
from appliance.vault.delta_making import DeltaMaking, MadeDeltas
from appliance.vault.uploader import Uploader
from appliance.vault.wardrobe import Wardrobe

LINE_RATE = "line_bytes_per_s"
# A line that carries more is not what anybody waits for: deltas take a processor.
_SLOW_BYTES_PER_S = 16_000_000
# For less nobody waits.
_LEAST_BYTES = 1 << 20


class DeltaSending:
    """Sends deltas to one vault."""

    def __init__(
        self,
        making: DeltaMaking,
        uploader: Uploader,
        ledger: VaultLedger,
        wardrobe: Wardrobe,
        *,
        is_local: bool,
    ) -> None:
        """`is_local`: there is no line in between, unless somebody set a limit."""
        self._making = making
        self._uploader = uploader
        self._ledger = ledger
        self._wardrobe = wardrobe
        self._is_local = is_local
        self.turn = asyncio.Lock()
        """Held by whoever looks what is missing and sends it: deltas are made one after another."""

    def is_wanted(self) -> bool:
        """Whether the line is what everybody waits for, as far as is known."""
        rate = self._uploader.allowed_bytes_per_s
        if rate is None and not self._is_local:
            rate = self._ledger.note(LINE_RATE)
        return rate is not None and float(rate) <= _SLOW_BYTES_PER_S

    async def send(self, missing: Sequence[Held]) -> None:
        """Send deltas in the place of those containers for which they pay."""
        if sum(held.size_bytes for held in missing) < _LEAST_BYTES:
            return
        await asyncio.to_thread(self._making.learn)
        making = self._making.make(missing)
        sending: asyncio.Task[None] | None = None
        try:
            while (made := await asyncio.to_thread(next, making, None)) is not None:
                if sending is not None:
                    await sending
                sending = asyncio.create_task(self._send(made))
                del made  # 32 MiB, which go when they were sent
            if sending is not None:
                await sending
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, made: MadeDeltas) -> None:
        await self._uploader.send_made(HashedKey("deltas", made.name), made.data)
        await asyncio.to_thread(self._keep, made)

    def _keep(self, made: MadeDeltas) -> None:
        offset = int.from_bytes(made.data[-TRAILER_BYTES:][:8], "little")
        header, tail = made.data[:HEADER_BYTES], made.data[offset:]
        self._wardrobe.put(made.name, len(made.data), header, tail)
        held = self._ledger.find(made.name)
        assert held is not None
        self._ledger.put_sketches(held.number, made.sketches)
