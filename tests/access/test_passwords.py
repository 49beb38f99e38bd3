"""How passwords are kept, and which are refused."""

from __future__ import annotations

import threading
import time

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from appliance.access.callers import RateLimited
from appliance.access.passwords import Passwords
from appliance.base.errors import UsageError
from tests.access.conftest import PASSWORD, cheap_passwords


def test_the_default_is_argon2id_at_the_cost_of_rfc_9106() -> None:
    passwords = Passwords()
    stored = passwords.hash(PASSWORD, "ann")
    cost = extract_parameters(stored)
    assert (cost.type, cost.memory_cost, cost.time_cost, cost.parallelism) == (Type.ID, 65536, 3, 4)
    assert passwords.matches(stored, PASSWORD)
    assert not passwords.is_outdated(stored)
    assert passwords.is_outdated(cheap_passwords().hash(PASSWORD, "ann"))


@pytest.mark.parametrize(
    "weak", ["", "short", "eleven-char", "ann ann ann ann", "aaaaaaaaaaaaaaa", "holdfastholdfast"]
)
def test_weak_passwords_are_refused(weak: str) -> None:
    with pytest.raises(UsageError):
        cheap_passwords().hash(weak, "ann")


def test_a_password_is_the_same_on_every_keyboard() -> None:
    passwords = cheap_passwords()
    stored = passwords.hash("ﬁnding a caf\u00e9 again", "ann")
    assert passwords.matches(stored, "finding a cafe\u0301 again")


@pytest.mark.parametrize("stored", [None, "", "garbage", "$argon2id$v=19$m=8,t=1,p=1$x$y"])
def test_without_a_sound_hash_nothing_matches(stored: str | None) -> None:
    assert not cheap_passwords().matches(stored, PASSWORD)
    assert not cheap_passwords().matches(stored, "")


class SlowHasher(PasswordHasher):
    """Takes until it is let go."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.begun.release()
        assert self.go.wait(60)
        return super().hash(password, salt=salt)


def test_a_flood_of_logins_is_sent_away_instead_of_piling_up() -> None:
    hasher = SlowHasher()
    passwords = Passwords(hasher)
    threads = [threading.Thread(target=passwords.hash, args=(PASSWORD, "ann")) for _ in range(10)]
    for thread in threads:
        thread.start()
    assert hasher.begun.acquire(timeout=60)
    assert hasher.begun.acquire(timeout=60)
    deadline_s = time.monotonic() + 60
    while passwords._seats._value and time.monotonic() < deadline_s:
        time.sleep(0.01)
    with pytest.raises(RateLimited):
        passwords.matches(None, PASSWORD)
    assert not hasher.begun.acquire(timeout=0.05)  # two at once, eight wait
    hasher.go.set()
    for thread in threads:
        thread.join()
    assert passwords.matches(passwords.hash(PASSWORD, "ann"), PASSWORD)


def test_a_long_password_costs_no_more() -> None:
    with pytest.raises(UsageError):
        cheap_passwords().hash("x1y2z3" * 1000, "ann")
    assert not cheap_passwords().matches(None, "x" * (1 << 20))
