"""S3 against the real gateway: the contract, long listings, parts, and who may connect where."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from appliance.base.errors import HoldfastError
from appliance.formats.vault_credentials import Credentials
from appliance.vault.address import parse_address
from appliance.vault.bucket import (
    Bucket,
    ClockSkewError,
    CredentialsError,
    FileRange,
    FullError,
    MissingBucketError,
    RefusedError,
    TransientError,
)
from appliance.vault.opening import open_bucket
from appliance.vault.s3_calls import Patience
from appliance.vault.sound import SoundBucket
from tests.vault.conftest import Connect, Run, new_name
from tests.vault.gateway import BOX, Gateway
from tests.vault.line import Line
from tests.vault.test_bucket_contract import BODY, BucketContract, names, put, sha256

MIB = 1 << 20


class TestS3(BucketContract):
    """A bucket below a prefix."""

    @pytest.fixture
    def bucket(self, connect: Connect, gateway: Gateway) -> Bucket:
        return connect(gateway.address(new_name(), "a/prefix"))


class TestS3Sound(BucketContract):
    """The view that reads what was written, on a bucket that keeps versions."""

    @pytest.fixture
    def bucket(self, connect: Connect) -> Bucket:
        return SoundBucket(connect(with_lock=True))


class TestS3WithLock(BucketContract):
    """A bucket that keeps versions."""

    @pytest.fixture
    def bucket(self, connect: Connect) -> Bucket:
        return connect(with_lock=True)


# ---- the bucket itself --------------------------------------------------------------------------


def test_a_missing_bucket_is_made_only_if_allowed(
    run: Run, connect: Connect, gateway: Gateway
) -> None:
    address = gateway.address(new_name())
    with pytest.raises(MissingBucketError, match="there is no bucket"):
        connect(address, create=False)
    run(put(connect(address), "a/b"))
    assert run(names(connect(address, create=False), "")) == ["a/b"]


def test_prefixes_keep_apart(run: Run, connect: Connect, gateway: Gateway) -> None:
    name = new_name()
    one, two = (connect(gateway.address(name, prefix)) for prefix in ("one", "two"))
    run(put(one, "a/b"))
    run(put(two, "a/c"))
    assert run(names(one, "")) == ["a/b"]
    assert run(names(connect(gateway.address(name)), "")) == ["one/a/b", "two/a/c"]


def test_names_of_strangers_are_ignored(run: Run, connect: Connect) -> None:
    bucket = connect()
    for key in (".hidden", "holiday photo.jpg", "a//b", "ü"):
        run(bucket.calls.call("put_object", "PUT", key, Key=key, Body=b"x"))
    run(put(bucket, "a/b"))
    assert run(names(bucket, "")) == ["a/b"]
    page = run(bucket.list_page("", limit=2))
    assert page.next is not None


def test_keys_that_are_wrong_or_revoked_are_named_as_such(
    run: Run, connect: Connect, gateway: Gateway
) -> None:
    address = gateway.address(new_name())
    bucket = connect(address)
    for keys in (Credentials("NOBODY", "x"), Credentials(BOX.access_key, "wrong")):
        with pytest.raises(HoldfastError, match="403"):
            connect(address, keys)
    gateway.create_user("revoked", keys := Credentials("REVOKED", "secret"))
    mine = connect(gateway.address(new_name()), keys)
    run(put(mine, "a/b"))
    gateway.suspend_user("revoked")
    with pytest.raises(CredentialsError, match="set-credentials"):
        run(mine.get("a/b"))
    gateway.suspend_user("revoked", is_suspended=False)
    assert run(mine.get("a/b")).data == BODY
    assert bucket.traffic.requests["PUT"] == 1


def test_a_full_account_is_full(run: Run, connect: Connect, gateway: Gateway) -> None:
    gateway.create_user("small", keys := Credentials("SMALL", "secret"))
    gateway.set_quota("small", 1 * MIB)
    bucket = connect(gateway.address(new_name()), keys)
    with pytest.raises(FullError, match="quota"):
        run(put(bucket, "a/b", bytes(2 * MIB)))


def test_a_clock_that_is_an_hour_off_is_named(
    run: Run, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = connect()
    wrong = datetime.now(UTC) - timedelta(hours=1)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: wrong)
    monkeypatch.setattr(bucket.calls, "now", lambda: wrong)
    with pytest.raises(ClockSkewError, match=r"1 h 0 min behind|59 min 59 s behind"):
        run(put(bucket, "a/b"))


# ---- sizes --------------------------------------------------------------------------------------


def test_ten_thousand_objects_are_listed_page_by_page(
    run: Run, connect: Connect, gateway: Gateway
) -> None:
    """Anybody may fill this bucket: signing each request would take most of the time."""
    address = gateway.address(new_name())
    bucket = connect(address)
    count = 10_000
    everybody = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{address.bucket}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everybody]})
    run(bucket.calls.call("put_bucket_policy", "PUT", "policy", Policy=policy))

    async def fill() -> None:
        limit = asyncio.Semaphore(16)
        async with aiohttp.ClientSession() as session:

            async def put_one(number: int) -> None:
                url = f"{gateway.endpoint}/{address.bucket}/many/{number:05}"
                async with limit, session.put(url, data=b"x") as answer:
                    assert answer.status == 200

            await asyncio.gather(*(put_one(number) for number in range(count)))

    run(fill())
    before = bucket.traffic.requests["LIST"]
    assert run(names(bucket, "many/")) == [f"many/{number:05}" for number in range(count)]
    assert 10 <= bucket.traffic.requests["LIST"] - before <= 11


def test_a_container_is_one_request(run: Run, connect: Connect, tmp_path: Path) -> None:
    bucket = connect()
    data = random.Random(1).randbytes(32 * MIB)
    (tmp_path / "container").write_bytes(data)
    before = bucket.traffic.requests.copy()
    run(bucket.put("c/a", FileRange(tmp_path / "container", len(data)), sha256(data)))
    assert bucket.traffic.requests - before == {"PUT": 1}
    assert hashlib.sha256(run(bucket.get("c/a")).data).digest() == sha256(data)


# ---- parts --------------------------------------------------------------------------------------


def test_an_interrupted_upload_goes_on_with_the_parts_that_are_missing(
    run: Run, connect: Connect, gateway: Gateway, tmp_path: Path
) -> None:
    address = gateway.address(new_name())
    data = random.Random(3).randbytes(22 * MIB)
    path = tmp_path / "container"
    path.write_bytes(data)
    body = FileRange(path, len(data))
    bucket = connect(address)

    async def stop_in_the_middle() -> None:
        task = asyncio.create_task(bucket.put("c/a", body, sha256(data), part_bytes=5 * MIB))
        while bucket.traffic.sent_bytes < 10 * MIB:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(stop_in_the_middle())
    assert run(names(bucket, "")) == []
    again = connect(address)
    run(again.put("c/a", body, sha256(data), part_bytes=5 * MIB))
    assert again.traffic.sent_bytes <= 12 * MIB
    assert run(again.get("c/a")).data == data


@pytest.mark.parametrize(("more", "resent"), [([], 6 * MIB), ([(7, bytes(10))], 11 * MIB)])
def test_a_part_of_other_bytes_is_sent_again_and_one_too_many_begins_anew(
    run: Run, connect: Connect, more: list[tuple[int, bytes]], resent: int
) -> None:
    bucket = connect()
    begun = run(bucket.calls.call("create_multipart_upload", "POST", "c/a", Key="c/a"))
    data = random.Random(3).randbytes(11 * MIB)
    for number, part in ((1, data[: 5 * MIB]), (2, bytes(5 * MIB)), *more):
        members = {"Key": "c/a", "UploadId": begun["UploadId"], "PartNumber": number}
        run(bucket.calls.call("upload_part", "PUT", "c/a", Body=part, **members))
    before = bucket.traffic.sent_bytes
    run(bucket.put("c/a", data, sha256(data), part_bytes=5 * MIB))
    assert bucket.traffic.sent_bytes - before == resent
    assert run(bucket.get("c/a")).data == data


def test_unfinished_uploads_are_given_up_when_asked(run: Run, connect: Connect) -> None:
    bucket = connect()
    run(bucket.calls.call("create_multipart_upload", "POST", "c/a", Key="c/a"))
    assert run(bucket.drop_unfinished(datetime(2000, 1, 1, tzinfo=UTC))) == 0
    assert run(bucket.drop_unfinished(datetime(2100, 1, 1, tzinfo=UTC))) == 1
    assert run(bucket.drop_unfinished(datetime(2100, 1, 1, tzinfo=UTC))) == 0


# ---- the line -----------------------------------------------------------------------------------


def test_a_cut_line_costs_another_attempt(run: Run, connect: Connect, gateway: Gateway) -> None:
    data = random.Random(5).randbytes(8 * MIB)
    with Line(gateway.port, bytes_per_s=2 * MIB, delay_s=0.005) as line:
        bucket = connect(gateway.address(new_name(), endpoint=f"http://127.0.0.1:{line.port}"))

        async def cut_in_the_middle() -> None:
            task = asyncio.create_task(bucket.put("c/a", data, sha256(data)))
            while line.sent_bytes < MIB:
                await asyncio.sleep(0.001)
            line.cut()  # seconds before the last byte
            line.set_rate(None)
            await task

        run(cut_in_the_middle())
        assert line.cuts
        assert run(bucket.get("c/a")).data == data
    assert len(data) < bucket.traffic.sent_bytes <= 2 * len(data)


def test_a_line_that_is_down_is_a_transient_error(
    run: Run, connect: Connect, gateway: Gateway
) -> None:
    with Line(gateway.port) as line:
        bucket = connect(gateway.address(new_name(), endpoint=f"http://127.0.0.1:{line.port}"))
        line.is_up = False
        line.cut()
        with pytest.raises(TransientError, match="tried 5 times"):
            run(bucket.head("a/b"))


def test_what_is_sent_keeps_to_the_throttle(run: Run, connect: Connect) -> None:
    class Steps:
        def __init__(self) -> None:
            self.spent = 0
            self.most = 0

        async def spend(self, size_bytes: int) -> None:
            self.spent += size_bytes
            self.most = max(self.most, size_bytes)

    steps = Steps()
    bucket = connect(throttle=steps)
    run(put(bucket, "a/b", bytes(3 * MIB)))
    assert steps.spent == 3 * MIB
    assert steps.most <= 256 << 10


def test_names_that_lead_inside_are_refused(
    run: Run, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver of an attacker answers with loopback, the clouds' metadata address, or both."""

    def resolve(addresses: list[str]) -> None:
        def getaddrinfo(*_: object, **__: object) -> list[object]:
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, gateway.port))
                for address in addresses
            ]

        monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)

    address = parse_address(f"s3://bucket?endpoint=https://vault.example:{gateway.port}&style=path")
    for addresses in (["127.0.0.1"], ["169.254.169.254"], ["192.0.2.1", "127.0.0.1"]):
        resolve(addresses)
        with pytest.raises(RefusedError, match="where no vault can be"):
            run(open_bucket(address, BOX, patience=Patience(attempts=1)))
