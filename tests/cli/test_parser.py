"""What holds for the parser of every command."""

from __future__ import annotations

import argparse

from appliance.cli import parser
from appliance.cli.verbs import list_commands

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
