"""Locks on the real gateway, and on one that pretends; versions behind what was overwritten."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError, IntegrityError, UsageError
from appliance.catalog.vault_ledger import VaultLedger
from appliance.formats.vault_names import Kind, object_key
from appliance.vault.as_of import AsOfBucket
from appliance.vault.bucket import (
    DeniedError,
    MissingObjectError,
    ObjectInfo,
    list_all_versions,
    list_objects,
)
from appliance.vault.locks import Locks, note_statement
from appliance.vault.object_lock import list_as_of, probe_lock
from appliance.vault.s3 import S3Bucket
from appliance.vault.sound import SoundBucket
from tests.clocks import HandClock
from tests.vault.careless_gateway import CarelessGateway
from tests.vault.conftest import Connect, Run, new_name
from tests.vault.gateway import Gateway
from tests.vault.test_bucket_contract import BODY, names, put, sha256


def in_days(days: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


async def versions(bucket: S3Bucket, prefix: str = "") -> list[ObjectInfo]:
    return [info async for info in list_all_versions(bucket, prefix)]


# ---- the canary ---------------------------------------------------------------------------------


def test_the_gateway_holds_its_locks(run: Run, connect: Connect) -> None:
    bucket = connect(with_lock=True)
    assert run(probe_lock(bucket)).holds
    assert run(probe_lock(bucket)).holds
    left = run(versions(bucket))
    assert 0 < len([info for info in left if not info.is_marker]) <= 4
    assert run(names(bucket, "")) == []


def test_a_bucket_without_lock_is_never_called_immutable(run: Run, connect: Connect) -> None:
    verdict = run(probe_lock(connect()))
    assert not verdict.holds
    assert "not switched on" in verdict.reason


def test_a_server_that_ignores_lock_headers_is_never_believed(
    run: Run, connect: Connect, gateway: Gateway
) -> None:
    """It says that everything is locked, and keeps versions; only the canary tells."""
    with CarelessGateway(gateway.endpoint) as careless:
        name = new_name()
        bucket = connect(gateway.address(name, endpoint=careless.endpoint))
        assert not run(probe_lock(bucket)).holds
        run(
            bucket.calls.call(
                "put_bucket_versioning",
                "PUT",
                name,
                VersioningConfiguration={"Status": "Enabled"},
            )
        )
        bucket = connect(gateway.address(name, endpoint=careless.endpoint), with_lock=True)
        assert bucket.abilities.has_lock
        info = run(bucket.put("a/b", BODY, sha256(BODY), lock_until=in_days(1)))
        shown = run(bucket.head("a/b", version=info.version))
        assert shown.locked_until is not None
        verdict = run(probe_lock(bucket))
    assert not verdict.holds
    assert verdict.reason == "the server let a locked version be deleted"


def test_lock_on_an_old_bucket_is_refused(run: Run, connect: Connect, gateway: Gateway) -> None:
    address = gateway.address(new_name())
    bucket = connect(address)
    with pytest.raises(UsageError, match="cannot be switched on later"):
        connect(address, with_lock=True)
    with pytest.raises(UsageError, match="not switched on"):
        run(bucket.put("a/b", BODY, sha256(BODY), lock_until=in_days(1)))
    locked = gateway.address(new_name())
    connect(locked, with_lock=True)
    assert connect(locked, with_lock=True).abilities.has_lock


# ---- a thief with the box's credentials ---------------------------------------------------------


@pytest.mark.parametrize("part_bytes", [None, 5 << 20])
def test_nobody_with_the_boxs_keys_can_shorten_or_delete_what_is_locked(
    run: Run, connect: Connect, part_bytes: int | None
) -> None:
    bucket = connect(with_lock=True)
    data = BODY if part_bytes is None else BODY * 80
    until = in_days(30)
    info = run(bucket.put("a/b", data, sha256(data), lock_until=until, part_bytes=part_bytes))
    assert info.version
    assert run(bucket.head("a/b")).locked_until == until
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": in_days(0.01)}
    name, version = {"Key": "a/b"}, {"VersionId": info.version}
    attacks = [
        ("delete_object", {**name, **version}),
        ("delete_object", {**name, **version, "BypassGovernanceRetention": True}),
        ("put_object_retention", {**name, **version, "Retention": retention}),
        (
            "put_object_retention",
            {**name, **version, "Retention": retention, "BypassGovernanceRetention": True},
        ),
        ("put_object_retention", {**name, **version, "Retention": {}}),
        (
            "put_object_retention",
            {**name, **version, "Retention": {**retention, "Mode": "COMPLIANCE"}},
        ),
        ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Suspended"}}),
        ("delete_bucket", {}),
    ]
    for operation, members in attacks:
        with pytest.raises(HoldfastError):
            run(bucket.calls.call(operation, "PUT", operation, **members))
    batch = {"Objects": [{**name, **version}]}
    answer = run(bucket.calls.call("delete_objects", "POST", "batch", Delete=batch))
    assert answer["Errors"]
    assert run(bucket.get("a/b", version=info.version)).data == data
    assert run(bucket.head("a/b", version=info.version)).locked_until == until


def test_a_lock_is_extended_and_never_shortened(run: Run, connect: Connect) -> None:
    bucket = connect(with_lock=True)
    info = run(bucket.put("a/b", BODY, sha256(BODY), lock_until=in_days(1)))
    later = in_days(2)
    run(bucket.lock("a/b", later, version=info.version))
    assert run(bucket.head("a/b")).locked_until == later
    with pytest.raises(DeniedError):
        run(bucket.lock("a/b", in_days(1), version=info.version))
    assert run(bucket.head("a/b")).locked_until == later


# ---- overwritten and hidden ---------------------------------------------------------------------


def test_overwriting_and_delete_markers_hide_nothing(run: Run, connect: Connect) -> None:
    bucket = connect(with_lock=True)
    name = f"containers/{sha256(BODY).hex()}"
    run(bucket.put(name, BODY, sha256(BODY), lock_until=in_days(1)))
    run(put(bucket, name))
    before = bucket.traffic.requests.copy()
    view = SoundBucket(bucket)
    for offset in (0, 1000, 2000):
        assert run(view.get(name, offset=offset, size_bytes=9)).data == BODY[offset : offset + 9]
    assert bucket.traffic.requests - before == {"GET": 3, "LIST": 1}
    for number in range(3):
        run(put(bucket, name, b"ransom %d" % number))
        run(bucket.delete(name))
    for attack in (lambda: put(bucket, name, b"ransom"), lambda: bucket.delete(name)):
        run(attack())
        view = SoundBucket(bucket)
        assert run(view.get(name, offset=5, size_bytes=7)).data == BODY[5:12]
        assert run(view.get(name)).data == BODY
        assert run(SoundBucket(bucket).head(name)).size_bytes == len(BODY)


def test_where_no_version_is_sound_nothing_is_believed(run: Run, connect: Connect) -> None:
    bucket = connect(with_lock=True)
    name = f"containers/{sha256(BODY).hex()}"
    with pytest.raises(MissingObjectError):
        run(SoundBucket(bucket).get(name))
    run(put(bucket, name, b"ransom"))
    run(put(bucket, name, b"more ransom"))
    with pytest.raises(IntegrityError, match="no version"):
        run(SoundBucket(bucket).get(name))


def test_names_that_are_no_hashes_and_buckets_without_versions_cost_nothing_more(
    run: Run, connect: Connect
) -> None:
    name = f"containers/{sha256(BODY).hex()}"
    for bucket, what in ((connect(with_lock=True), "heads/m"), (connect(), name)):
        run(put(bucket, what))
        before = bucket.traffic.requests.copy()
        assert run(SoundBucket(bucket).get(what)).data == BODY
        assert bucket.traffic.requests - before == {"GET": 1}


def test_a_bucket_is_seen_as_it_was(run: Run, connect: Connect) -> None:
    bucket = connect(with_lock=True)

    async def tick() -> datetime:
        """Let the server's clock pass a second, and say what it shows between."""
        before = (await put(bucket, "clock/a", b"x")).modified
        while (after := (await put(bucket, "clock/a", b"x")).modified) <= before + timedelta(
            seconds=2
        ):
            await asyncio.sleep(0.2)
        return after - timedelta(seconds=1)

    for name in ("a/1", "a/2", "a/3"):
        run(put(bucket, name, name.encode()))
    first = run(tick())
    run(put(bucket, "a/1", b"new"))
    run(put(bucket, "a/4", b"new"))
    second = run(tick())
    run(put(bucket, "a/1", b"ransom"))
    run(bucket.delete("a/2"))
    run(bucket.delete("a/3"))

    async def seen(view: AsOfBucket) -> dict[str, bytes]:
        found = [info.name async for info in list_objects(view, "a/")]
        return {name: (await view.get(name)).data for name in found}

    view = AsOfBucket(bucket, first)
    assert run(seen(view)) == {name: name.encode() for name in ("a/1", "a/2", "a/3")}
    assert [info.name for info in run(view.list_page("a/", limit=2)).objects] == ["a/1", "a/2"]
    assert run(view.list_page("a/", limit=2)).next == "a/2"
    assert [info.name for info in run(view.list_page("a/", after="a/1")).objects] == ["a/2", "a/3"]
    assert run(AsOfBucket(bucket, first).get("a/1", offset=1, size_bytes=1)).data == b"/"
    with pytest.raises(MissingObjectError, match="was not in the vault"):
        run(AsOfBucket(bucket, first).head("a/4"))
    later = run(seen(AsOfBucket(bucket, second)))
    assert later == {"a/1": b"new", "a/2": b"a/2", "a/3": b"a/3", "a/4": b"new"}
    for call in (
        view.put("a/1", b"", b""),
        view.replace("a/1", b"", tag=None),
        view.delete("a/1"),
        view.lock("a/1", first),
        view.drop_unfinished(first),
    ):
        with pytest.raises(UsageError, match="nothing is written"):
            run(call)


