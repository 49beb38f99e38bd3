"""users, tokens, audit and setup on the command line, over a real store."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.access.access import Access
from appliance.access.authority import issue, make_authority
from appliance.access.callers import Unauthenticated
from appliance.base.clock import SystemClock
from appliance.cli.main import main
from tests.access.conftest import PASSWORD, cheap_passwords, facts


@dataclass(frozen=True)
class Box:
    """Runs commands on one state."""

    state: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str, code: int = 0) -> dict[str, Any]:
        done = main(["--state", str(self.state), "--json", *words])
        out, err = self.capsys.readouterr()
        assert done == code, err
        answer: dict[str, Any] = json.loads(out) if out.strip() else {"error": err}
        return answer


@pytest.fixture
def box(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Box:
    monkeypatch.setattr("appliance.access.access.Passwords", cheap_passwords)
    return Box(tmp_path / "state", capsys)


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    return str(path)


def test_people_and_programs_are_let_in_and_out(box: Box, password_file: str) -> None:
    box.run("users", "add", "ann", "--role", "admin", "--password-file", password_file)
    initial = box.run("users", "add", "olaf", "--role", "operator")["initial_password"]
    secret = box.run("tokens", "make", "ci", "--role", "viewer", "--days", "1")["secret"]
    with Access(box.state) as access:
        access.gate.log_in("olaf", initial, None, facts())
        assert access.gate.admit(facts(authorization=f"Bearer {secret}")).name == "token:ci"
    assert "last administrator" in box.run("users", "disable", "ann", code=2)["error"]
    assert box.run("users", "set-role", "olaf", "viewer")
    assert box.run("users", "disable", "olaf")
    token = box.run("tokens", "list")["tokens"][0]["id"]
    assert box.run("tokens", "revoke", token)["token"]["revoked_at"]
    users = {user["name"]: user for user in box.run("users", "list")["users"]}
    assert users["ann"]["role"] == "admin"
    assert users["olaf"]["is_disabled"]
    actions = [(e["action"], e["outcome"]) for e in box.run("audit", "list")["entries"]]
    assert ("users disable", "refused") in actions
    assert ("tokens revoke", "done") in actions


def test_the_box_is_the_way_back_for_who_is_locked_out(box: Box, password_file: str) -> None:
    box.run("users", "add", "ann", "--role", "admin", "--password-file", password_file)
    with Access(box.state) as access:
        for _ in range(5):
            access.attempts.fail("ann", "192.0.2.7")
    assert box.run("users", "unlock", "ann")["ended"]
    initial = box.run("users", "reset-password", "ann")["initial_password"]
    code = box.run("users", "presence", "ann")["code"]
    with Access(box.state) as access:
        session = facts(cookie=access.gate.log_in("ann", initial, None, facts()))
        access.gate.confirm(initial, code, session)
        with pytest.raises(Unauthenticated):
            access.gate.log_in("ann", PASSWORD, None, facts())


def test_a_second_person_is_asked_for_and_let_go_at_the_box(box: Box, password_file: str) -> None:
    add = ("--role", "admin", "--password-file", password_file)
    box.run("users", "add", "ann", *add)
    assert "second administrator" in box.run("users", "second-person", "on", code=2)["error"]
    box.run("users", "add", "bea", *add)
    for state in ("on", "off"):
        box.run("users", "second-person", state)
        with Access(box.state) as access:
            assert access.approvals.is_required == (state == "on")


def test_the_setup_window_is_opened_at_the_box(box: Box, password_file: str) -> None:
    assert box.run("setup", "status")["state"] == "closed"
    code = box.run("setup", "code")["code"]
    with Access(box.state) as access:
        access.setup.enter(code, "192.0.2.7")
    box.run("users", "add", "ann", "--role", "admin", "--password-file", password_file)
    assert "administrator" in box.run("setup", "code", code=8)["error"]
    assert box.run("setup", "status")["state"] == "done"


def test_lost_users_come_back_with_the_recovery_key_only(
    box: Box, password_file: str, tmp_path: Path
) -> None:
    key = tmp_path / "recovery.txt"
    box.run("init", "--recovery-out", str(key))
    add = ("users", "add", "ann", "--role", "admin", "--password-file", password_file)
    box.run(*add)
    assert box.run("audit", "verify")["is_seal_checked"]
    for file in box.state.glob("access.sqlite*"):
        file.unlink()
    assert box.run("setup", "status")["needs_recovery_key"]
    assert "--recovery-key" in box.run(*add, code=8)["error"]
    wrong = tmp_path / "wrong.txt"
    replace(box, state=tmp_path / "other").run("init", "--recovery-out", str(wrong))
    box.run(*add, "--recovery-key", str(wrong), code=8)
    box.run(*add, "--recovery-key", str(key))
    assert not box.run("audit", "verify")["faults"]
    assert not box.run("setup", "status")["needs_recovery_key"]


def test_a_certificate_is_shown_brought_along_and_made_anew(box: Box, tmp_path: Path) -> None:
    own = box.run("certificates", "show")
    assert "localhost" in own["names"]
    out = tmp_path / "authority.crt"
    box.run("certificates", "export", "--out", str(out))
    assert out.read_text() == box.run("certificates", "export")["authority"]
    now = SystemClock().now()
    company = make_authority("company", ["localhost"], now)
    pair = issue(company, ["localhost"], now)
    (tmp_path / "chain.pem").write_bytes(pair.certificate + company.certificate)
    (tmp_path / "key.pem").write_bytes(pair.key)
    words = ("certificates", "import", str(tmp_path / "chain.pem"))
    assert box.run(*words, str(tmp_path / "key.pem"))["is_uploaded"]
    assert "no private key" in box.run(*words, str(out), code=2)["error"]
    assert box.run("certificates", "show")["is_uploaded"]
    assert not box.run("certificates", "make")["is_uploaded"]


def test_a_log_that_was_cut_off_is_an_integrity_error(
    box: Box, password_file: str, tmp_path: Path
) -> None:
    box.run("init", "--recovery-out", str(tmp_path / "recovery.txt"))
    box.run("users", "add", "ann", "--role", "admin", "--password-file", password_file)
    box.run("users", "add", "bea", "--role", "admin", "--password-file", password_file)
    with Access(box.state) as access:
        access.file.write("drop trigger audit_delete")
        access.file.write("delete from audit")
    assert "cut off" in box.run("audit", "verify", code=4)["faults"][0]
