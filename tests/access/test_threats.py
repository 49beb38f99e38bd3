"""Each threat and each lesson that others had to learn, tried against the doors of this box.

The routes of the API are tried in tests/api; here is what stands behind them.
"""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime
from pathlib import Path

import pyotp
import pytest

from appliance.access.access import Access
from appliance.access.callers import (
    ADMIN,
    AGENT,
    CONSOLE,
    OPERATOR,
    PEOPLE,
    ROLES,
    SETUP,
    VIEWER,
    Caller,
    Forbidden,
    NeedsApproval,
    NeedsCode,
    NeedsConfirmation,
    Unauthenticated,
)
from appliance.access.gate import Facts
from appliance.base.errors import HoldfastError, UsageError
from tests.access.conftest import PASSWORD, HandClock, facts, log_in

ROOT = Path(__file__).resolve().parent.parent.parent


def bearer(secret: str) -> Facts:
    return facts(authorization=f"Bearer {secret}")


# ---- threats ----


def test_ransomware_with_the_administrators_password_confirms_nothing(
    access: Access, admin: Caller
) -> None:
    """It knows the password, may make tokens, and reads every file but those of the box itself."""
    session = log_in(access, "ann")
    caller = access.gate.admit(session)
    token = access.gate.admit(bearer(access.tokens.make("evil", "ann", ADMIN).secret))
    for stolen in (caller, token):
        with pytest.raises((NeedsConfirmation, Forbidden)):
            access.gate.require_confirmed(stolen)
    for code in (None, "", "123456", PASSWORD, "00000-00000-00000-00000"):
        with pytest.raises((NeedsCode, Unauthenticated)):
            access.gate.confirm(PASSWORD, code, session)


def test_ransomware_cannot_enrol_a_second_factor_of_its_own_unseen(
    access: Access, admin: Caller
) -> None:
    """Enrolment is a destructive route: it needs a confirmation, and that a second factor."""
    user = access.accounts.get("ann")
    secret = access.second_factor.begin(user, "box1").secret  # as if the route let it through
    session = log_in(access, "ann")
    with pytest.raises(Unauthenticated):
        access.gate.confirm(PASSWORD, pyotp.TOTP(secret).at(access.clock.now()), session)


def test_ransomware_alone_is_one_person_of_two(access: Access, admin: Caller) -> None:
    access.accounts.add("bea", ADMIN, PASSWORD)
    access.approvals.require_from_now_on(admin, True)
    with pytest.raises(NeedsApproval) as caught:
        access.approvals.check(admin, "forget", {"point": "web1@latest"})
    with pytest.raises(Forbidden):
        access.approvals.decide(admin, caught.value.approval, is_approved=True)


def test_a_compromised_agent_adds_to_its_own_machine_and_nothing_else(access: Access) -> None:
    agent = access.gate.admit(
        bearer(access.tokens.make("web1", "box", AGENT, machine="web1").secret)
    )
    assert [role for role in (*ROLES, SETUP) if agent.may(role)] == [AGENT]
    agent.require_machine("web1")
    for other in ("web2", "web1 ", "WEB1", "", "web1/../web2"):
        with pytest.raises(Forbidden):
            agent.require_machine(other)
    with pytest.raises(Forbidden):
        access.gate.require_confirmed(agent)


def test_a_console_that_was_taken_over_reads_figures_only(access: Access) -> None:
    console = access.gate.admit(bearer(access.tokens.make("noc", "box", CONSOLE).secret))
    assert [role for role in (*ROLES, SETUP) if console.may(role)] == [CONSOLE]
    assert console.scopes == {"telemetry", "request"}
    with pytest.raises(Forbidden):
        access.gate.require_confirmed(console)


def test_default_passwords_are_none(access: Access) -> None:
    assert not access.accounts.list()
    assert not access.tokens.list()
    names = ("admin", "root", "holdfast", "ann", "", SETUP)
    for name, password in itertools.product(names, ("", "admin", "holdfast", "password")):
        with pytest.raises(HoldfastError):
            access.gate.log_in(name, password, None, facts(f"192.0.2.{len(name)}{len(password)}"))


def test_hostile_names_do_not_become_users_or_tokens(access: Access) -> None:
    for name in ("", "Ann", "../x", "a" * 33, "a\n", "a\u202e", "<b>", "box", SETUP, "a'--", "\0"):
        with pytest.raises(UsageError):
            access.accounts.add(name, VIEWER, PASSWORD)
        if name not in ("Ann", "a" * 33, "box", SETUP):
            with pytest.raises(UsageError):
                access.tokens.make(name, "box", VIEWER)
    access.audit.note("a\x1b[31m\u202e'; drop table users; --", "x", target="=cmd|'/c calc'!A1")
    assert not access.audit.verify(None).faults
    assert access.audit.newest()[0].target == "=cmd|'/c calc'!A1"


