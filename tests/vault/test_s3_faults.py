"""Fifteen ways in which S3 fails, at each call of the backend, and the gateway killed in between.

Whatever happens: a call ends well and what it says is true, or it raises an error that says what
the caller may do. After the fault the same call works.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appliance.base.errors import HoldfastError, NotFoundError
from appliance.vault.bucket import (
    ClockSkewError,
    ConflictError,
    CredentialsError,
    DeniedError,
    RefusedError,
    SlowDownError,
    TransientError,
)
from appliance.vault.opening import open_bucket
from appliance.vault.s3 import S3Bucket
from appliance.vault.s3_calls import Patience
from appliance.vault.s3_errors import LostUploadError
from tests.vault.conftest import QUICK, Connect, Run, new_name
from tests.vault.fault_proxy import FAULTS, FaultProxy
from tests.vault.gateway import BOX, Gateway
from tests.vault.line import Line
from tests.vault.test_bucket_contract import BODY, names, put, sha256

MIB = 1 << 20
LONG = random.Random(7).randbytes(6 * MIB)
# What may be raised instead of a good end, where the fault does not pass by itself.
RAISES: dict[str, tuple[type[HoldfastError], ...]] = {
    "503 SlowDown": (SlowDownError,),
    "lost part": (LostUploadError,),
    "412": (ConflictError,),
    "403": (DeniedError,),
    "expired credentials": (CredentialsError,),
    "clock skew": (ClockSkewError,),
    "region redirect": (RefusedError,),
    "rolled-back bucket": (NotFoundError, ConflictError),
}
# These pass when the request is repeated, so nobody may notice them.
PASSING = (
    *("503 SlowDown", "500 after commit", "timeout", "reset mid-body", "truncated body"),
    *("bad ETag", "duplicate delete"),
)
# An answer that hangs costs `idle_s`; any other has the time that a busy machine takes for it.
PATIENCE = Patience(attempts=6, first_s=0.01, most_s=0.05, connect_s=20, idle_s=20)
HASTE = replace(PATIENCE, idle_s=0.6)


class Site:
    """One bucket through the proxy, and the calls that are tried on it."""

    def __init__(self, bucket: S3Bucket, direct: S3Bucket, proxy: FaultProxy) -> None:
        self.bucket = bucket
        self.direct = direct
        self.proxy = proxy
        self.number = 0

    @property
    def name(self) -> str:
        return f"a/{self.number:04}"

    async def put_object(self) -> None:
        await put(self.bucket, self.name)
        assert (await self.direct.get(self.name)).data == BODY

    async def replace_object(self) -> None:
        tag = None
        if "heads/m" in await names(self.direct, "heads/"):
            tag = (await self.direct.get("heads/m")).info.tag
        body = self.name.encode()
        await self.bucket.replace("heads/m", body, tag=tag)
        assert (await self.direct.get("heads/m")).data == body

    async def get_object(self) -> None:
        await put(self.direct, self.name)
        assert (await self.bucket.get(self.name)).data == BODY

    async def get_range(self) -> None:
        await put(self.direct, self.name)
        fetched = await self.bucket.get(self.name, offset=1000, size_bytes=2000)
        assert fetched.data == BODY[1000:3000]
        assert fetched.info.size_bytes == len(BODY)

    async def head_object(self) -> None:
        await put(self.direct, self.name)
        assert (await self.bucket.head(self.name)).size_bytes == len(BODY)

    async def delete_object(self) -> None:
        await put(self.direct, self.name)
        await self.bucket.delete(self.name)
        assert self.name not in await names(self.direct, "a/")

    async def list_objects(self) -> None:
        await put(self.direct, f"l{self.number}/x")
        assert await names(self.bucket, f"l{self.number}/") == [f"l{self.number}/x"]

    async def list_versions(self) -> None:
        await put(self.direct, self.name)
        page = await self.bucket.list_versions(self.name)
        assert [info.name for info in page.objects] == [self.name]

    async def lock_object(self) -> None:
        await put(self.direct, self.name)
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)
        await self.bucket.lock(self.name, until)
        assert (await self.direct.head(self.name)).locked_until == until

    async def put_parts(self) -> None:
        await self.bucket.put(self.name, LONG, sha256(LONG), part_bytes=5 * MIB)
        assert (await self.direct.get(self.name)).data == LONG

    async def take_up_parts(self) -> None:
        """Somebody was killed after the first part."""
        calls = self.direct.calls
        begun = await calls.call("create_multipart_upload", "POST", self.name, Key=self.name)
        upload = {"Key": self.name, "UploadId": begun["UploadId"], "PartNumber": 1}
        await calls.call("upload_part", "PUT", self.name, Body=LONG[: 5 * MIB], **upload)
        await self.put_parts()

    async def open_bucket(self) -> None:
        address = self.bucket.calls.address
        opened = await open_bucket(address, BOX, patience=self.bucket.calls.patience)
        await opened.close()
        assert opened.abilities == self.direct.abilities

    async def make_bucket(self) -> None:
        address = self.bucket.calls.address
        fresh = type(address)(new_name(), "", address.endpoint, address.region, address.style)
        opened = await open_bucket(fresh, BOX, create=True, patience=self.bucket.calls.patience)
        await opened.close()


# By whether the bucket keeps versions, and whether answers hang.
Sites = dict[tuple[bool, bool], Site]
# (method of Site, operation on the wire, whether the bucket keeps versions)
SITES = (
    *(("put_object", "put_object", False), ("replace_object", "put_object", False)),
    *(("get_object", "get_object", False), ("get_range", "get_object", False)),
    *(("head_object", "head_object", False), ("delete_object", "delete_object", False)),
    *(("list_objects", "list_objects_v2", False), ("list_versions", "list_object_versions", True)),
    *(("lock_object", "put_object_retention", True),),
    *(("take_up_parts", "list_multipart_uploads", False), ("take_up_parts", "list_parts", False)),
    *(("put_parts", "create_multipart_upload", False), ("put_parts", "upload_part", False)),
    *(("put_parts", "complete_multipart_upload", False), ("put_parts", "head_object", False)),
    *(("make_bucket", "list_objects_v2", False), ("open_bucket", "get_bucket_versioning", False)),
    *(("open_bucket", "get_object_lock_configuration", True),),
    *(("make_bucket", "create_bucket", False),),
)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def sites(gateway: Gateway, loop: asyncio.Runner) -> Iterator[Sites]:
    """Plain buckets and some with versions, all through one proxy."""

    async def open_site(proxy: FaultProxy, with_lock: bool, patience: Patience) -> Site:
        name = new_name()
        options: dict[str, Any] = {"create": True, "with_lock": with_lock}
        direct = await open_bucket(gateway.address(name), BOX, patience=QUICK, **options)
        address = gateway.address(name, endpoint=proxy.endpoint)
        through = await open_bucket(address, BOX, patience=patience, **options)
        assert isinstance(direct, S3Bucket)
        assert isinstance(through, S3Bucket)
        return Site(through, direct, proxy)

    async def close(found: Sites) -> None:
        for site in found.values():
            await site.bucket.close()
            await site.direct.close()

    with FaultProxy(gateway.endpoint) as proxy:
        found = {
            (locked, hangs): loop.run(open_site(proxy, locked, HASTE if hangs else PATIENCE))
            for locked in (False, True)
            for hangs in (False, True)
        }
        yield found
        loop.run(close(found))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("method", "operation", "with_versions"), SITES)
def test_a_fault_is_passed_over_or_said(
    sites: Sites,
    loop: asyncio.Runner,
    *,
    method: str,
    operation: str,
    with_versions: bool,
    fault: str,
) -> None:
    site = sites[with_versions, fault == "timeout"]
    call = getattr(site, method)
    site.number += 1
    site.proxy.fail(FAULTS[fault], operation)
    failure: HoldfastError | None = None
    try:
        loop.run(call())
    except HoldfastError as error:
        failure = error
    except AssertionError:
        # Nobody can tell here that a server gives out what was there last week, or that half is
        # all; whoever knows the SHA-256 can.
        if fault not in ("stale list", "rolled-back bucket", "shorter body"):
            raise
    assert site.proxy.struck == 1
    site.proxy.fail(None)
    if failure is not None:
        assert fault not in PASSING, failure
        allowed = (*RAISES.get(fault, ()), TransientError, NotFoundError)
        if operation == "head_object":  # its refusals come without a reason
            allowed = (*allowed, DeniedError, RefusedError)
        assert isinstance(failure, allowed), failure
        assert "\n" not in str(failure)
    site.number += 1
    loop.run(call())


@pytest.mark.parametrize("fault", ["503 SlowDown", "timeout", "reset mid-body", "500 after commit"])
def test_patience_ends(sites: Sites, loop: asyncio.Runner, fault: str) -> None:
    site = sites[False, fault == "timeout"]
    site.number += 1
    site.proxy.fail(FAULTS[fault], "head_object", times=100)
    with pytest.raises(TransientError, match="tried 6 times"):
        loop.run(site.bucket.head(site.name))
    # The HTTP library asks once more by itself where a kept connection turns out broken.
    assert 6 <= site.proxy.struck <= 12
    site.proxy.fail(None)


def test_a_replace_whose_answer_was_lost_is_no_conflict(sites: Sites, loop: asyncio.Runner) -> None:
    site = sites[False, False]
    site.proxy.fail(FAULTS["500 after commit"], "put_object")
    loop.run(site.bucket.replace("heads/lost", b"mine", tag=None))
    site.proxy.fail(FAULTS["500 after commit"], "put_object")
    with pytest.raises(ConflictError, match="somebody else"):
        loop.run(site.bucket.replace("heads/lost", b"another", tag=None))


# ---- the gateway itself dies --------------------------------------------------------------------

SLOW = Patience(attempts=60, first_s=0.2, most_s=1.0, connect_s=20, idle_s=20)


def test_a_put_survives_a_killed_gateway(run: Run, connect: Connect, gateway: Gateway) -> None:
    with Line(gateway.port, bytes_per_s=MIB // 4) as line:
        address = gateway.address(new_name(), endpoint=f"http://127.0.0.1:{line.port}")
        bucket = connect(address, patience=SLOW)

        async def kill_in_the_middle() -> None:
            task = asyncio.create_task(bucket.put("c/a", LONG, sha256(LONG)))
            while line.sent_bytes < MIB // 8:
                await asyncio.sleep(0.005)
            await asyncio.to_thread(gateway.kill)  # twenty seconds before the last byte
            assert not task.done()
            line.set_rate(None)
            await asyncio.to_thread(gateway.restart)
            await task

        run(kill_in_the_middle())
        assert run(bucket.get("c/a")).data == LONG


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_multipart_upload_survives_a_gateway_killed_at_its_end(
    run: Run, connect: Connect, gateway: Gateway, moment: str
) -> None:
    """Killed when CompleteMultipartUpload came, or when it was done and nobody was told."""

    async def kill(proxy: Any, request: Any, forward: Any) -> Any:
        if moment == "after":
            await forward()
        await asyncio.to_thread(gateway.kill)
        await asyncio.to_thread(gateway.restart)
        return await FAULTS["reset mid-body"](proxy, request, forward)

    with FaultProxy(gateway.endpoint) as proxy:
        address = gateway.address(new_name(), endpoint=proxy.endpoint)
        bucket = connect(address, patience=SLOW)
        proxy.fail(kill, "complete_multipart_upload")
        run(bucket.put("c/a", LONG, sha256(LONG), part_bytes=5 * MIB))
        assert proxy.struck == 1
        assert proxy.seen["upload_part"] == 2
        assert run(bucket.get("c/a")).data == LONG
        assert run(names(bucket, "")) == ["c/a"]


def test_a_gateway_that_hangs_is_overtaken_or_given_up(
    run: Run, connect: Connect, gateway: Gateway
) -> None:
    bucket = connect()
    run(put(bucket, "a/b"))
    patient, hasty = bucket.calls.patience, Patience(attempts=2, connect_s=0.1, idle_s=0.4)
    bucket.calls.patience = hasty
    gateway.pause()
    try:
        with pytest.raises(TransientError, match="no answer in time"):
            run(bucket.head("a/b"))
    finally:
        gateway.resume()
        bucket.calls.patience = patient
    assert run(bucket.get("a/b")).data == BODY
