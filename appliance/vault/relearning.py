"""What a box without notes of a vault learns from its bills.

Owns that: into what containers were merged, and which chunks lie where no reference hints. A box
that took a vault over, or lost its notes, would take for lost what only the vault has. Believes
only what authenticates; what cannot be read is passed over.
"""

from __future__ import annotations

import contextlib

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.catalog.vault_ledger import VaultLedger
from appliance.formats.bill import Bill, Need
from appliance.native import HEADER_BYTES, TRAILER_BYTES
from appliance.vault.contents import Contents
from appliance.vault.rebilling import StrayKeys, learn_merged, read_strays
from appliance.vault.streams import for_each
from appliance.vault.wardrobe import Wardrobe


class Relearning:
    """For one vault, before anything is sent there."""

    def __init__(
        self, contents: Contents, ledger: VaultLedger, wardrobe: Wardrobe, keys: StrayKeys
    ) -> None:
        self._contents = contents
        self._ledger = ledger
        self._wardrobe = wardrobe
        self._keys = keys

    async def run(self) -> None:
        """Read the bills of all living points, and the directories to which their strays lead."""
        needed: dict[bytes, Need] = {}
        for machine in self._ledger.note("machines") or ():
            for name in self._ledger.points(machine).values():
                with contextlib.suppress(IntegrityError, NotFoundError):
                    bill = await self._contents.read_bill(name)
                    learn_merged(self._ledger, bill, self._keys)
                    needed |= self._leading_to(bill)
        await for_each(needed.values(), self._learn)

    def _leading_to(self, bill: Bill) -> dict[bytes, Need]:
        """The objects in which strays of a bill lie."""
        names = {name for _, name, _ in read_strays(bill, self._keys)}
        return {need.name: need for need in bill.needs if need.name in names}

    async def _learn(self, need: Need) -> None:
        if self._wardrobe.directory(need.name) is not None:
            return
        bucket, size_bytes = self._contents.bucket, need.size_bytes
        with contextlib.suppress(IntegrityError, NotFoundError):
            header = (await bucket.get(need.key, size_bytes=HEADER_BYTES)).data
            at = size_bytes - TRAILER_BYTES
            trailer = (await bucket.get(need.key, offset=at, size_bytes=TRAILER_BYTES)).data
            offset = int.from_bytes(trailer[:8], "little")
            if HEADER_BYTES <= offset < at:
                tail = (await bucket.get(need.key, offset=offset, size_bytes=at - offset)).data
                self._wardrobe.put(need.name, size_bytes, header, tail + trailer)