def test_a_clock_set_forward_or_back_opens_nothing(
    access: Access, clock: HandClock, admin: Caller
) -> None:
    code = access.gate.show_presence_code("ann")
    session = log_in(access, "ann")
    confirmed = facts(cookie=access.gate.confirm(PASSWORD, code, session))
    clock.time = datetime(2036, 1, 1, tzinfo=UTC)
    with pytest.raises(Unauthenticated):
        access.gate.admit(confirmed)


# ---- lessons with names ----


def test_veeam_cve_2023_27532_no_door_is_open_to_who_is_not_known(access: Access) -> None:
    """An internal port answered anybody. Ours asks everybody, the local socket too."""
    for nobody in (
        facts(),
        facts(cookie=""),
        facts(authorization=""),
        facts(authorization="Bearer "),
        facts(authorization="Basic YW5uOmFubg=="),
        facts(cookie="x", authorization="Bearer hf_"),
        Facts(address="127.0.0.1"),
        Facts(address=""),
    ):
        with pytest.raises(Unauthenticated):
            access.gate.admit(nobody)
    with pytest.raises(Unauthenticated):
        access.gate.admit_peer(False)


def test_veeam_cve_2024_40711_nothing_is_deserialised_into_objects() -> None:
    """Foreign bytes become plain values only."""
    dangerous = r"pickle|marshal|shelve|dill|cloudpickle|jsonpickle|yaml"
    imported = re.compile(rf"^\s*(?:import|from)\s+(?:{dangerous})\b", re.MULTILINE)
    assert imported.search("if x:\n    import pickle")
    for path in (ROOT / "appliance").rglob("*.py"):
        assert not imported.search(path.read_text()), path


def test_veeam_cve_2024_29849_no_other_proof_than_ones_own_logs_in(
    access: Access, admin: Caller
) -> None:
    """A token made elsewhere opened any account. Ours count as what they were made only."""
    token = access.tokens.make("ci", "ann", ADMIN).secret
    session = log_in(access, "ann").cookie
    stored = access.accounts.get("ann").password
    presence = access.gate.show_presence_code("ann")
    setup = access.codes.make(SETUP, lifetime=access.sessions.limits.idle)
    for proof in (token, session, stored, presence, setup, admin.session, "", "\0", "é" * 2000):
        with pytest.raises(HoldfastError):
            access.gate.log_in("ann", proof or "", None, facts(f"198.51.100.{len(proof or '')}"))
        for as_cookie in (token, stored, presence, setup, admin.session):
            with pytest.raises(Unauthenticated):
                access.gate.admit(facts(cookie=as_cookie))
    assert session is not None
    for as_token in (session, stored, admin.session, token[3:], token.upper(), f"{token} "):
        with pytest.raises(HoldfastError):
            access.gate.admit(Facts("203.0.113.9", authorization=f"Bearer {as_token}"))


def test_datto_cve_2017_16673_no_agent_pairs_by_itself(access: Access, admin: Caller) -> None:
    """Whoever reached the port paired. Ours needs a token that an administrator made for it."""
    access.accounts.add("olaf", OPERATOR, PASSWORD)
    with pytest.raises(UsageError):
        access.tokens.make("rogue", "olaf", AGENT, machine="web1")
    with pytest.raises(UsageError):
        access.tokens.make("rogue", "token:agent", AGENT, machine="web1")
    with pytest.raises(UsageError):
        access.tokens.make("rogue", "nobody", AGENT, machine="web1")


def test_datto_cve_2017_16674_an_agent_reads_nothing_of_others(access: Access) -> None:
    made = access.tokens.make("web1", "box", AGENT, machine="web1", scopes=["add"])
    agent = access.gate.admit(bearer(made.secret))
    for role in PEOPLE:
        with pytest.raises(Forbidden):
            agent.require(role)
    with pytest.raises(UsageError):
        access.tokens.make("web1", "box", AGENT, machine="web1", scopes=["read"])


@pytest.mark.parametrize("role", [VIEWER, OPERATOR])
def test_cve_2026_21708_a_viewer_becomes_no_more_than_a_viewer(
    access: Access, admin: Caller, role: str
) -> None:
    access.accounts.add("vic", role, PASSWORD)
    caller = access.gate.admit(log_in(access, "vic"))
    with pytest.raises(Forbidden):
        caller.require(ADMIN)
    with pytest.raises(UsageError):
        access.tokens.make("more", "vic", ADMIN)
    with pytest.raises(UsageError):
        access.tokens.make("more", "vic", role, scopes=["administer"])
    with pytest.raises(Forbidden):
        access.approvals.decide(caller, "x", is_approved=True)
    with pytest.raises(Forbidden):
        access.setup.make_admin(caller, "eve", PASSWORD)
