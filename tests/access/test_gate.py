"""Logging in, and what a request is admitted as."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyotp
import pytest

from appliance.access.access import Access
from appliance.access.callers import (
    ADMIN,
    AGENT,
    OPERATOR,
    ROLES,
    VIEWER,
    Caller,
    Forbidden,
    NeedsCode,
    NeedsConfirmation,
    RateLimited,
    Unauthenticated,
)
from appliance.base.errors import UsageError
from tests.access.conftest import PASSWORD, HandClock, cheap_passwords, facts, log_in


def test_somebody_who_logs_in_is_admitted_with_their_role(access: Access) -> None:
    access.accounts.add("vic", VIEWER, PASSWORD)
    caller = access.gate.admit(log_in(access, "vic"))
    assert (caller.name, caller.role, caller.machine) == ("vic", VIEWER, None)
    assert caller.may(VIEWER)
    assert not caller.may(OPERATOR)
    with pytest.raises(Forbidden, match="vic is viewer, and this needs operator"):
        caller.require(OPERATOR)


def test_nobody_is_admitted_without_a_session(access: Access, admin: Caller) -> None:
    for cookie in ("", "x", admin.session):
        with pytest.raises(Unauthenticated):
            access.gate.admit(facts(cookie=cookie))
    with pytest.raises(Unauthenticated):
        access.gate.admit(facts())


def test_unknown_disabled_and_wrong_sound_the_same(access: Access, admin: Caller) -> None:
    access.accounts.add("vic", VIEWER, PASSWORD)
    access.accounts.disable("vic")
    texts = set()
    for name, password in (("ann", "wrong wrong wrong"), ("vic", PASSWORD), ("bob", PASSWORD)):
        with pytest.raises(Unauthenticated) as caught:
            access.gate.log_in(name, password, None, facts())
        texts.add((type(caught.value), str(caught.value)))
    assert len(texts) == 1


def test_an_unknown_name_is_hashed_for_as_well(
    access: Access, admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    matches = access.passwords.matches

    def note_and_match(stored: str | None, password: str) -> bool:
        asked.append(stored)
        return matches(stored, password)

    monkeypatch.setattr(access.passwords, "matches", note_and_match)
    for name in ("ann", "bob"):
        with pytest.raises(Unauthenticated):
            access.gate.log_in(name, "wrong wrong wrong", None, facts())
    assert len(asked) == 2
    assert asked[1] is None


def test_a_login_ends_the_session_that_the_browser_had(access: Access, admin: Caller) -> None:
    before = log_in(access, "ann")
    secret = access.gate.log_in("ann", PASSWORD, None, before)
    assert secret != before.cookie
    with pytest.raises(Unauthenticated):
        access.gate.admit(before)
    assert access.gate.admit(facts(cookie=secret)).name == "ann"


def test_a_session_ends_when_it_is_idle(access: Access, clock: HandClock, admin: Caller) -> None:
    session = log_in(access, "ann")
    for _ in range(3):
        clock.sleep_s(29 * 60)
        access.gate.admit(session)
    clock.sleep_s(31 * 60)
    with pytest.raises(Unauthenticated):
        access.gate.admit(session)


def test_a_session_ends_after_half_a_day_however_busy_it_is(
    access: Access, clock: HandClock, admin: Caller
) -> None:
    session = log_in(access, "ann")
    for _ in range(36):
        clock.sleep_s(20 * 60)
        access.gate.admit(session)
    clock.sleep_s(60)
    with pytest.raises(Unauthenticated):
        access.gate.admit(session)


def test_sessions_outlive_a_restart_and_logging_out_ends_them(
    tmp_path: Path, clock: HandClock
) -> None:
    with Access(tmp_path, clock, passwords=cheap_passwords()) as access:
        access.accounts.add("ann", ADMIN, PASSWORD)
        session = log_in(access, "ann")
    with Access(tmp_path, clock, passwords=cheap_passwords()) as access:
        assert access.gate.admit(session).name == "ann"
        access.gate.log_out(session)
        with pytest.raises(Unauthenticated):
            access.gate.admit(session)
    assert session.cookie is not None
    for file in tmp_path.iterdir():
        assert session.cookie.encode() not in file.read_bytes()
        assert PASSWORD.encode() not in file.read_bytes()


def test_whoever_loses_rights_loses_their_sessions(access: Access, admin: Caller) -> None:
    access.accounts.add("olaf", OPERATOR, PASSWORD)
    for change in (
        lambda: access.accounts.set_role("olaf", VIEWER),
        lambda: access.accounts.reset_password("olaf"),
    ):
        session = log_in(access, "olaf")
        change()
        with pytest.raises(Unauthenticated):
            access.gate.admit(session)


# ---- tokens ----


def test_a_token_is_admitted_with_its_scopes_and_no_confirmation(access: Access) -> None:
    made = access.tokens.make("nagios", "box", ADMIN, scopes=["read"])
    caller = access.gate.admit(facts(authorization=f"Bearer {made.secret}"))
    assert caller.name == "token:nagios"
    assert caller.may(VIEWER)
    assert not caller.may(OPERATOR)
    with pytest.raises(Forbidden):
        access.gate.require_confirmed(caller)


def test_a_token_ends_by_expiry_and_by_being_revoked(access: Access, clock: HandClock) -> None:
    day = access.tokens.make("day", "box", VIEWER, lifetime=timedelta(days=1))
    long = access.tokens.make("long", "box", VIEWER, lifetime=None)
    clock.sleep_s(86401)
    with pytest.raises(Unauthenticated):
        access.gate.admit(facts(authorization=f"Bearer {day.secret}"))
    access.gate.admit(facts(authorization=f"Bearer {long.secret}"))
    access.gate.keep()
    assert access.tokens.get(long.row.id).seen_s == clock.now().timestamp()
    access.tokens.revoke(long.row.id)
    with pytest.raises(Unauthenticated):
        access.gate.admit(facts(authorization=f"Bearer {long.secret}"))


def test_a_token_may_do_no_more_than_its_owner(access: Access, admin: Caller) -> None:
    access.accounts.add("olaf", ADMIN, PASSWORD)
    token = access.tokens.make("ci", "olaf", ADMIN)
    agent = access.tokens.make("agent", "olaf", AGENT, machine="web1")
    access.accounts.set_role("olaf", VIEWER)
    caller = access.gate.admit(facts(authorization=f"Bearer {token.secret}"))
    assert caller.may(VIEWER)
    assert not caller.may(OPERATOR)
    with pytest.raises(Unauthenticated):
        access.gate.admit(facts(authorization=f"Bearer {agent.secret}"))
    access.accounts.disable("olaf")
    with pytest.raises(Unauthenticated):
        access.gate.admit(facts(authorization=f"Bearer {token.secret}"))
    with pytest.raises(UsageError):
        access.tokens.make("more", "olaf", VIEWER)


def test_an_agent_adds_for_its_own_machine_only(access: Access) -> None:
    made = access.tokens.make("agent", "box", AGENT, machine="web1")
    caller = access.gate.admit(facts(authorization=f"Bearer {made.secret}"))
    assert [role for role in ROLES if caller.may(role)] == [AGENT]
    caller.require_machine("web1")
    with pytest.raises(Forbidden, match="'web1' only"):
        caller.require_machine("web2")
    with pytest.raises(UsageError):
        access.tokens.make("unbound", "box", AGENT)
    with pytest.raises(UsageError):
        access.tokens.make("bound", "box", VIEWER, machine="web1")


def test_guessing_tokens_is_stopped(access: Access) -> None:
    for number in range(5):
        with pytest.raises(Unauthenticated):
            access.gate.admit(facts(authorization=f"Bearer hf_{number}"))
    with pytest.raises(RateLimited):
        access.gate.admit(facts(authorization="Bearer hf_6"))


# ---- the second factor, and confirming ----


def test_a_second_factor_is_asked_for_and_a_code_counts_once(
    access: Access, clock: HandClock, admin: Caller
) -> None:
    user = access.accounts.get("ann")
    made = access.second_factor.begin(user, "box1")
    assert made.qr_svg.startswith("<svg")
    with pytest.raises(UsageError):
        access.second_factor.finish(user, "000000")
    codes = access.second_factor.finish(user, pyotp.TOTP(made.secret).at(clock.now()))
    with pytest.raises(NeedsCode):
        access.gate.log_in("ann", PASSWORD, None, facts())
    with pytest.raises(Unauthenticated):  # the one that finished the enrolment
        access.gate.log_in("ann", PASSWORD, pyotp.TOTP(made.secret).at(clock.now()), facts())
    clock.sleep_s(60)
    code = pyotp.TOTP(made.secret).at(clock.now())
    access.gate.log_in("ann", PASSWORD, code, facts())
    with pytest.raises(Unauthenticated):
        access.gate.log_in("ann", PASSWORD, code, facts())
    access.gate.log_in("ann", PASSWORD, codes[3].lower(), facts())
    with pytest.raises(Unauthenticated):
        access.gate.log_in("ann", PASSWORD, codes[3], facts())
    assert access.second_factor.recovery_codes_left(user) == 9


def test_destructive_actions_need_a_confirmation_with_a_second_factor(
    access: Access, clock: HandClock, admin: Caller
) -> None:
    session = log_in(access, "ann")
    with pytest.raises(NeedsConfirmation):
        access.gate.require_confirmed(access.gate.admit(session))
    with pytest.raises(NeedsCode, match="users presence"):
        access.gate.confirm(PASSWORD, None, session)
    with pytest.raises(Unauthenticated):
        access.gate.confirm(PASSWORD, "AAAAA-AAAAA-AAAAA-AAAAA", session)
    code = access.gate.show_presence_code("ann")
    with pytest.raises(Unauthenticated):
        access.gate.confirm("wrong wrong wrong", code, session)
    confirmed = facts(cookie=access.gate.confirm(PASSWORD, code, session))
    with pytest.raises(Unauthenticated):  # the session has another secret now
        access.gate.admit(session)
    access.gate.require_confirmed(access.gate.admit(confirmed))
    clock.sleep_s(301)
    with pytest.raises(NeedsConfirmation):
        access.gate.require_confirmed(access.gate.admit(confirmed))
    with pytest.raises(Unauthenticated):  # a code counts once
        access.gate.confirm(PASSWORD, code, confirmed)


def test_whoever_is_at_the_box_is_confirmed_and_others_are_not_let_in(access: Access) -> None:
    access.gate.require_confirmed(access.gate.admit_peer(True))
    with pytest.raises(Unauthenticated):
        access.gate.admit_peer(False)


def test_an_initial_password_only_serves_to_choose_another(access: Access, admin: Caller) -> None:
    initial = access.accounts.add("olaf", OPERATOR)
    assert initial is not None
    session = log_in(access, "olaf", initial)
    with pytest.raises(Forbidden, match="of your own"):
        access.gate.admit(session).require(VIEWER)
    access.accounts.choose_password(
        "olaf", initial, PASSWORD, session=access.gate.admit(session).session
    )
    access.gate.admit(session).require(OPERATOR)
    access.gate.require_confirmed(access.gate.admit(session))  # to set up a second factor
