"""A second person, for exactly what was asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.access.access import Access
from appliance.access.callers import ADMIN, OPERATOR, Caller, Forbidden, NeedsApproval
from appliance.base.errors import NotFoundError, UsageError
from tests.access.conftest import PASSWORD, HandClock, log_in

FORGET = ("forget", {"point": "web1@2026-01-01T00:00:00Z"})


@pytest.fixture
def second(access: Access, admin: Caller) -> Caller:
    access.accounts.add("bea", ADMIN, PASSWORD)
    caller = access.gate.admit(log_in(access, "bea"))
    access.approvals.require_from_now_on(admin, True)
    return caller


def ask(access: Access, caller: Caller) -> str:
    with pytest.raises(NeedsApproval) as caught:
        access.approvals.check(caller, *FORGET)
    return caught.value.approval


def test_nobody_else_is_asked_unless_the_box_is_told_so(access: Access, admin: Caller) -> None:
    access.approvals.check(admin, *FORGET)
    with pytest.raises(UsageError, match="second administrator"):
        access.approvals.require_from_now_on(admin, True)


def test_what_another_administrator_agreed_to_is_done_once(
    access: Access, admin: Caller, second: Caller
) -> None:
    request = ask(access, admin)
    assert ask(access, admin) == request
    assert access.approvals.decide(second, request, is_approved=True).decided_by == "bea"
    access.approvals.check(admin, *FORGET)
    assert ask(access, admin) != request


def test_an_approval_is_for_one_person_one_verb_and_its_arguments(
    access: Access, admin: Caller, second: Caller
) -> None:
    access.approvals.decide(second, ask(access, admin), is_approved=True)
    others: list[tuple[Caller, str, dict[str, object]]] = [
        (admin, "forget", {"point": "web2@2026-01-01T00:00:00Z"}),
        (admin, "forget", {**FORGET[1], "now": True}),
        (admin, "release", {**FORGET[1]}),
        (second, "forget", {**FORGET[1]}),
    ]
    for caller, verb, arguments in others:
        with pytest.raises(NeedsApproval):
            access.approvals.check(caller, verb, arguments)
    access.approvals.check(admin, *FORGET)


def test_nobody_agrees_with_themselves_and_lesser_roles_and_tokens_do_not(
    access: Access, admin: Caller, second: Caller
) -> None:
    request = ask(access, admin)
    operator = replace(second, name="olaf", role=OPERATOR, scopes=frozenset({"read", "operate"}))
    token = replace(second, name="token:ci", session="")
    for caller in (admin, operator, token):
        with pytest.raises(Forbidden):
            access.approvals.decide(caller, request, is_approved=True)
    with pytest.raises(NeedsApproval):
        access.approvals.check(admin, *FORGET)


def test_a_refusal_and_the_end_of_a_day_end_a_request(
    access: Access, clock: HandClock, admin: Caller, second: Caller
) -> None:
    refused = ask(access, admin)
    access.approvals.decide(second, refused, is_approved=False)
    late = ask(access, admin)
    assert late != refused
    assert [row.id for row in access.approvals.list()] == [late]
    access.approvals.decide(second, late, is_approved=True)
    clock.sleep_s(86401)
    assert ask(access, admin) not in (late, refused)
    for request in (refused, late, "nothing"):
        with pytest.raises(NotFoundError):
            access.approvals.decide(second, request, is_approved=True)


def test_secrets_among_the_arguments_are_not_kept(
    access: Access, admin: Caller, second: Caller
) -> None:
    with pytest.raises(NeedsApproval):
        access.approvals.check(admin, "vault remove", {"secret_key": "planted-secret"})
    assert "planted-secret" not in access.approvals.list()[0].arguments


def test_nobody_is_asked_to_agree_to_what_cannot_be_shown_whole(
    access: Access, admin: Caller, second: Caller
) -> None:
    """Behind a long list stands what is really wanted."""
    padded = {"at": ["hourly " + " " * 4000], "keep_last": 1}
    with pytest.raises(UsageError, match="too long"):
        access.approvals.check(admin, "policy set", padded)
    assert access.approvals.list() == []
