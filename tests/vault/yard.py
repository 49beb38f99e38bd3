"""Many small machines and a vault, worked on in this process: `python -m tests.vault.yard` prunes.

With a number of steps the process kills itself at that change of the vault: see `main`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from appliance.backup.disks import DiskBackup
from appliance.base.clock import Clock, SystemClock
from appliance.base.progress import Progress
from appliance.catalog.vault_ledger import VaultLedger
from appliance.formats.bill import decode_bill
from appliance.formats.point import Manifest
from appliance.keys.keyring import load_master_key
from appliance.sources.disk import DiskSource
from appliance.store.leases import writer_lease
from appliance.store.store import Store
from appliance.vault.checking import Checked, Checking
from appliance.vault.connection import Connection, connect
from appliance.vault.directory import DirectoryBucket
from appliance.vault.merging import Merged, MergeRule, Merging
from appliance.vault.pruning import PrunedVault, Pruning
from appliance.vault.rebilling import read_strays
from appliance.vault.s3 import S3Bucket
from tests.command import Holdfast
from tests.vault.office import Office

KIB = 1 << 10
DISK_BYTES = 512 * KIB
RULE = MergeRule(least=12)
# An hour ahead: what was merged a moment ago may go.
AT_ONCE = timedelta(hours=-1)


class Yard(Office):
    """An office whose machines are backed up without a process for each."""

    def __init__(self, folder: Path, seed: int, url: str = "", *options: str) -> None:
        """`options`: of `vault add`."""
        super().__init__(folder, seed, url)
        self.add_vault(*options)
        self.chance = random.Random(seed)
        self.disks: dict[str, bytearray] = {}
        self.clock: Clock = SystemClock()
        self.requests: Counter[str] = Counter()

    def work(self, machines: int, changes: int = 1) -> None:
        """Every machine changes a little and is backed up."""
        store = open_store(self.box.state)
        path = self.folder / "disk.raw"
        for number in range(machines):
            name = f"m{number}"
            disk = self.disks.setdefault(name, bytearray(self.chance.randbytes(DISK_BYTES)))
            for _ in range(changes):
                at = self.chance.randrange(0, DISK_BYTES - 4 * KIB)
                disk[at : at + 4 * KIB] = self.chance.randbytes(4 * KIB)
            path.write_bytes(disk)
            manifest = back_up(store, name, path)
            self.images[str(manifest.name)] = bytes(disk)

    def upload(self, *, is_all: bool = True) -> None:
        asyncio.run(self._upload(is_all=is_all))

    async def _upload(self, *, is_all: bool) -> None:
        async with self.connected() as connection:
            _, publisher, wardrobe, seen = await _ready(connection)
            done = await connection.sync(publisher, wardrobe).run(seen, is_all=is_all)
            wardrobe.spill()
            assert done.is_done, done.waiting
            assert not done.findings, done.findings

    def prune(
        self, rule: MergeRule = RULE, keep: int | None = None, grace: timedelta = AT_ONCE
    ) -> tuple[PrunedVault, Merged]:
        """Keep so many points of each machine, merge, and free what nothing needs."""
        return asyncio.run(self._prune(rule, keep, grace))

    async def _prune(
        self, rule: MergeRule, keep: int | None, grace: timedelta
    ) -> tuple[PrunedVault, Merged]:
        async with self.connected() as connection:
            return await prune(connection, rule, keep, grace)

    def verify(self) -> Checked:
        return asyncio.run(self._verify())

    async def _verify(self) -> Checked:
        async with self.connected() as connection:
            contents = await connection.open()
            with tempfile.TemporaryDirectory() as folder:
                ledger = VaultLedger(Path(folder) / "checked.db")
                try:
                    return await Checking(contents, ledger, Progress()).run()
                finally:
                    ledger.close()

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        """The vault; `requests` counts what is asked of it."""
        store = open_store(self.box.state)
        async with connect(store, "vault", self.clock, Progress()) as connection:
            yield connection
            self.requests += connection.bucket.traffic.requests

    def strays(self, box: Holdfast | None = None) -> list[tuple[bytes, bytes, int]]:
        """The strays of all bills that a box keeps, by default ours."""
        state = (box or self.box).state
        keys = load_master_key(state, None)
        bills = [
            decode_bill(path.read_bytes())
            for path in (state / "vaults" / "vault" / "strays").iterdir()
        ]
        return [stray for bill in bills for stray in read_strays(bill, keys)]

    def containers(self) -> int:
        return len(self.objects("containers")) + len(self.objects("deltas"))


def open_store(state: Path) -> Store:
    return Store(state, load_master_key(state, None))


def back_up(store: Store, machine: str, path: Path) -> Manifest:
    source = DiskSource(path)
    try:
        with writer_lease(store.layout) as lease:
            base = None
            newest = max(store.points.files(machine), key=lambda file: file.stem, default=None)
            if newest is not None:
                base = store.points.read(newest)
            job = DiskBackup(store, SystemClock(), Progress(), machine, [source])
            return job.run(lease, base, None).manifest
    finally:
        source.close()


async def _ready(connection: Connection) -> tuple[Any, ...]:
    contents, publisher, _ = await connection.open_or_restore()
    wardrobe = connection.wardrobe()
    seen = await connection.survey(contents, publisher, wardrobe).run()
    return contents, publisher, wardrobe, seen


async def prune(
    connection: Connection, rule: MergeRule, keep: int | None = None, grace: timedelta = AT_ONCE
) -> tuple[PrunedVault, Merged]:
    contents, publisher, wardrobe, seen = await _ready(connection)
    pruning = Pruning(
        connection.store,
        contents,
        publisher,
        ledger=connection.ledger,
        folder=connection.registry.folder("vault"),
        progress=Progress(),
    )
    if keep is not None:
        for machine in publisher.links():
            going = sorted(connection.ledger.points(machine))[:-keep]
            await pruning.forget(machine, set(going))
    merging: Merging = connection.merging(contents, publisher, wardrobe, rule)
    merged = await merging.run()
    wardrobe.spill()
    await connection.sync(publisher, wardrobe).publish_box(seen)
    with tempfile.TemporaryDirectory() as folder:
        live = VaultLedger(Path(folder) / "live.db")
        await pruning.free(live, grace)
        live.close()
    return pruning.pruned, merged


async def _prune_there(state: Path) -> None:
    async with connect(open_store(state), "vault", SystemClock(), Progress()) as connection:
        await prune(connection, RULE)


def main() -> None:
    """Merge and prune STATE; STEP: die at that change of the vault, before or after it."""
    state, step, is_after = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "after"
    left = step

    def dying(kind: type[DirectoryBucket | S3Bucket], name: str) -> None:
        do = getattr(kind, name)

        async def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            is_last = left == 0  # others go on meanwhile
            if is_last and not is_after:
                os.kill(os.getpid(), signal.SIGKILL)
            done = await do(*arguments, **options)
            if is_last:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        setattr(kind, name, counted)

    for kind in (DirectoryBucket, S3Bucket):
        for name in ("put", "replace", "delete"):
            dying(kind, name)
    asyncio.run(_prune_there(state))
    print(step - left)


if __name__ == "__main__":
    main()
