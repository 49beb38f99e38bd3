"""What the daemon writes down every minute: the seal over the audit log, and what health says."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.access.access import Access
from appliance.cli.access_health import judge_access
from appliance.cli.console import Console
from appliance.cli.main import main
from appliance.cli.session import Session
from appliance.formats.audit import MARK_PLACE
from tests.access.conftest import PASSWORD, HandClock, cheap_passwords


def test_the_audit_log_is_sealed_while_the_store_is_unlocked(tmp_path: Path) -> None:
    mark = tmp_path / "store" / MARK_PLACE
    with Access(tmp_path, passwords=cheap_passwords()) as access:
        access.keep()  # without a store there is nothing to seal in
    assert main(["--state", str(tmp_path), "init", "--recovery-out", str(tmp_path / "key")]) == 0
    with Access(tmp_path, passwords=cheap_passwords()) as access:
        access.keep()
        assert not mark.exists()  # nobody has been made administrator
        access.accounts.add("ann", "admin", PASSWORD)
        access.keep()
        first = mark.read_bytes()
        access.keep()
        assert mark.read_bytes() == first
        access.audit.note("ann", "x")
        access.keep()
        assert mark.read_bytes() != first
        (tmp_path / "box.key").rename(tmp_path / "elsewhere")
        access.keep()  # locked: later


def test_health_names_a_recovery_key_that_nobody_has_shown(
    tmp_path: Path, clock: HandClock, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    state = tmp_path / "state"
    assert main(["--state", str(state), "--json", "init", "--recovery-out", str(key)]) == 0
    session = Session(state, Console(is_json=True))
    assert not judge_access(session)  # it lets nobody in yet
    with Access(state, passwords=cheap_passwords()) as access:
        access.accounts.add("ann", "admin", PASSWORD)
    assert [finding.severity for finding in judge_access(session)] == ["notice"]
    clock.time = session.clock.now() + timedelta(days=8)
    late = Session(state, Console(is_json=True), clock=clock)
    assert [finding.severity for finding in judge_access(late)] == ["warning"]
    assert main(["--state", str(state), "--json", "key", "check", "--recovery-key", str(key)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["opens"]
    assert not judge_access(late)
