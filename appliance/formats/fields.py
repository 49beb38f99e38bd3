"""Strict reading of JSON objects that somebody may have damaged or forged.

Owns the step from bytes to typed values within stated ranges; every fault becomes one
IntegrityError that names the object and the member. It never guesses, and ignores unknown members.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from appliance.base.errors import IntegrityError

NUMBER_MAX = 2**63 - 1


def parse_json(data: bytes | str) -> object:
    """The JSON value in `data`. Raises ValueError for anything that is not plain JSON."""
    try:
        value: object = json.loads(data, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


class Fields:
    """A JSON object called `what` in messages."""

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict):
            raise IntegrityError(f"{what}: not a JSON object")
        self._members: dict[str, object] = value
        self._what = what

    @classmethod
    def parse(cls, data: bytes, what: str, limit_bytes: int) -> Fields:
        """The object in `data`. Raises IntegrityError if it is longer than `limit_bytes`."""
        if len(data) > limit_bytes:
            raise IntegrityError(f"{what}: longer than {limit_bytes} bytes")
        try:
            return cls(parse_json(data), what)
        except ValueError as error:
            raise IntegrityError(f"{what}: not valid JSON") from error

    def fault(self, name: str, expected: str) -> IntegrityError:
        """The error that says that member `name` is not what was `expected`."""
        return IntegrityError(f"{self._what}: '{name}' is not {expected}")

    def get(self, name: str) -> object:
        """Member `name` as it is, None if it is missing."""
        return self._members.get(name)

    def names(self) -> list[str]:
        """The names of all members."""
        return list(self._members)

    def text(self, name: str) -> str:
        """Member `name`, a string."""
        value = self.get(name)
        if not isinstance(value, str):
            raise self.fault(name, "a string")
        return value

    def choice(self, name: str, choices: Collection[str]) -> str:
        """Member `name`, one of `choices`."""
        value = self.text(name)
        if value not in choices:
            raise self.fault(name, f"one of {', '.join(choices)}")
        return value

    def integer(self, name: str, low: int = 0, high: int = NUMBER_MAX) -> int:
        """Member `name`, a whole number from `low` to `high`."""
        value = self.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.fault(
                name, f"a whole number from {low} to {high}" if low < high else str(low)
            )
        return value

    def seconds(self, name: str) -> float:
        """Member `name`, a finite number of at least 0."""
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.fault(name, "a number")
        if not 0 <= value <= NUMBER_MAX:
            raise self.fault(name, "a number of seconds")
        return float(value)

    def boolean(self, name: str) -> bool:
        """Member `name`, true or false."""
        value = self.get(name)
        if not isinstance(value, bool):
            raise self.fault(name, "true or false")
        return value

    def hex(self, name: str, size_bytes: int) -> bytes:
        """Member `name`: exactly `size_bytes` bytes in lower-case hex."""
        value = self.get(name)
        if not isinstance(value, str) or not is_hex(value, size_bytes):
            raise self.fault(name, f"{2 * size_bytes} hex digits")
        return bytes.fromhex(value)

    def items(self, name: str) -> list[object]:
        """Member `name`, a list."""
        value = self.get(name)
        if not isinstance(value, list):
            raise self.fault(name, "a list")
        return value

    def fields(self, name: str) -> Fields:
        """Member `name`, an object."""
        return Fields(self.get(name), f"{self._what}: '{name}'")


def is_hex(text: str, size_bytes: int) -> bool:
    """Whether `text` is exactly `size_bytes` bytes in lower-case hex."""
    return len(text) == 2 * size_bytes and re.fullmatch("[0-9a-f]*", text) is not None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
