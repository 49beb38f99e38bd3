"""What an upload says of where its time went is where it was made to go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.base.clock import SystemClock
from appliance.base.progress import Progress, Resource
from appliance.keys.keyring import load_master_key
from appliance.store.store import Store
from appliance.vault.connection import connect
from appliance.vault.directory import DirectoryBucket
from tests.vault.office import Office

# What is slow is slower than anything else: on a busy machine that may need the last of these.
DELAYS_S = (0.3, 3.0)


@pytest.fixture
def office(tmp_path: Path, seed: int) -> Iterator[Office]:
    found = Office(tmp_path, seed)
    found.add_vault()
    yield found
    found.close()


async def shares_of(office: Office, *, is_local: bool) -> dict[Resource, int]:
    """Where the time of a first sync goes; `is_local`: whether there is no line in between."""
    store = Store(office.box.state, load_master_key(office.box.state, None))
    progress = Progress()
    async with connect(store, None, SystemClock(), progress) as connection:
        connection.gate.is_local = is_local
        contents, publisher, _ = await connection.open_or_restore()
        wardrobe = connection.wardrobe()
        seen = await connection.survey(contents, publisher, wardrobe).run()
        done = await connection.sync(publisher, wardrobe).run(seen)
        wardrobe.spill()
    assert done.is_done
    shares = progress.snapshot().bottleneck
    assert shares is not None
    assert 98 <= sum(shares.values()) <= 102
    return shares


@pytest.mark.parametrize(("is_local", "resource"), [(False, "line"), (True, "disk")])
def test_a_vault_that_takes_its_time_is_named_as_the_line_or_as_a_disk(
    office: Office, monkeypatch: pytest.MonkeyPatch, *, is_local: bool, resource: Resource
) -> None:
    real = DirectoryBucket._write
    for delay_s in DELAYS_S:

        def slow(*arguments: Any, delay_s: float = delay_s) -> Any:
            time.sleep(delay_s)
            return real(*arguments)

        office.back_up(size_mib=4)
        with monkeypatch.context() as patch:
            patch.setattr(DirectoryBucket, "_write", slow)
            shares = asyncio.run(shares_of(office, is_local=is_local))
        assert (shares["line"] == 0) == is_local
        if shares[resource] == max(shares.values()):
            return
    pytest.fail(f"each write took {DELAYS_S[-1]} s: {shares}")
