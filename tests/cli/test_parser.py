"""What holds for the parser of every command."""

from __future__ import annotations

import argparse

import pytest

from appliance.cli import parser
from appliance.cli.verbs import list_commands
from tests.command import call_main

COMMANDS = {name: command for name, command, _ in list_commands(parser.build("0"))}


def test_the_global_options_may_stand_behind_every_command_and_action() -> None:
    for name, command in COMMANDS.items():
        options = {option for action in command._actions for option in action.option_strings}
        assert options >= {"--state", "--json", "--passphrase-file"}, name


def test_every_command_and_every_argument_explains_itself() -> None:
    for name, command in COMMANDS.items():
        assert command.description, name
        for action in command._actions:
            if not isinstance(action, argparse._SubParsersAction):
                assert action.help, (name, action.dest)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("frobnicate", "there is no command 'frobnicate': 'holdfast --help' explains"),
        ("point", "there is no command 'point' (did you mean points?): 'holdfast --help' explains"),
        ("vault statsu", "there is no action 'statsu' (did you mean status?): 'holdfast vault "),
        ("points web1 --all", "not understood: web1 --all: 'holdfast points --help' explains"),
        ("disks show", "the following arguments are required: DISK: 'holdfast disks show --help'"),
        ("policy set --rpo x", "argument --rpo: invalid float value: 'x': 'holdfast policy set "),
        ("", "the following arguments are required: COMMAND: 'holdfast --help' explains"),
        ("points a\x1b[31mb\u202e", "not understood: a\\x1b[31mb\\u202e: 'holdfast points "),
    ],
)
def test_what_is_not_understood_is_one_line_with_the_way_out(words: str, said: str) -> None:
    code, out, err = call_main(words.split())
    assert (code, out) == (2, b"")
    line = err.decode()
    assert line.startswith(f"holdfast: {said}")
    assert line.endswith(" --help' explains\n")
    assert line.count("\n") == 1
