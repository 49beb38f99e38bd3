"""The first administrator, and nobody else, ever."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from appliance.access.access import Access
from appliance.access.callers import (
    ADMIN,
    SETUP,
    VIEWER,
    Caller,
    Forbidden,
    RateLimited,
    Unauthenticated,
)
from appliance.access.setup_window import WINDOW
from tests.access.conftest import PASSWORD, HandClock, cheap_passwords, facts, log_in

ADDRESS = "192.0.2.7"


def open_window(access: Access) -> str:
    code = access.setup.open()
    assert code is not None
    return code


def enter(access: Access, code: str) -> Caller:
    return access.gate.admit(facts(cookie=access.setup.enter(code, ADDRESS)))


def test_the_code_at_the_box_makes_the_first_administrator(access: Access) -> None:
    code = open_window(access)
    caller = enter(access, code.lower().replace("-", " "))
    assert caller.role == SETUP
    with pytest.raises(Forbidden):
        caller.require(VIEWER)
    secret = access.setup.make_admin(caller, "ann", PASSWORD)
    ann = access.gate.admit(facts(cookie=secret))
    assert (ann.name, ann.role) == ("ann", ADMIN)
    access.gate.require_confirmed(ann)  # the rest of setup
    assert access.setup.state == "done"


def test_the_window_closes_with_the_first_administrator(access: Access) -> None:
    code = open_window(access)
    first, second = enter(access, code), enter(access, code)
    access.setup.make_admin(first, "ann", PASSWORD)
    with pytest.raises(Forbidden):
        access.setup.make_admin(second, "eve", PASSWORD)
    with pytest.raises(Forbidden):
        access.setup.enter(code, ADDRESS)
    assert access.setup.open() is None
    assert [user.name for user in access.accounts.list()] == ["ann"]


def test_the_window_closes_after_an_hour_and_opens_at_the_box_only(
    access: Access, clock: HandClock
) -> None:
    code = open_window(access)
    clock.sleep_s(WINDOW.total_seconds() + 1)
    assert access.setup.state == "closed"
    with pytest.raises(Forbidden, match="setup code"):
        access.setup.enter(code, ADDRESS)
    assert enter(access, open_window(access)).role == SETUP


def test_ten_wrong_codes_close_the_window_from_however_many_addresses(access: Access) -> None:
    code = open_window(access)
    for number in range(10):
        with pytest.raises(Unauthenticated):
            access.setup.enter("0" * 20, f"198.51.100.{number}")
    with pytest.raises(Forbidden):
        access.setup.enter(code, ADDRESS)
    assert access.setup.state == "closed"


def test_a_new_code_ends_the_old_one(access: Access) -> None:
    old = open_window(access)
    open_window(access)
    with pytest.raises(Unauthenticated):
        access.setup.enter(old, ADDRESS)


def test_the_code_is_not_kept(access: Access, tmp_path: Path) -> None:
    code = open_window(access)
    for file in tmp_path.iterdir():
        assert code.encode() not in file.read_bytes()
        assert code.replace("-", "").encode() not in file.read_bytes()


def lose_users(state: Path) -> None:
    for file in state.glob("access.sqlite*"):
        file.unlink()


@pytest.mark.parametrize("how", ["removed", "spoiled"])
def test_lost_users_never_reopen_setup_to_strangers(
    tmp_path: Path, clock: HandClock, how: str
) -> None:
    mark = tmp_path / "store" / "access.mark"
    with Access(tmp_path, clock, passwords=cheap_passwords()) as access:
        access.accounts.add("ann", ADMIN, PASSWORD)
    mark.parent.mkdir()
    if how == "removed":
        mark.write_bytes(b"sealed")
        lose_users(tmp_path)
    else:
        (tmp_path / "store" / "store.json").write_text("{}")
        (tmp_path / "access.sqlite").write_bytes(b"garbage" * 1000)
    with Access(
        tmp_path, clock, passwords=cheap_passwords(), opens_store=lambda text: text == "the key"
    ) as access:
        assert access.setup.needs_recovery_key, how
        caller = enter(access, open_window(access))
        missing, wrong = ("needs-recovery-key", "is needed"), ("wrong-recovery-key", "is not the")
        for given, (code, line) in ((None, missing), ("", missing), ("another key", wrong)):
            with pytest.raises(Forbidden, match=line) as refused:
                access.setup.make_admin(caller, "eve", PASSWORD, recovery_key=given)
            assert refused.value.code == code
        assert not access.accounts.list()
        access.setup.make_admin(caller, "ann", PASSWORD, recovery_key="the key")
        log_in(access, "ann")


def test_a_recovery_key_cannot_be_guessed_without_end(access: Access, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "access.mark").write_bytes(b"sealed")
    caller = enter(access, open_window(access))

    def guess() -> None:
        access.setup.make_admin(caller, "eve", PASSWORD, recovery_key="guess")

    for _ in range(5):
        with pytest.raises(Forbidden):
            guess()
    with pytest.raises(RateLimited):
        guess()


def test_a_setup_session_ends_like_any_other(access: Access, clock: HandClock) -> None:
    cookie = access.setup.enter(open_window(access), ADDRESS)
    clock.sleep_s(timedelta(minutes=31).total_seconds())
    with pytest.raises(Unauthenticated):
        access.gate.admit(facts(cookie=cookie))