def test_as_of_needs_versions(run: Run, connect: Connect) -> None:
    with pytest.raises(UsageError, match="leave out --as-of"):
        AsOfBucket(connect(), in_days(0))


def test_many_versions_over_several_pages_are_one_name(run: Run, connect: Connect) -> None:
    bucket = connect(with_lock=True)

    async def check() -> None:
        await asyncio.gather(*(put(bucket, f"a/{number % 3}", b"x") for number in range(24)))
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await bucket.list_versions("a/", cursor=cursor, limit=5)
            found += [info.name for info in page.objects]
            cursor = page.next
        assert found == ["a/0"] * 8 + ["a/1"] * 8 + ["a/2"] * 8
        listed = [info.name async for info in list_as_of(bucket, "a/", in_days(1))]
        assert listed == ["a/0", "a/1", "a/2"]

    run(check())


# ---- locks are extended in time -----------------------------------------------------------------


class Kept:
    """Objects in a bucket of the real gateway under locks of a day, seen by clocks that are ahead.

    A lock may only grow, so nothing has to be waited for.
    """

    def __init__(self, bucket: S3Bucket, folder: Path) -> None:
        self.bucket = bucket
        self.ledger = VaultLedger(folder / "ledger.db")
        self.found: list[str] = []

    async def fill(self, count: int) -> None:
        until = in_days(1)
        for number in range(count):
            data = b"%d" % number
            kind: Kind = "boots" if number % 2 else "containers"
            await self.bucket.put(
                object_key(kind, sha256(data)), data, sha256(data), lock_until=until
            )
            self.ledger.put_present(kind, sha256(data), len(data), int(until.timestamp()))
        for key in ("vault.json", "heads/m/0000000001"):
            await self.bucket.replace(key, b"stated", tag=None, lock_until=until)
            note_statement(self.ledger, key, until)

    async def sweep(self, days_ahead: float) -> int:
        locks = Locks(self.bucket, self.ledger, HandClock(in_days(days_ahead)), 1)
        await locks.sweep(("vault.json", "heads/m/0000000001"))
        self.found = locks.findings
        return locks.extended

    def say(self, days: float) -> int:
        """A point that needs all objects was published, immutable for so long."""
        self.ledger.set_points("m", {"20261121T093000Z": sha256(b"bill")})
        self.ledger.set_point_until("m", "20261121T093000Z", int(in_days(days).timestamp()))
        return self.said_s()

    def said_s(self) -> int:
        return self.ledger.point_until("m", "20261121T093000Z")

    async def shortest(self) -> datetime:
        infos = [info async for info in list_objects(self.bucket, "")]
        heads = [await self.bucket.head(info.name) for info in infos]
        assert len(heads) > 0
        return min(head.locked_until or datetime.min.replace(tzinfo=UTC) for head in heads)


