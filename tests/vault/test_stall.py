"""A vault that hangs or is full: what is waited for, and since when, is said while it lasts."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.base.progress import Progress
from appliance.catalog.vault_ledger import VaultLedger
from appliance.vault.bucket import FullError
from appliance.vault.s3 import S3Bucket
from appliance.vault.stall import Stall, Stalled, judge_stall, note_failure, read_stall
from appliance.vault.traffic import Outcome, Request
from tests.clocks import HandClock
from tests.vault.conftest import Connect, Run, new_name
from tests.vault.gateway import Gateway, write_credentials
from tests.vault.office import Office
from tests.vault.test_bucket_contract import put

PATIENCE_S = 300.0
NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[VaultLedger]:
    with contextlib.closing(VaultLedger(tmp_path / "ledger.db")) as found:
        yield found


def failed(kind: str = "PUT", seconds: float = 0.0) -> Request:
    return Request(kind, Outcome.BROKEN, seconds=seconds, reason="the server is busy")


def test_what_lasts_is_shown_and_ends_with_the_first_that_gets_through(
    ledger: VaultLedger,
) -> None:
    clock, progress = HandClock(NOW), Progress()
    stall = Stall(ledger, clock, progress)
    progress.phase("uploading", total=100, about="m")
    progress.advance(40)
    stall.note(failed())
    assert (read_stall(ledger), progress.snapshot().title) == (None, "uploading m")
    clock.go_by(20 * SECOND)
    stall.note(Request("GET", Outcome.DONE))
    stall.note(failed())
    assert read_stall(ledger) == Stalled(NOW, "the server is busy")
    assert "waiting since" in progress.snapshot().title
    assert "the server is busy" in progress.snapshot().title
    stall.note(Request("GET", Outcome.DONE))
    stall.note(Request("PUT", Outcome.REFUSED))
    assert read_stall(ledger) is not None, "reading is no sign that writing works"
    stall.note(Request("PUT", Outcome.DONE))
    found = progress.snapshot()
    assert (read_stall(ledger), found.title, found.done) == (None, "uploading m", 40)


def test_a_request_that_hung_for_long_is_shown_at_once(ledger: VaultLedger) -> None:
    Stall(ledger, HandClock(NOW), Progress()).note(failed(seconds=30))
    assert read_stall(ledger) == Stalled(NOW - 30 * SECOND, "the server is busy")


def test_what_was_waited_for_before_a_restart_goes_on_from_then(ledger: VaultLedger) -> None:
    note_failure(ledger, NOW, "the line is down")
    assert note_failure(ledger, NOW + HOUR, "still").since == NOW
    stall = Stall(ledger, HandClock(NOW + 2 * HOUR), Progress())
    stall.note(failed())
    assert read_stall(ledger) == Stalled(NOW, "the server is busy")


def test_it_becomes_a_finding_after_a_while_and_a_grave_one_after_a_day() -> None:
    stalled = Stalled(NOW, "the vault is full")
    assert not list(judge_stall("far", stalled, NOW + 29 * timedelta(minutes=1)))
    assert not list(judge_stall("far", None, NOW))
    (finding,) = judge_stall("far", stalled, NOW + HOUR)
    assert (finding.subject, finding.severity) == ("vault far", "warning")
    assert "the vault is full" in finding.summary
    (finding,) = judge_stall("far", stalled, NOW + 24 * HOUR)
    assert finding.severity == "critical"


def test_a_refusal_is_a_finding_at_once_until_something_gets_through(ledger: VaultLedger) -> None:
    note_failure(ledger, NOW, "the credentials are unknown", is_refused=True)
    note_failure(ledger, NOW + HOUR, "the credentials are unknown", is_refused=True)
    (finding,) = judge_stall("far", read_stall(ledger), NOW)
    assert (finding.rule, finding.severity) == ("vault.refused", "warning")
    assert "the credentials are unknown" in finding.summary
    (finding,) = judge_stall("far", read_stall(ledger), NOW + 24 * HOUR)
    assert finding.severity == "critical"
    Stall(ledger, HandClock(NOW), Progress()).note(Request("PUT", Outcome.DONE))
    assert read_stall(ledger) is None


def reason(office: Office) -> str:
    """What the vault is waited for."""
    (vault,) = office.box("--json", "vault", "status", expect=0).json()["vaults"]
    return "" if vault["waits"] is None else str(vault["waits"]["reason"])


async def is_full(bucket: S3Bucket) -> bool:
    try:
        await put(bucket, "a/b")
    except FullError:
        return True
    return False


def test_a_sync_says_that_the_gateway_hangs_or_is_full_and_ends_in_time(
    tmp_path: Path, seed: int, gateway: Gateway, connect: Connect, run: Run
) -> None:
    bucket = connect()

    def set_quota(size_bytes: int) -> None:
        """Until the gateway, which hung and may not have been told, goes by it."""
        gateway.set_quota("box", size_bytes)
        end_s = time.monotonic() + PATIENCE_S
        while run(is_full(bucket)) != (size_bytes > 0):
            assert time.monotonic() < end_s, "the gateway does not learn of its quota"
            time.sleep(0.1)

    office = Office(tmp_path, seed, str(gateway.address(new_name())))
    credentials = write_credentials(tmp_path / "credentials.ini")
    office.box("vault", "add", office.url, "--credentials-file", credentials, expect=0)
    office.back_up(size_mib=1)
    gateway.pause()
    try:
        said = office.sync("--wait", "--for", "0.08", expect=1)
        assert not said["done"]
        assert "it does not answer" in said["waiting"]["vault vault"]
        assert reason(office) == "it does not answer"
        assert "waiting since" in office.box("vault", "status", expect=0).out
    finally:
        gateway.resume()
    try:
        set_quota(1)
        waiting = office.box.start("vault", "sync", "--wait")
        end_s = time.monotonic() + PATIENCE_S
        while "quota" not in reason(office).lower() and time.monotonic() < end_s:
            assert waiting.poll() is None, "it stays until there is room"
            time.sleep(0.2)
        assert "quota" in reason(office).lower()
        waiting.send_signal(signal.SIGINT)
        waiting.communicate(timeout=PATIENCE_S)
    finally:
        set_quota(-1)
    assert office.sync()["done"]
    assert reason(office) == ""
    assert office.box("vault", "sync", "--for", "0").code == 2
    office.close()
