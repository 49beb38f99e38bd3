"""Merging small containers in a bucket of the real gateway whose objects are under lock."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.base.clock import SystemClock
from appliance.formats.vault_names import object_key
from appliance.vault.address import S3Address, parse_address
from appliance.vault.bucket import RefusedError, list_objects
from appliance.vault.s3 import S3Bucket
from tests.vault.conftest import Connect, Run, new_name
from tests.vault.gateway import Gateway, write_credentials
from tests.vault.test_bucket_contract import put, sha256
from tests.vault.test_merging import merge
from tests.vault.yard import Yard

PATIENCE_S = 300.0


class AheadClock(SystemClock):
    """A clock that is ahead: what takes days need not be waited for."""

    def __init__(self, days: float) -> None:
        self._ahead = timedelta(days=days)

    def now(self) -> datetime:
        """The present, days later."""
        return super().now() + self._ahead


class LockedYard(Yard):
    """A yard whose vault is a bucket with locks of a day."""

    def __init__(self, folder: Path, seed: int, gateway: Gateway) -> None:
        self.credentials = write_credentials(folder / "credentials.ini")
        address = gateway.address(new_name(), "yard")
        self.given = ("--credentials-file", str(self.credentials))
        super().__init__(folder, seed, str(address), *self.given, "--lock", "1")

    @property
    def address(self) -> S3Address:
        found = parse_address(self.url)
        assert isinstance(found, S3Address)
        return found

    def asked(self, before: Counter[str]) -> int:
        """How many deletions were proposed since then."""
        return self.requests["DELETE"] - before["DELETE"]

    async def locked(self, bucket: S3Bucket) -> dict[str, tuple[int, int]]:
        """Of each living point what was promised, and the least that the gateway says of a part."""
        found = {}
        async with self.connected() as connection:
            contents = await connection.open()
            publisher = connection.publisher(contents)
            for machine in publisher.links():
                for moment, name in connection.ledger.points(machine).items():
                    bill = await contents.read_bill(name)
                    parts = [object_key("bills", name), object_key("points", bill.point)]
                    parts += [object_key(need.kind, need.name) for need in bill.needs]
                    least_s = min([await until_s(bucket, part) for part in parts])
                    promised_s = connection.ledger.point_until(machine, moment)
                    found[f"{machine}/{moment}"] = promised_s, least_s
        return found


@pytest.fixture
def yard(tmp_path: Path, seed: int, gateway: Gateway) -> Iterator[LockedYard]:
    found = LockedYard(tmp_path, seed, gateway)
    yield found
    found.close()


async def until_s(bucket: S3Bucket, name: str) -> int:
    until = (await bucket.head(name)).locked_until
    return 0 if until is None else int(until.timestamp())


async def containers(bucket: S3Bucket) -> set[str]:
    return {info.name async for info in list_objects(bucket, "containers/")}


async def let_a_second_pass(bucket: S3Bucket) -> datetime:
    """A whole second of the server's clock with what was written so far before it."""
    begun = (await put(bucket, "clock/a", b"x")).modified
    while (await put(bucket, "clock/a", b"x")).modified < begun + timedelta(seconds=2):
        time.sleep(0.1)
    return begun + timedelta(seconds=1)


def test_merging_breaks_no_promise_and_loses_nothing(
    yard: LockedYard, connect: Connect, run: Run
) -> None:
    for _ in range(2):
        yard.work(6)
        yard.upload()
    bucket = connect(yard.address, create=False)
    small = run(containers(bucket))
    promised = run(yard.locked(bucket))
    names = random.Random(yard.seed).sample(sorted(yard.images), 3)
    then = run(let_a_second_pass(bucket))
    before = yard.requests.copy()
    pruned, merged = yard.prune()
    assert (merged.small, merged.left) == (len(small), [])
    assert (pruned.objects, yard.asked(before)) == (0, 0), "what is locked is not to be deleted"
    assert pruned.locked_objects > merged.small
    # What was promised of each point holds for what it needs now.
    for point, (promised_s, least_s) in run(yard.locked(bucket)).items():
        assert promised_s == promised[point][0] > time.time(), point
        assert least_s >= promised_s, point
    assert not yard.verify().damages
    # An empty box reads everything as it is now, and as it was before.
    for other in (
        yard.open("now", *yard.given),
        yard.open("then", *yard.given, "--as-of", f"{then:%Y-%m-%dT%H:%M:%SZ}"),
    ):
        for name in names:
            assert other("restore", name, "-", expect=0).stdout == yard.images[name], name
    # As time passes, what lives is held, and nothing else.
    yard.clock = AheadClock(0.8)
    yard.upload()
    later_s = time.time() + 1.5 * 86400
    assert all(least_s > later_s for _, least_s in run(yard.locked(bucket)).values())
    assert all(run(until_s(bucket, name)) < later_s for name in small)
    # When its locks should have ended it is proposed, and a server that knows better is believed.
    yard.clock = AheadClock(1.5)
    before = yard.requests.copy()
    pruned, _ = yard.prune()
    assert yard.asked(before) >= merged.small
    assert pruned.objects == 0
    assert small <= run(containers(bucket))
    assert not yard.verify().damages


def test_a_lock_that_ended_frees_what_nothing_needs_and_one_that_lasts_is_left_alone(
    yard: LockedYard, connect: Connect, run: Run
) -> None:
    yard.work(1)
    yard.upload()
    bucket = connect(yard.address, create=False)

    def leave(data: bytes, seconds: float) -> str:
        """Garbage that somebody left under lock, of whom this box knows nothing."""
        name = object_key("containers", sha256(data))
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
        run(bucket.put(name, data, sha256(data), lock_until=until))
        return name

    short = ""
    for seconds in (4, 30, 120):  # a busy machine may be late for the first
        try:
            short = leave(b"short", seconds)
        except RefusedError:
            continue
        break
    lasting = leave(b"lasting", 86400)
    before, freed = yard.requests.copy(), 0
    deadline_s = time.monotonic() + PATIENCE_S
    while not freed:
        assert time.monotonic() < deadline_s
        pruned, _ = yard.prune()
        freed += pruned.objects
    assert freed == 1
    assert yard.asked(before) == 1, "one deletion was proposed, when its day had come"
    assert short not in run(containers(bucket))
    assert lasting in run(containers(bucket))
    assert not yard.verify().damages


def test_a_merging_that_is_killed_under_lock_loses_nothing(yard: LockedYard) -> None:
    for _ in range(3):
        yard.work(4)
        yard.upload()
    chance = random.Random(yard.seed)
    step = chance.randint(1, 12)
    assert merge(yard, step, chance.choice(("before", "after"))) == "", "it was killed"
    assert not yard.verify().damages, f"killed at step {step}"
    yard.work(1)
    yard.upload()
    _, merged = yard.prune()
    assert not merged.left
    assert not yard.verify().damages, f"gone on after step {step}"
    other = yard.open("other", *yard.given)
    for name in chance.sample(sorted(yard.images), 3):
        assert other("restore", name, "-", expect=0).stdout == yard.images[name], name