@pytest.fixture
def kept(run: Run, connect: Connect, tmp_path: Path) -> Iterator[Kept]:
    made = Kept(connect(with_lock=True), tmp_path)
    run(made.fill(20))
    yield made
    made.ledger.close()


def test_locks_are_extended_when_a_third_is_left_and_not_before(kept: Kept, run: Run) -> None:
    before = kept.bucket.traffic.requests.total()
    assert run(kept.sweep(0.5)) == 0
    assert kept.bucket.traffic.requests.total() == before, "nothing due costs nothing"
    assert run(kept.sweep(0.8)) == 22, "objects of every kind, and what leads to them"
    assert kept.bucket.traffic.requests.total() == before + 22
    assert kept.found == []
    assert run(kept.shortest()) >= in_days(1.7)
    assert run(kept.sweep(0.9)) == 0


def test_extensions_are_spread_over_syncs(
    kept: Kept, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.vault.locks._SWEEP_MAX", 8)
    said_s = kept.say(1.0)
    found = []
    for _ in range(4):
        extended = run(kept.sweep(0.8))
        found.append((extended, kept.said_s() > said_s))
    # Of a point that needs them all more is said when all of them are locked for longer.
    assert found == [(10, False), (8, False), (4, True), (0, True)]
    assert kept.said_s() <= int(run(kept.shortest()).timestamp())
    assert run(kept.shortest()) >= in_days(1.7)


def test_a_lock_that_ran_out_is_said_once_and_made_anew(kept: Kept, run: Run) -> None:
    assert run(kept.sweep(1.2)) == 22
    assert kept.found == ["the locks of 22 objects had run out before this sync"]
    assert run(kept.shortest()) >= in_days(2.1)
    assert run(kept.sweep(1.3)) == 0
    assert kept.found == []


def test_what_a_point_needs_is_held_before_it_is_published(kept: Kept, run: Run) -> None:
    numbers = [held.number for held in kept.ledger.locked_below(2**40, 4)]
    locks = Locks(kept.bucket, kept.ledger, HandClock(in_days(0.5)), 1)
    until_s = run(locks.hold(numbers))
    assert locks.extended == 4
    assert until_s >= in_days(1.4).timestamp()
    assert run(locks.hold(numbers)) == until_s
    assert locks.extended == 4
