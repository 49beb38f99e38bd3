"""What the box can be asked to do: every command with its parameters, who may ask, how it runs.

Owns the form of verbs, and the way from named arguments to words of a command line. It knows no
command by name: `cli` makes the verbs from its parser and hands them in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from appliance.base.errors import NotFoundError, UsageError
from appliance.formats.names import is_plan_file
from appliance.jobs.queue import ANY

Kind = Literal["string", "integer", "number", "boolean", "path"]
Role = Literal["viewer", "operator", "admin"]
Output = Literal["json", "bytes"]
Value = str | int | float | bool

TEXT_MAX = 4096
"""Longest argument in characters: as long as a path can be."""
LIST_MAX = 1000
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "path": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://")
_NAMES = {"integer": "an integer", "number": "a number", "boolean": "true or false"}


@dataclass(frozen=True)
class Parameter:
    """One argument of a verb.

    Attributes:
        name: as in JSON: `keep_daily`.
        flag: as on the command line: `--keep-daily`; empty for a positional one.
        choices: what it may be; empty where anything of its kind goes.
        default: what the command takes when it is left out.
        is_secret: a file whose content nobody may see (a key, credentials): who asks from afar
            gives the content, which lies in a private file while the verb runs.
    """

    name: str
    kind: Kind
    flag: str = ""
    is_list: bool = False
    is_required: bool = False
    choices: tuple[Value, ...] = ()
    default: Value | tuple[Value, ...] | None = None
    help: str = ""
    is_secret: bool = False

    @property
    def is_positional(self) -> bool:
        """Whether its place gives it its meaning, not a flag."""
        return not self.flag

    def check(self, value: object) -> list[Value]:
        """The values of an argument, one or more. Raises UsageError naming the parameter."""
        if not self.is_list:
            return [self._check_one(value)]
        if not isinstance(value, list | tuple) or len(value) > LIST_MAX:
            raise UsageError(f"{self.name}: must be a list of at most {LIST_MAX}")
        if not value and self.is_required:
            raise UsageError(f"{self.name}: at least one is needed")
        return [self._check_one(one) for one in value]

    def _check_one(self, value: object) -> Value:
        is_kind = isinstance(value, _TYPES[self.kind])
        if not is_kind or (isinstance(value, bool) and self.kind != "boolean"):
            raise UsageError(f"{self.name}: must be {_NAMES.get(self.kind, 'text')}")
        assert isinstance(value, str | int | float)
        if isinstance(value, str):
            self._check_text(value)
        elif isinstance(value, float) and value - value != 0:
            raise UsageError(f"{self.name}: must be a finite number")
        if self.choices and value not in self.choices:
            raise UsageError(f"{self.name}: must be one of {', '.join(map(str, self.choices))}")
        return value

    def _check_text(self, value: str) -> None:
        if len(value) > TEXT_MAX:
            raise UsageError(f"{self.name}: is longer than {TEXT_MAX} characters")
        if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
            raise UsageError(f"{self.name}: holds characters that no argument can")
        if value == "--":  # the parser drops it, even behind a flag
            raise UsageError(f"{self.name}: must not be '--'")


@dataclass(frozen=True, kw_only=True)
class VerbTraits:
    """What the parser does not say of a command: who may ask for it, and how it runs.

    Attributes:
        role: the least that somebody must be who asks for it.
        admin_with: the parameters with which it takes an admin who has confirmed who they are.
        is_confirmed: takes nothing away, but prepares for it or lets secrets out: who asks has to
            have confirmed who they are.
        is_for_console: a console may ask for it, without `admin_with`, by a nonce.
        is_destructive: takes something away that does not come back by itself.
        destructive_with: the parameters that make it so, where it is not always.
        is_quick: answers within a moment, changes nothing, and needs no job.
        is_prompt: changes something within a moment, and somebody waits: it is no job, so that none
            that runs holds it up.
        is_secretive: what it says holds a key: it is never a job, and nothing of it is kept.
        is_endless: serves until it is told to stop.
        is_repeatable: doing it twice, or again after it was killed, does no harm.
        is_heavy: works disks or processors hard and nobody waits for it; few run at once.
        is_long: takes so long that the command lets the daemon do it, if there is one.
        private: members of what it gives that are for whoever asked, and not kept with a job.
        group: verbs of one group never run at the same time; empty for none. `{name}` stands for
            that argument.
        machine_from: the parameter that names the machine, itself or before an `@`; or empty.
        plan_from: the parameter that can be a file of the box, a plan with programs to run, instead
            of a name: who gives one has to be an admin; or empty.
        writes: the parameters that say where on the box it writes what it did not find there.
        is_inside: what it gives and says lies inside points: only for whoever may look there.
        hidden: arguments that open something: nobody sees them again.
    """

    role: Role = "admin"
    admin_with: tuple[str, ...] = ()
    is_confirmed: bool = False
    is_for_console: bool = False
    is_destructive: bool = False
    destructive_with: tuple[str, ...] = ()
    output: Output = "json"
    is_quick: bool = False
    is_prompt: bool = False
    is_secretive: bool = False
    is_endless: bool = False
    is_repeatable: bool = False
    is_heavy: bool = False
    is_long: bool = False
    private: tuple[str, ...] = ()
    group: str = ""
    machine_from: str = ""
    plan_from: str = ""
    writes: tuple[str, ...] = ()
    is_inside: bool = False
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verb(VerbTraits):
    """One command, as `vault sync`.

    Attributes:
        exclusive: of each of these sets of parameters at most one may be given.
    """

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    exclusive: tuple[tuple[str, ...], ...] = ()

    @property
    def is_job(self) -> bool:
        """Whether it can run by itself, with nobody at its standard input and output."""
        return self.output == "json" and not (self.is_secretive or self.is_prompt)

    def argv(self, arguments: Mapping[str, object]) -> list[str]:
        """The words of the command line. Raises UsageError naming the argument that is wrong.

        No value can become an option: it stands behind `=` or `--`.
        """
        given = self._check(arguments)
        words, options, places = self.name.split(), [], []
        for parameter in self.parameters:
            values = given.get(parameter.name)
            if parameter.is_positional:
                places.append((parameter, values))
            elif parameter.kind == "boolean":
                options += [parameter.flag] if values == [True] else []
            else:
                options += [f"{parameter.flag}={_text(value)}" for value in values or []]
        return [*words, *options, *_place(places)]

    def role_with(self, arguments: Mapping[str, object]) -> Role:
        """The least that somebody must be who asks for it like this."""
        return "admin" if self._is_for_admins_with(arguments) else self.role

    def is_confirmed_with(self, arguments: Mapping[str, object]) -> bool:
        """Whether who asks for it like this has to have confirmed who they are."""
        return self.is_confirmed or self._is_for_admins_with(arguments)

    def _is_for_admins_with(self, arguments: Mapping[str, object]) -> bool:
        return self.runs_plan(arguments) or any(arguments.get(name) for name in self.admin_with)

    def runs_plan(self, arguments: Mapping[str, object]) -> bool:
        """Whether it runs the programs that a file of the box names."""
        given = arguments.get(self.plan_from)
        return isinstance(given, str) and is_plan_file(given)

    def targets(self, arguments: Mapping[str, object]) -> list[str]:
        """Where on the box it would write; addresses are elsewhere."""
        found: list[str] = []
        for parameter in self.parameters:
            if parameter.name in self.writes and arguments.get(parameter.name) is not None:
                given = parameter.check(arguments[parameter.name])
                found += [
                    str(one)
                    for one in given
                    if one != "-" and not (parameter.is_list and _ADDRESS.match(str(one)))
                ]
        return found

    def is_destructive_with(self, arguments: Mapping[str, object]) -> bool:
        """Whether it takes something away when it is called like this."""
        return self.is_destructive or any(arguments.get(name) for name in self.destructive_with)

    def machine(self, arguments: Mapping[str, object]) -> str | None:
        """The machine that it is about, where its arguments say so."""
        named = arguments.get(self.machine_from)
        return named.split("@")[0] if isinstance(named, str) and named else None

    def exclusive_group(self, arguments: Mapping[str, object]) -> str:
        """What no other job may belong to while this one runs; empty for none.

        Without a name it ends in `ANY`: it is about whatever there is.
        """
        return self.group.replace("{name}", str(arguments.get("name") or ANY))

    def secrets(self) -> tuple[Parameter, ...]:
        """The parameters that are files with secrets."""
        return tuple(parameter for parameter in self.parameters if parameter.is_secret)

    def _check(self, arguments: Mapping[str, object]) -> dict[str, list[Value]]:
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in arguments:
            if name not in known:
                takes = ", ".join(known) or "no arguments"
                raise UsageError(f"{name}: '{self.name}' has no such argument; it takes {takes}")
        given = {
            name: known[name].check(value)
            for name, value in arguments.items()
            if value is not None  # left out
        }
        for parameter in self.parameters:
            if parameter.is_required and parameter.name not in given:
                raise UsageError(f"{parameter.name}: is missing")
        for names in self.exclusive:
            both = [name for name in names if given.get(name) not in (None, [False])]
            if len(both) > 1:
                raise UsageError(f"{both[0]}: not together with {both[1]}")
        return given

    def to_json(self) -> dict[str, Any]:
        """As programs learn of it."""
        return {
            "name": self.name,
            "summary": self.summary,
            "role": self.role,
            "admin_with": list(self.admin_with),
            "is_confirmed": self.is_confirmed,
            "is_destructive": self.is_destructive,
            "destructive_with": list(self.destructive_with),
            "is_quick": self.is_quick,
            "output": self.output,
            "parameters": [
                {**vars(parameter), "is_positional": parameter.is_positional}
                for parameter in self.parameters
            ],
        }


class Verbs:
    """All verbs there are."""

    def __init__(self, verbs: Iterable[Verb]) -> None:
        self._verbs = {verb.name: verb for verb in verbs}

    def __iter__(self) -> Iterator[Verb]:
        return iter(self._verbs.values())

    def __contains__(self, name: object) -> bool:
        return name in self._verbs

    def get(self, name: str) -> Verb:
        """The verb of that name. Raises NotFoundError."""
        verb = self._verbs.get(name)
        if verb is None:
            raise NotFoundError(f"{name}: no such verb: 'holdfast --help' lists them")
        return verb


def _text(value: Value) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _place(places: list[tuple[Parameter, list[Value] | None]]) -> list[str]:
    """Positional values behind `--`; what is left out before one that is given is its default."""
    while places and places[-1][1] in (None, []):
        places = places[:-1]
    words: list[str] = []
    for parameter, values in places:
        if values is None and parameter.default is None:
            raise UsageError(f"{parameter.name}: is missing")
        given = [parameter.default] if values is None else values
        words += [_text(value) for value in given if isinstance(value, str | int | float)]
    return ["--", *words] if words else []
