"""Fixtures of the vault's tests: one event loop per test, one gateway per run."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from appliance.formats.vault_credentials import Credentials
from appliance.vault.address import S3Address
from appliance.vault.opening import open_bucket
from appliance.vault.s3 import S3Bucket
from appliance.vault.s3_calls import Patience
from tests.vault.gateway import BOX, Gateway, running_gateway

Run = Callable[[Coroutine[Any, Any, Any]], Any]
# Faults are repeated at once; a busy machine still has time to answer.
QUICK = Patience(first_s=0.01, most_s=0.05, connect_s=20, idle_s=20)
_numbers = itertools.count(1)


@pytest.fixture
def run() -> Iterator[Run]:
    """Run a coroutine to its end; all of one test in the same loop."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(autouse=True)
def patient_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine answers late, which is no reason to ask twice where requests are counted."""
    monkeypatch.setattr("appliance.vault.hedge._FIRST_GUESS_S", 60.0)
    monkeypatch.setattr("appliance.vault.hedge._LEAST_S", 60.0)


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The real server; tests that kill it start it again."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as started:
        yield started


def new_name() -> str:
    """A bucket's name that no other test has."""
    return f"bucket-{next(_numbers)}"


Connect = Callable[..., S3Bucket]


@pytest.fixture
def connect(run: Run, gateway: Gateway) -> Iterator[Connect]:
    """Open a bucket of the gateway, closed when the test ends; without a name a new one."""
    opened: list[S3Bucket] = []

    def connect_to(
        address: S3Address | None = None, credentials: Credentials = BOX, **options: Any
    ) -> S3Bucket:
        options = {"create": True, "patience": QUICK, **options}
        where = address or gateway.address(new_name())
        bucket = run(open_bucket(where, credentials, **options))
        assert isinstance(bucket, S3Bucket)
        opened.append(bucket)
        return bucket

    yield connect_to
    for bucket in opened:
        run(bucket.close())
