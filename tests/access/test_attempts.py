"""Whoever guesses is slowed down, and whoever is locked out has a way back."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from appliance.access.access import Access
from appliance.access.attempts import site_of
from appliance.access.callers import Caller, RateLimited, Unauthenticated
from tests.access.conftest import PASSWORD, HandClock, cheap_passwords, facts


def guess(access: Access, name: str = "ann", address: str = "192.0.2.7") -> None:
    with pytest.raises(Unauthenticated):
        access.gate.log_in(name, "wrong wrong wrong", None, facts(address))


@pytest.mark.parametrize("name", ["ann", "nobody-of-this-name"])
def test_five_wrong_passwords_lead_to_pauses_that_grow(
    access: Access, clock: HandClock, admin: Caller, name: str
) -> None:
    for _ in range(5):
        guess(access, name)
    waits = []
    for _ in range(4):
        with pytest.raises(RateLimited) as caught:
            access.gate.log_in(name, PASSWORD, None, facts())
        waits.append(round(caught.value.retry_after_s))
        clock.sleep_s(caught.value.retry_after_s)
        guess(access, name)
    assert waits == [30, 60, 120, 240]


def test_a_burst_of_guesses_gets_as_far_as_one_after_another(
    access: Access, admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them came before the first had failed, and as many were looked at as fit in."""
    looked, refused, may_end = [], [], threading.Event()

    def look_slowly(stored: str | None, password: str) -> bool:
        looked.append(password)
        may_end.wait(60)
        return False

    def try_one(number: int) -> None:
        try:
            access.gate.log_in("ann", f"wrong {number}", None, facts())
        except RateLimited:
            refused.append(number)
        except Unauthenticated:
            pass

    monkeypatch.setattr(access.passwords, "matches", look_slowly)
    guesses = [threading.Thread(target=try_one, args=(number,)) for number in range(40)]
    for one in guesses:
        one.start()
    deadline_s = time.monotonic() + 60
    while len(looked) + len(refused) < len(guesses) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    may_end.set()
    for one in guesses:
        one.join()
    assert len(looked) == 5
    assert len(refused) == 35
    monkeypatch.undo()
    with pytest.raises(RateLimited):
        access.gate.log_in("ann", PASSWORD, None, facts())


def test_who_has_just_been_wrong_may_try_again_when_that_is_over(
    access: Access, clock: HandClock, admin: Caller
) -> None:
    for _ in range(6):
        guess(access)
        clock.sleep_s(3600)
    access.gate.log_in("ann", PASSWORD, None, facts())


def test_a_stranger_elsewhere_does_not_lock_somebody_out(access: Access, admin: Caller) -> None:
    for _ in range(5):
        guess(access, address="198.51.100.1")
    access.gate.log_in("ann", PASSWORD, None, facts())


def test_an_address_that_tries_many_names_is_stopped(access: Access) -> None:
    for number in range(20):
        guess(access, f"user{number}")
    with pytest.raises(RateLimited):
        access.gate.log_in("ann", PASSWORD, None, facts())


def test_a_name_that_is_tried_from_everywhere_is_stopped(access: Access, admin: Caller) -> None:
    for number in range(100):
        guess(access, address=f"10.0.{number}.1")
    with pytest.raises(RateLimited):
        access.gate.log_in("ann", PASSWORD, None, facts("10.1.0.1"))


def test_a_restart_does_not_forget_failures_and_the_box_has_a_way_back(
    tmp_path: Path, clock: HandClock
) -> None:
    with Access(tmp_path, clock, passwords=cheap_passwords()) as access:
        access.accounts.add("ann", "admin", PASSWORD)
        for _ in range(5):
            guess(access)
    with Access(tmp_path, clock, passwords=cheap_passwords()) as access:
        with pytest.raises(RateLimited):
            access.gate.log_in("ann", PASSWORD, None, facts())
        access.attempts.unlock("ann")
        access.gate.log_in("ann", PASSWORD, None, facts())


def test_failures_age(access: Access, clock: HandClock, admin: Caller) -> None:
    for _ in range(4):
        guess(access)
    clock.sleep_s(3600)
    guess(access)
    access.gate.log_in("ann", PASSWORD, None, facts())
    assert len(access.file.failures.where()) == 2


def test_addresses_of_one_customer_are_one() -> None:
    assert site_of("2001:db8:1:2:3::4") == site_of("2001:db8:1:2:ffff::1")
    assert site_of("2001:db8:1:3::4") != site_of("2001:db8:1:2::4")
    assert site_of("::ffff:192.0.2.1") == site_of("192.0.2.1")
    assert site_of("fe80::1%eth0") == site_of("fe80::2")
    assert site_of("no address") == "unknown"
