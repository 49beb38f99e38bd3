"""Every command is a verb, and what a verb makes of arguments is what the parser understands."""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import pytest

from appliance.base.errors import UsageError
from appliance.cli import parser
from appliance.cli.verb_notes import NOTES
from appliance.cli.verbs import build_verbs, list_commands
from appliance.jobs.verb import Parameter, Verb

VERBS = list(build_verbs())
PARSER = parser.build("")
HOSTILE = (
    "--force",
    "-x",
    "a b",
    "",
    "=",
    "--",
    "-",
    "--state=/etc",
    "$(id)",
    "\n",
    "é",
    "@latest",
)


def parse(verb: Verb, arguments: dict[str, Any]) -> argparse.Namespace:
    return PARSER.parse_args(verb.argv(arguments))


def sample(parameter: Parameter, text: str, dice: random.Random) -> Any:
    if parameter.choices:
        one: Any = dice.choice(parameter.choices)
    else:
        one = {
            "string": text,
            "path": text,
            "integer": dice.randrange(-5, 5),
            "number": dice.choice((0.5, 3, -1e-9, 1e300)),
            "boolean": dice.random() < 0.5,
        }[parameter.kind]
    return [one, one] if parameter.is_list else one


def understood(parameter: Parameter, value: Any) -> Any:
    if parameter.kind == "path":
        return [Path(one) for one in value] if parameter.is_list else Path(value)
    return value


def test_every_command_has_a_note_and_every_note_a_command() -> None:
    listed = {name for name, _, _ in list_commands(parser.build(""))}
    names = {name for name in listed if name.split()[0] not in parser.DAEMON_COMMANDS}
    assert names == NOTES.keys()
    assert names == {verb.name for verb in VERBS}


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_no_value_becomes_an_option(verb: Verb, seed: int) -> None:
    dice = random.Random(f"{seed} {verb.name}")
    command = next(command for name, command, _ in list_commands(PARSER) if name == verb.name)
    plain = {action.dest for action in command._actions if action.type in (None, int, float, Path)}
    parameters = [parameter for parameter in verb.parameters if parameter.name in plain]
    for text in HOSTILE:
        arguments = {parameter.name: sample(parameter, text, dice) for parameter in parameters}
        for names in verb.exclusive:
            for name in names[1:]:
                arguments.pop(name)
        is_text = any(
            p.kind in ("string", "path") and not p.choices and p.name in arguments
            for p in parameters
        )
        if text == "--" and is_text:
            with pytest.raises(UsageError):
                verb.argv(arguments)
            continue
        options = parse(verb, arguments)
        for parameter in parameters:
            if parameter.name in arguments:
                wanted = understood(parameter, arguments[parameter.name])
                assert getattr(options, parameter.name) == wanted, (parameter.name, text)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_what_is_left_out_is_what_the_parser_takes_by_default(verb: Verb, seed: int) -> None:
    dice = random.Random(seed)
    needed = {p.name: sample(p, "x", dice) for p in verb.parameters if p.is_required}
    options = parse(verb, needed)
    for parameter in verb.parameters:
        if parameter.name not in needed:
            default = parameter.default
            found = getattr(options, parameter.name)
            assert found == (
                list(default)
                if isinstance(default, tuple)
                else understood(parameter, default)
                if default is not None
                else None
            )
    for name in needed:
        with pytest.raises(UsageError, match=name):
            verb.argv({other: value for other, value in needed.items() if other != name})


def test_an_unknown_argument_a_wrong_kind_and_a_wrong_choice_are_named() -> None:
    verbs = build_verbs()
    backup, scrub = verbs.get("backup"), verbs.get("scrub")
    with pytest.raises(UsageError, match="state: 'backup' has no such argument"):
        backup.argv({"sources": ["/dev/sdb"], "state": "/etc"})
    with pytest.raises(UsageError, match="sources: must be a list"):
        backup.argv({"sources": "/dev/sdb"})
    with pytest.raises(UsageError, match="allow_inconsistent: must be true or false"):
        backup.argv({"sources": ["a"], "allow_inconsistent": 1})
    with pytest.raises(UsageError, match="machine: holds characters"):
        backup.argv({"sources": ["a"], "machine": "a\0b"})
    with pytest.raises(UsageError, match="depth: must be one of"):
        verbs.get("verify").argv({"depth": "all"})
    with pytest.raises(UsageError, match="rate: must be a finite number"):
        scrub.argv({"rate": float("inf")})
    with pytest.raises(UsageError, match="for_s: not together with all"):
        scrub.argv({"for_s": 1, "all": True})


def test_whoever_names_a_path_of_the_box_is_an_admin() -> None:
    """He could read the key of the box, or write its users."""
    paths = {
        verb.name: [
            p.name
            for p in verb.parameters
            if p.kind == "path" and not p.is_secret and verb.role_with({p.name: "/"}) != "admin"
        ]
        for verb in VERBS
        if verb.role != "admin"
    }
    assert not {name: names for name, names in paths.items() if names}
    backup = build_verbs().get("backup")
    assert backup.role_with({"machine": "web1"}) == "operator"
    assert backup.role_with({"machine": "web1", "sources": ["/etc"]}) == "admin"


def test_what_changes_nothing_is_what_a_viewer_may_ask() -> None:
    assert all(verb.is_quick and not verb.is_destructive for verb in VERBS if verb.role == "viewer")


def test_a_verb_knows_its_machine_its_group_and_when_it_destroys() -> None:
    verbs = build_verbs()
    assert verbs.get("restore").machine({"point": "web1@latest"}) == "web1"
    assert verbs.get("backup").machine({"machine": "db"}) == "db"
    assert verbs.get("status").machine({}) is None
    assert verbs.get("vault sync").exclusive_group({"name": "b"}) == "vault b"
    assert verbs.get("vault sync").exclusive_group({}) == "vault *"
    assert not verbs.get("stop").is_destructive_with({"name": "a"})
    assert verbs.get("stop").is_destructive_with({"name": "a", "discard": True})
