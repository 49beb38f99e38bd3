"""What can be asked of the box, verb by verb: nobody gets from one role to the next by it."""

from __future__ import annotations

import pytest

from appliance.access.access import Access
from appliance.access.callers import (
    ADMIN,
    AGENT,
    CONSOLE,
    OPERATOR,
    VIEWER,
    Forbidden,
    NeedsConfirmation,
)
from appliance.api.v1.console import is_allowed
from appliance.cli.verbs import build_verbs
from tests.access.conftest import PASSWORD, facts, log_in

VERBS = list(build_verbs())
TAKES_AWAY = {"forget", "prune", "release", "policy set", "policy clear", "key revoke"}
TAKES_AWAY |= {"vault remove", "vault prune", "vault retain"}


def test_ransomware_with_the_administrators_password_runs_nothing_that_deletes(
    access: Access,
) -> None:
    access.accounts.add("ann", ADMIN, PASSWORD)
    session = access.gate.admit(log_in(access, "ann"))
    made = access.tokens.make("evil", "ann", ADMIN)
    token = access.gate.admit(facts(authorization=f"Bearer {made.secret}"))
    destructive = {verb.name for verb in VERBS if verb.is_destructive}
    assert destructive >= TAKES_AWAY
    for _ in destructive:
        with pytest.raises(NeedsConfirmation):
            access.gate.require_confirmed(session)
        with pytest.raises(Forbidden):
            access.gate.require_confirmed(token)


def test_cve_2026_21708_no_verb_of_a_viewer_runs_writes_or_names_a_path() -> None:
    """Looking must not lead to doing: what a viewer may ask takes no path, and is no job."""
    for verb in VERBS:
        if verb.role == VIEWER:
            assert verb.is_quick, verb.name
            assert not verb.is_destructive, verb.name
            assert not [one.name for one in verb.parameters if one.kind == "path"], verb.name


def test_nakivo_cve_2024_48248_nobody_but_an_admin_names_a_path_of_the_box() -> None:
    """A path from outside read any file. Below admin a path is one inside a backup only."""
    inside = {"cat", "ls", "history", "find", "drill run", "drill check"}
    for verb in VERBS:
        if verb.role in (VIEWER, OPERATOR) and verb.name not in inside:
            paths = [
                one.name
                for one in verb.parameters
                if one.kind == "path" and verb.role_with({one.name: "/"}) != ADMIN
            ]
            assert not paths, f"{verb.name}: {paths}"


def test_unitrends_cve_2021_43033_no_argument_becomes_an_option_or_a_word_of_a_shell() -> None:
    """Arguments were put into a shell. Ours are one word each, behind `=` or `--`."""
    hostile = "$(id) `id`; rm -rf / | x\n--force"
    for verb in VERBS:
        for parameter in verb.parameters:
            if parameter.kind in ("string", "path") and not parameter.choices:
                value = [hostile] if parameter.is_list else hostile
                needed = {
                    one.name: ["x"] if one.is_list else one.choices[0] if one.choices else "x"
                    for one in verb.parameters
                    if one.is_required and one.kind in ("string", "path")
                }
                argv = verb.argv({**needed, parameter.name: value})
                places = [at for at, word in enumerate(argv) if hostile in word]
                assert len(places) == 1, (verb.name, argv)
                word, before = argv[places[0]], argv[: places[0]]
                assert word.startswith("--") or "--" in before, (verb.name, argv)


def test_agents_and_consoles_may_run_no_verb_at_all(access: Access) -> None:
    for role, machine in ((AGENT, "web1"), (CONSOLE, None)):
        made = access.tokens.make("x", "box", role, machine=machine)
        caller = access.gate.admit(facts(authorization=f"Bearer {made.secret}"))
        assert not [verb.name for verb in VERBS if caller.may(verb.role)]


def test_what_a_console_may_ask_for_is_on_the_list_and_takes_reads_and_writes_nothing() -> None:
    listed = {verb.name: verb for verb in VERBS if verb.is_for_console}
    assert listed.keys() == {
        *("backup", "verify", "scrub", "vault sync", "drill run", "disks locate"),
    }
    for verb in listed.values():
        assert verb.role == OPERATOR
        assert not verb.is_destructive
        assert not verb.is_inside
        assert not verb.writes
        assert verb.output == "json"
        assert verb.is_job
        assert not verb.secrets()
    assert is_allowed(listed["backup"], {"machine": "web1"})
    assert is_allowed(listed["drill run"], {"what": "web1"})
    for name, arguments in (
        ("backup", {"machine": "web1", "sources": ["/etc/shadow"]}),
        ("backup", {"machine": "web1", "changed": "/etc/shadow"}),
        ("drill run", {"what": "/tmp/plan.toml"}),
    ):
        assert not is_allowed(listed[name], arguments)
    assert not [verb.name for verb in VERBS if verb.name not in listed and is_allowed(verb, {})]


def test_a_stolen_session_makes_no_key_that_opens_the_store_for_good() -> None:
    """Who has such a key reads every vault long after the session has ended."""
    makes = {verb.name: verb for verb in VERBS if verb.name in ("key add", "key split")}
    assert len(makes) == 2
    assert all(verb.is_destructive for verb in makes.values())


def test_the_administrators_password_alone_does_not_end_protection_without_a_word() -> None:
    """What is read, how fast it leaves, who hears of it: an attacker changes that first."""
    verbs = {verb.name: verb for verb in VERBS}
    for name in ("machines add", "machines pause", "notices add", "vault limit"):
        assert verbs[name].role == ADMIN
        assert verbs[name].is_confirmed_with({}), name
    backup = verbs["backup"]
    assert not backup.is_confirmed_with({"machine": "web1"})
    for argument, value in (("sources", ["/etc/shadow"]), ("changed", "/etc/shadow")):
        assert backup.is_confirmed_with({argument: value})
