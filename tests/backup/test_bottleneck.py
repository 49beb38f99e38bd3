"""What a backup says of where its time went is where it was made to go."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from appliance.backup.disks import DiskBackup
from appliance.base.clock import SystemClock
from appliance.base.progress import Progress, Resource
from appliance.keys.hierarchy import MasterKey
from appliance.native import Batch
from appliance.sources.disk import DiskSource
from appliance.store import ingest
from appliance.store.leases import writer_lease
from appliance.store.store import Store
from tests.images import mixed_image

# What is slow is slower than anything else: on a busy machine that may need the last of these.
DELAYS_S = (0.3, 3.0, 15.0)


def slowed(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, delay_s: float) -> None:
    """Let every call take longer."""
    real = getattr(owner, name)

    def slow(*arguments: object) -> object:
        time.sleep(delay_s)
        return real(*arguments)

    monkeypatch.setattr(owner, name, slow)


def shares_of(folder: Path, seed: int) -> dict[Resource, int]:
    store = Store.create(folder / "state", MasterKey(bytes(range(32)), bytes(16)))
    path = folder / "disk.raw"
    path.write_bytes(mixed_image(seed, 8))
    source = DiskSource(path)
    progress = Progress()
    with writer_lease(store.layout) as lease:
        DiskBackup(store, SystemClock(), progress, "m", [source]).run(lease, None, None)
    source.close()
    shares = progress.snapshot().bottleneck
    assert shares is not None
    assert 98 <= sum(shares.values()) <= 102
    assert shares["line"] == 0
    return shares


@pytest.mark.parametrize(
    ("owner", "name", "resource"),
    [
        (DiskSource, "read", "source"),
        (Batch, "ingest", "cpu"),
        (ingest, "store_container", "disk"),
    ],
)
def test_what_is_slow_is_named(
    tmp_path: Path,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
    *,
    owner: object,
    name: str,
    resource: Resource,
) -> None:
    monkeypatch.setattr(ingest, "SEALING_MAX", 1)
    for delay_s in DELAYS_S:
        with monkeypatch.context() as patch:
            slowed(patch, owner, name, delay_s)
            shares = shares_of(tmp_path / str(delay_s), seed)
        if shares[resource] == max(shares.values()):
            return
    pytest.fail(f"{resource} took {delay_s} s for each call: {shares}")
