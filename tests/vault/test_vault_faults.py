"""A whole sync through a proxy that fails in every way that S3 and its lines fail."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.vault.conftest import new_name
from tests.vault.fault_proxy import FAULTS, FaultProxy, Forward, hang
from tests.vault.gateway import BOX, Gateway
from tests.vault.office import MIB, Office

# A fault for every so many requests; one that hangs costs the patience of a minute.
EVERY = 4
CALM = [name for name, fault in FAULTS.items() if fault is not hang and "credentials" not in name]


@pytest.fixture
def proxy(gateway: Gateway) -> Iterator[FaultProxy]:
    with FaultProxy(gateway.endpoint) as started:
        yield started


def test_a_sync_among_faults_ends_whole_or_says_why(
    tmp_path: Path, seed: int, gateway: Gateway, proxy: FaultProxy
) -> None:
    address = gateway.address(new_name(), "office", proxy.endpoint)
    credentials = tmp_path / "credentials.ini"
    credentials.write_text(
        f"[default]\naws_access_key_id = {BOX.access_key}\n"
        f"aws_secret_access_key = {BOX.secret_key}\n"
    )
    office = Office(tmp_path, seed, str(address))
    office.box("vault", "add", office.url, "--credentials-file", credentials, expect=0)
    chance = random.Random(seed)
    met: list[str] = []

    async def fail_sometimes(
        self: FaultProxy, request: web.Request, forward: Forward
    ) -> web.StreamResponse:
        if chance.randrange(EVERY):
            return await FAULTS["duplicate delete"](self, request, forward)
        name = chance.choice(CALM)
        met.append(name)
        return await FAULTS[name](self, request, forward)

    try:
        for _ in range(4):
            office.back_up(image=chance.randbytes(3 * MIB))
            proxy.fail(fail_sometimes, times=1 << 30)
            office.box("vault", "sync", timeout_s=600)
            proxy.fail(None)
        assert met, "nothing failed: this proves nothing"
        # Whatever happened: what the vault calls alive is whole, and a quiet line mends the rest.
        office.box("vault", "sync", "--thorough", "--wait", timeout_s=600)
        office.box("vault", "verify", expect=0, timeout_s=600)
        done = office.sync()
        assert done["done"]
        status = office.box("--json", "vault", "status", expect=0).json()["vaults"][0]
        machine = status["machines"][0]
        assert machine["newest_there"] == machine["newest"]
    finally:
        office.close()
