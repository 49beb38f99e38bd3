"""Verbs out of the parser of the command line, so that nothing is written down twice."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from appliance.cli import global_options, parser
from appliance.cli.verb_notes import NOTES
from appliance.jobs.verb import Kind, Parameter, Value, Verb, Verbs

SECRET_FILES = ("credentials_file", "new_passphrase_file", "recovery_key")
_KINDS: dict[object, Kind] = {Path: "path", int: "integer", float: "number"}
_MANY = ("+", "*")


def build_verbs() -> Verbs:
    """Every command that one can ask the box for, those of nested parsers too."""
    return Verbs(
        _verb(name, command, summary)
        for name, command, summary in list_commands(parser.build(""))
        if name.split()[0] not in parser.DAEMON_COMMANDS
    )


def list_commands(
    main: argparse.ArgumentParser, name: str = "", summary: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """(name, parser, summary) of each command that does something by itself."""
    branches = [action for action in main._actions if _is_branch(action)]
    if name and not any(branch.required for branch in branches):
        yield name, main, summary
    for branch in branches:
        assert isinstance(branch, argparse._SubParsersAction)
        summaries = {choice.dest: choice.help or "" for choice in branch._choices_actions}
        for word, command in branch.choices.items():
            yield from list_commands(command, f"{name} {word}".strip(), summaries.get(word, ""))


def _is_branch(action: argparse.Action) -> bool:
    return isinstance(action, argparse._SubParsersAction)


def _verb(name: str, command: argparse.ArgumentParser, summary: str) -> Verb:
    everywhere = argparse.ArgumentParser(add_help=False)
    global_options.add_global_options(everywhere)
    note = dict(vars(NOTES[name]))
    left_out = {"help", *note.pop("without"), *(action.dest for action in everywhere._actions)}
    parameters = tuple(
        _parameter(action)
        for action in command._actions
        if action.dest not in left_out and not _is_branch(action)
    )
    exclusive = tuple(
        tuple(action.dest for action in group._group_actions)
        for group in command._mutually_exclusive_groups
    )
    return Verb(name, summary, parameters, exclusive=exclusive, **note)


def _parameter(action: argparse.Action) -> Parameter:
    is_switch = action.nargs == 0
    choices = tuple(cast("Value", choice) for choice in action.choices or ())
    default = str(action.default) if isinstance(action.default, Path) else action.default
    is_list = action.nargs in _MANY or isinstance(action, argparse._AppendAction)
    return Parameter(
        name=action.dest,
        kind="boolean" if is_switch else _KINDS.get(action.type, "string"),
        flag=action.option_strings[0] if action.option_strings else "",
        is_list=is_list,
        is_required=action.required,
        choices=choices,
        default=tuple(default) if isinstance(default, list) else default,
        help=(action.help or "") % {"default": action.default},
        is_secret=action.dest in SECRET_FILES,
    )
