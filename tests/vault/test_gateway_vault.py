"""A vault in a bucket of the real gateway, through the command."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.base.errors import AccessError
from appliance.catalog.vault_ledger import LEDGER, VaultLedger
from appliance.formats.finding import Finding
from appliance.vault.bucket import list_all_versions, list_objects
from appliance.vault.stall import judge_stall, read_stall
from appliance.vault.streams import STREAMS_MAX
from tests.command import Holdfast
from tests.vault.careless_gateway import CarelessGateway
from tests.vault.conftest import Connect, Run, new_name
from tests.vault.fault_proxy import FaultProxy
from tests.vault.gateway import BOX, Gateway
from tests.vault.office import MIB, Office, points_of

CONTAINER = 32 * MIB
# What passes by itself when it is tried again.
PASSING = ("503 SlowDown", "500 after commit", "reset mid-body", "truncated body", "bad ETag")


class BucketOffice(Office):
    """A box and a vault in a bucket."""

    def __init__(self, folder: Path, seed: int, gateway: Gateway, endpoint: str = "") -> None:
        self.bucket = gateway.address(new_name(), "office", endpoint=endpoint)
        self.credentials = folder / "credentials.ini"
        self.credentials.write_text(
            f"[default]\naws_access_key_id = {BOX.access_key}\n"
            f"aws_secret_access_key = {BOX.secret_key}\n"
        )
        super().__init__(folder, seed, str(self.bucket))

    def add(self, *options: str) -> None:
        credentials = ("--credentials-file", self.credentials)
        self.box("vault", "add", self.url, *credentials, *options, expect=0)

    @property
    def ledger(self) -> Path:
        return self.box.state / "vaults" / "vault" / LEDGER

    def find(self) -> list[Finding]:
        """What the box says of its vault by itself."""
        with closing(VaultLedger(self.ledger)) as ledger:
            return list(judge_stall("vault", read_stall(ledger), datetime.now(UTC)))

    def open_there(self, name: str, *options: str, expect: int = 0) -> Holdfast:
        return self.open(name, "--credentials-file", str(self.credentials), *options, expect=expect)


@pytest.fixture
def office(tmp_path: Path, seed: int, gateway: Gateway) -> Iterator[BucketOffice]:
    made = BucketOffice(tmp_path, seed, gateway)
    yield made
    made.close()


def test_a_bucket_and_the_recovery_key_give_the_box_back(office: BucketOffice) -> None:
    office.add()
    names = [office.back_up(), office.back_up("other machine")]
    done = office.sync()
    assert set(done["points"]) == set(names)
    assert office.sync()["traffic"]["sent_bytes"] == 0
    other = office.open_there("other")
    assert points_of(other) == points_of(office.box)
    verify = ("vault", "verify", office.url, "--without-key")
    other(*verify, "--credentials-file", office.credentials, expect=0)
    # Credentials travelled, sealed: the other box asks the bucket without being given any.
    other("vault", "verify", expect=0)
    secret = BOX.secret_key.encode()
    for box in (office.box, other):
        assert secret not in box("vault", "status").stdout
        for path in box.state.rglob("*"):
            assert not path.is_file() or secret not in path.read_bytes(), path


def test_what_is_locked_survives_a_thief_with_the_boxs_credentials(
    office: BucketOffice, connect: Connect, run: Run
) -> None:
    office.add("--lock", "1")
    name = office.back_up()
    office.sync()
    status = office.box("--json", "vault", "status", expect=0).json()["vaults"][0]
    assert status["machines"][0]["immutable_until"] is not None
    assert status["lock_proven_at"] is not None
    bucket = connect(office.bucket, create=False)
    before = run(bucket.head("heads/box/0000000001")).modified
    time.sleep(2.5)  # as-of times are whole seconds

    async def attack() -> tuple[int, int]:
        refused = tried = 0
        async for info in list_all_versions(bucket, ""):
            if info.name.startswith("probe/"):
                continue
            tried += 1
            try:
                await bucket.delete(info.name, version=info.version)
            except AccessError:
                refused += 1
        names = [info.name async for info in list_objects(bucket, "")]
        for at, hidden in enumerate(names):
            if at % 2:
                await bucket.delete(hidden)
            else:
                await bucket.put(hidden, b"gone", hashlib.sha256(b"gone").digest())
        return refused, tried

    refused, tried = run(attack())
    assert refused == tried > 0
    assert points_of(office.open_there("other")) == [name]
    as_of = f"{before + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"
    assert points_of(office.open_there("then", "--as-of", as_of)) == [name]
    assert office.open_there("too early", "--as-of", "2026-01-01T00:00:00Z", expect=5)
    office.sync("--thorough", expect=1)
    assert points_of(office.open_there("healed")) == [name]


@pytest.mark.parametrize("share", [0.15, 0.6])
def test_a_kill_costs_at_most_a_container_of_each_stream(
    office: BucketOffice, share: float, connect: Connect, run: Run
) -> None:
    office.add()
    office.back_up(image=random.Random(office.seed).randbytes(160 * MIB))
    sync = office.box.start("vault", "sync")
    bucket = connect(office.bucket, create=False)

    async def there() -> dict[str, int]:
        found = list_objects(bucket, "containers/")
        return {info.name: info.size_bytes async for info in found}

    deadline = time.monotonic() + 300
    while sum(run(there()).values()) < share * 160 * MIB and sync.poll() is None:
        assert time.monotonic() < deadline
    sync.kill()
    sync.communicate()
    before = run(there())
    done = office.sync()
    lacking = sum(size for name, size in run(there()).items() if name not in before)
    assert done["traffic"]["sent_bytes"] <= lacking + STREAMS_MAX * CONTAINER + MIB
    office.box("vault", "verify", expect=0)


def test_a_gateway_that_dies_and_comes_back_is_waited_for(
    office: BucketOffice, gateway: Gateway
) -> None:
    office.add()
    name = office.back_up(image=random.Random(office.seed).randbytes(96 * MIB))
    sync = office.box.start("--json", "vault", "sync", "--wait")
    time.sleep(1.0)  # any moment will do: before, in, or after a PUT
    gateway.kill()
    time.sleep(1.0)
    gateway.restart()
    out, err = sync.communicate(timeout=300)
    assert sync.returncode == 0, err.decode()
    assert json.loads(out)["points"] == [name]
    office.box("vault", "verify", expect=0)


def test_revoked_credentials_are_said_and_new_ones_are_taken(
    office: BucketOffice, gateway: Gateway
) -> None:
    office.add()
    office.back_up()
    office.credentials.write_text(
        "[default]\naws_access_key_id = NOBODY\naws_secret_access_key = nothing\n"
    )
    given = ("--credentials-file", office.credentials)
    office.box("vault", "set-credentials", *given, expect=0)
    refused = office.box("vault", "sync")
    assert refused.code == 8, refused.err
    assert "nothing" not in refused.err.split()
    (finding,) = office.find()
    assert finding.rule == "vault.refused", "403 is a finding"
    office.credentials.write_text(
        f"[default]\naws_access_key_id = {BOX.access_key}\n"
        f"aws_secret_access_key = {BOX.secret_key}\n"
    )
    office.box("vault", "set-credentials", *given, expect=0)
    assert office.sync()["done"]
    assert not office.find()


def test_a_lock_is_refused_where_the_bucket_has_none(
    office: BucketOffice, connect: Connect
) -> None:
    connect(office.bucket)
    given = ("--credentials-file", office.credentials)
    refused = office.box("vault", "add", office.url, *given, "--lock", "30")
    assert refused.code == 2
    assert "without object lock" in refused.err
    assert office.box("vault", "add", office.url, *given, "--lock", "400").code == 2
    assert office.box("vault", "sync").code == 5, "nothing was kept of it"


def test_a_server_that_ignores_locks_is_refused_and_one_that_begins_to_is_told_of(
    tmp_path: Path, seed: int, gateway: Gateway, connect: Connect
) -> None:
    with CarelessGateway(gateway.endpoint) as proxy:
        office = BucketOffice(tmp_path, seed, gateway, proxy.endpoint)
        connect(gateway.address(office.bucket.bucket), with_lock=True)

        def immutable() -> list[str | None]:
            (vault,) = office.box("--json", "vault", "status", expect=0).json()["vaults"]
            return [machine["immutable_until"] for machine in vault["machines"]]

        try:
            given = ("--credentials-file", office.credentials)
            refused = office.box("vault", "add", office.url, *given, "--lock", "1")
            assert refused.code == 2
            assert "locks do not hold here" in refused.err
            assert office.box("vault", "sync").code == 5, "nothing was kept of it"
            proxy.fail(None)
            office.add("--lock", "1")
            office.back_up()
            office.sync()
            assert None not in immutable()
            proxy.fail(CarelessGateway._answer, times=1 << 30)
            with closing(VaultLedger(office.ledger)) as ledger:
                ledger.set_note("lock_proof", "2026-01-01T00:00:00Z")  # a week has passed
            (finding,) = office.sync(expect=1)["findings"]
            assert "nothing in the vault is immutable" in finding
            assert immutable() == [None]
        finally:
            office.close()


def test_a_bucket_that_was_emptied_is_noticed_and_filled_again(
    office: BucketOffice, connect: Connect, run: Run
) -> None:
    office.add()
    name = office.back_up()
    office.sync()
    bucket = connect(office.bucket, create=False)

    async def empty() -> None:
        for info in [info async for info in list_objects(bucket, "")]:
            await bucket.delete(info.name)

    run(empty())
    said = office.sync(expect=1)
    assert any("emptied or rolled back" in finding for finding in said["findings"])
    assert points_of(office.box) == [name], "nothing here is deleted because of it"
    assert office.sync()["done"]
    office.check(office.open_there("other"), name)


def test_a_sync_gets_through_a_gateway_that_fails_at_every_tenth_call(
    tmp_path: Path, seed: int, gateway: Gateway
) -> None:
    with FaultProxy(gateway.endpoint) as proxy:
        office = BucketOffice(tmp_path, seed, gateway, proxy.endpoint)
        try:
            office.add()
            names = [office.back_up(), office.back_up("other machine")]
            proxy.fail_often(PASSING, 0.1, seed)
            done = office.sync("--wait")
            assert sorted(done["points"]) == sorted(names), proxy.log
            assert done["done"], proxy.log
            proxy.fail_often((), 0, seed)
            office.box("vault", "verify", expect=0)
        finally:
            print("\n".join(proxy.log))
            office.close()


def test_a_sync_asks_little_beside_what_it_sends(
    tmp_path: Path, seed: int, gateway: Gateway
) -> None:
    with FaultProxy(gateway.endpoint) as proxy:
        office = BucketOffice(tmp_path, seed, gateway, proxy.endpoint)
        try:
            office.add()
            office.back_up()
            before = proxy.seen.copy()
            office.sync()
            asked = proxy.seen - before
            containers = len(list((office.box.state / "store" / "containers").glob("*/*")))
            assert asked.total() - containers <= 13, asked
        finally:
            office.close()
