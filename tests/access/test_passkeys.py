"""Passkeys let in and confirm, under the name they were made for, and nothing else does."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from appliance.access.access import Access
from appliance.access.callers import ADMIN, Caller, RateLimited, Unauthenticated
from appliance.base.errors import NotFoundError, UsageError
from tests.access.authenticator import PRESENT, Device, decode, encode
from tests.access.conftest import PASSWORD, HandClock, facts, log_in

HOST = "box1.branch.example:8443"


@pytest.fixture
def device(access: Access, admin: Caller) -> Device:
    """A passkey of `ann`."""
    device = Device()
    user = access.accounts.get("ann")
    ticket, options = access.passkeys.begin_making(user, HOST)
    access.passkeys.finish_making(user, ticket, device.create(options), "phone")
    return device


def ask(access: Access, device: Device) -> tuple[str, dict[str, Any]]:
    ticket, options = access.passkeys.begin_asking(HOST)
    return ticket, device.get(options)


def test_a_passkey_lets_in(access: Access, device: Device) -> None:
    secret = access.passkeys.log_in(*ask(access, device), facts())
    assert access.gate.admit(facts(cookie=secret)).name == "ann"
    entry = access.audit.newest(limit=1)[0]
    assert (entry.who, entry.action, entry.detail) == ("ann", "login", "passkey")


def test_a_passkey_confirms_what_cannot_be_undone(access: Access, device: Device) -> None:
    session = log_in(access, "ann")
    ticket, options = access.passkeys.begin_asking(HOST, access.gate.admit(session))
    secret = access.passkeys.confirm(ticket, device.get(options), session)
    access.gate.require_confirmed(access.gate.admit(facts(cookie=secret)))


@pytest.mark.parametrize("host", ["192.0.2.1:8443", "[2001:db8::1]", "", "a b:x"])
def test_passkeys_are_offered_by_name_only(access: Access, admin: Caller, host: str) -> None:
    with pytest.raises(UsageError, match="by name"):
        access.passkeys.begin_making(access.accounts.get("ann"), host)
    access.passkeys.begin_making(access.accounts.get("ann"), HOST)


def refuse(access: Access, ticket: str, answer: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        access.passkeys.log_in(ticket, answer, facts())


def test_what_another_page_or_device_signed_is_refused(access: Access, device: Device) -> None:
    for wrong in (
        replace(device, origin="https://evil.example"),
        replace(device, flags=PRESENT),  # nobody was verified
        replace(device, key=Device().key),
        Device(),
    ):
        ticket, options = access.passkeys.begin_asking(HOST)
        refuse(access, ticket, wrong.get(options))


def test_an_answer_counts_once_and_for_its_own_challenge(
    access: Access, clock: HandClock, device: Device
) -> None:
    ticket, answer = ask(access, device)
    access.passkeys.log_in(ticket, answer, facts())
    with pytest.raises(UsageError, match="begin again"):
        access.passkeys.log_in(ticket, answer, facts())
    refuse(access, access.passkeys.begin_asking(HOST)[0], answer)
    late, answer = ask(access, device)
    clock.sleep_s(301)
    with pytest.raises(UsageError, match="too long"):
        access.passkeys.log_in(late, answer, facts())


def test_a_copied_device_shows_by_its_count(access: Access, device: Device) -> None:
    copy = replace(device)
    for _ in range(3):
        access.passkeys.log_in(*ask(access, device), facts())
    refuse(access, *ask(access, copy))


def test_a_passkey_is_of_no_use_to_others(access: Access, device: Device) -> None:
    access.accounts.add("bea", ADMIN, PASSWORD)
    bea = access.accounts.get("bea")
    with pytest.raises(UsageError):
        access.passkeys.finish_making(
            bea, access.passkeys.begin_making(access.accounts.get("ann"), HOST)[0], {}, ""
        )
    with pytest.raises(NotFoundError):
        access.passkeys.remove("bea", access.passkeys.list("ann")[0].id)
    access.accounts.disable("ann")
    refuse(access, *ask(access, device))


def test_a_passkey_goes_when_it_is_removed_or_the_password_is_reset(
    access: Access, device: Device
) -> None:
    access.passkeys.remove("ann", access.passkeys.list("ann")[0].id)
    refuse(access, *ask(access, device))
    user = access.accounts.get("ann")
    ticket, options = access.passkeys.begin_making(user, HOST)
    access.passkeys.finish_making(user, ticket, device.create(options), "phone")
    access.accounts.reset_password("ann")
    assert not access.passkeys.list("ann")


def test_garbage_is_refused_and_counted(
    access: Access, clock: HandClock, device: Device, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        ticket, answer = ask(access, device)
        member = chance.choice(sorted(answer["response"]))
        data = bytearray(decode(answer["response"][member]))
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        answer["response"][member] = encode(bytes(data[: chance.choice([len(data), 9, 0])]))
        refuse(access, ticket, answer)
        clock.sleep_s(3600)
    for answer in (
        {},
        {"id": 7},
        {"id": encode(device.id)},
        {"id": encode(device.id), "response": []},
    ):
        refuse(access, access.passkeys.begin_asking(HOST)[0], answer)
    refuse(access, access.passkeys.begin_asking(HOST)[0], {})
    with pytest.raises(RateLimited):
        access.passkeys.log_in("", {}, facts())


def test_strangers_who_ask_for_challenges_take_nobodys_place(
    access: Access, device: Device
) -> None:
    """Anybody may ask for one: a thousand of them drove out those of people."""
    ticket, answer = ask(access, device)
    for _ in range(3000):
        access.passkeys.begin_asking(HOST)
    access.passkeys.log_in(ticket, answer, facts())


def test_a_ticket_is_good_for_its_own_host_only_and_nobody_makes_one(
    access: Access, device: Device
) -> None:
    ticket, answer = ask(access, device)
    refuse(access, ticket.replace("branch", "french"), answer)
    for garbage in ("", "@", ticket.swapcase(), ticket[1:], f"={ticket}", "\ud800", "A" * 32):
        with pytest.raises((UsageError, Unauthenticated)):
            access.passkeys.log_in(garbage, answer, facts("192.0.2.99"))
    access.passkeys.log_in(ticket, answer, facts())
