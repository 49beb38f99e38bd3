"""Names of machines and points: what they may look like, and how they are spelled in files.

Owns the rule for machine names and the two spellings of a point's time. It never looks whether
what is named exists.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.base.errors import IntegrityError, UsageError
from appliance.base.text import printable

MACHINE_NAME_MAX = 64
# What a Linux file name holds: a machine is a folder in mounts.
MACHINE_NAME_MAX_BYTES = 255
LATEST = "latest"
_EXAMPLE = "'web1@2026-11-21T09:30:00Z'"
_RULE = (
    f"1 to {MACHINE_NAME_MAX} letters, digits, spaces, '.', '_' or '-', "
    "beginning with a letter or digit and not ending with a space"
)
# Patterns of fixed width, because datetime.fromisoformat takes far more spellings than one.
_TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z")
_FILE_TIME = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z")


def parse_machine_name(text: str) -> str:
    """The machine name `text` in Unicode normal form C. Raises UsageError stating the rule.

    Combining marks that form no letter are refused: they would let two names look the same.
    """
    name = unicodedata.normalize("NFC", text)
    if (
        not 1 <= len(name) <= MACHINE_NAME_MAX
        or len(name.encode("utf-8", "replace")) > MACHINE_NAME_MAX_BYTES
        or not all(_is_alphanumeric(character) or character in " ._-" for character in name)
        or not _is_alphanumeric(name[0])
        or name.endswith(" ")
    ):
        raise UsageError(
            f"machine name '{_shown(text)}' is not allowed: a name is {_RULE}",
            code="bad-machine-name",
        )
    return name


def is_plan_file(text: str) -> bool:
    """Whether `text` is the file of a plan, where it may also be the name of a machine."""
    return "/" in text or text.endswith(".toml")


def format_time(time: datetime) -> str:
    """The time as `2026-11-21T09:30:00Z`; `time` is UTC in whole seconds."""
    return time.replace(tzinfo=None).isoformat() + "Z"


def parse_time(text: str) -> datetime | None:
    """The time that `format_time` spells as `text`, or None if it spells none."""
    return _read_time(_TIME, text)


@dataclass(frozen=True, order=True)
class PointName:
    """The name of a point; sorts by machine, then time. `time` is UTC in whole seconds.

    >>> str(PointName.parse("web1@2026-11-21T09:30:00Z"))
    'web1@2026-11-21T09:30:00Z'
    """

    machine: str
    time: datetime

    def __post_init__(self) -> None:
        if self.time.tzinfo is not UTC or self.time.microsecond:
            raise ValueError(f"a point's time is UTC in whole seconds, not {self.time!r}")

    def __str__(self) -> str:
        return f"{self.machine}@{self.directory_time}"

    @classmethod
    def parse(cls, text: str) -> PointName:
        """The point name `text`. Raises UsageError with an example of the right form."""
        selector = PointSelector.parse(text)
        if selector.time is None:
            raise UsageError(f"'{text}' is no point's own name: it looks like {_EXAMPLE}")
        return cls(selector.machine, selector.time)

    @classmethod
    def from_file_time(cls, machine: str, text: str) -> PointName:
        """The name of the point of `machine` whose file is called `text` + `.point`.

        Raises IntegrityError if no point's file is called so.
        """
        time = _read_time(_FILE_TIME, text)
        if time is None:
            raise IntegrityError(f"'{_shown(text)}' is not the name of a point's file")
        return cls(machine, time)

    @property
    def directory_time(self) -> str:
        """The time as people and mounts see it: `2026-11-21T09:30:00Z`."""
        return format_time(self.time)

    @property
    def file_time(self) -> str:
        """The time as the point's file is called: `20261121T093000Z`."""
        return self.directory_time.replace("-", "").replace(":", "")


@dataclass(frozen=True)
class PointSelector:
    """What a person types for a point; without `time` it is the newest complete one."""

    machine: str
    time: datetime | None

    @classmethod
    def parse(cls, text: str) -> PointSelector:
        """Read `NAME@latest` or `NAME@TIME`. Raises UsageError with an example otherwise."""
        machine, at, time_text = text.rpartition("@")
        time = None if time_text == LATEST else parse_time(time_text)
        if not at or (time is None and time_text != LATEST):
            raise UsageError(
                f"'{_shown(text)}' names no point: write {_EXAMPLE} or 'web1@{LATEST}'"
            )
        return cls(parse_machine_name(machine), time)

    def __str__(self) -> str:
        return f"{self.machine}@{LATEST if self.time is None else format_time(self.time)}"


def _is_alphanumeric(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "L" or category == "Nd"


def _read_time(pattern: re.Pattern[str], text: str) -> datetime | None:
    found = pattern.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def _shown(text: str) -> str:
    limit = 2 * MACHINE_NAME_MAX
    return printable(text[:limit]) + ("..." if len(text) > limit else "")
