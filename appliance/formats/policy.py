"""Retention policies: which points of a machine stay, and how long forgotten ones can come back.

Owns the rules' names and ranges and their JSON (docs/format/record.md). What the rules mean is in
`appliance.retention.rules`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from appliance.base.errors import IntegrityError, UsageError
from appliance.formats.fields import Fields
from appliance.formats.record import decode_fields, encode_fields, read_machine

RULE_MAX = 65536
TRASH_DAYS = 7
FOREVER = "forever"
COUNT_RULES = ("last", "hourly", "daily", "weekly", "monthly", "yearly")


@dataclass(frozen=True)
class Policy:
    """What is kept. A count or a number of days of 0 is a rule that is not there.

    Attributes:
        keep_last: the newest points; the others: the newest point of so many hours, days, ...
        keep_days: every point of so many days; with `keep_forever` every point.
        trash_days: days for which a forgotten point can be brought back.
        may_skip_trash: whether `forget --now` is allowed.
    """

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_days: int = 0
    keep_forever: bool = False
    trash_days: int = TRASH_DAYS
    may_skip_trash: bool = True

    def __post_init__(self) -> None:
        """Raises UsageError for a number out of range, or without any rule that keeps."""
        numbers = [self.count(rule) for rule in COUNT_RULES] + [self.keep_days, self.trash_days]
        if not all(0 <= number <= RULE_MAX for number in numbers):
            raise UsageError(f"a policy counts from 1 to {RULE_MAX}")
        if not (self.keep_forever or any(numbers[:-1])):
            raise UsageError(
                "the policy keeps nothing: give --keep-last N or another --keep option, "
                f"or --keep-days {FOREVER}"
            )

    def count(self, rule: str) -> int:
        """The number of one of COUNT_RULES."""
        return int(getattr(self, f"keep_{rule}"))

    def to_json(self) -> dict[str, Any]:
        """As it is sealed, and as `holdfast policy show --json` prints it."""
        return {
            **{f"keep_{rule}": self.count(rule) for rule in COUNT_RULES},
            "keep_days": FOREVER if self.keep_forever else self.keep_days,
            "trash_days": self.trash_days,
            "may_skip_trash": self.may_skip_trash,
        }


KEEP_ALL = Policy(keep_forever=True)
"""What holds where nobody set a policy."""


def encode_policy(policy: Policy, machine: str | None) -> bytes:
    """The plaintext of the policy of `machine`; None is the default of all machines."""
    return encode_fields("policy", {"machine": machine, **policy.to_json()})


def decode_policy(data: bytes) -> tuple[Policy, str | None]:
    """Read what `encode_policy` wrote. Raises IntegrityError."""
    fields = decode_fields("policy", data)
    machine = None if fields.get("machine") is None else read_machine(fields)
    return policy_from_fields(fields), machine


def policy_from_fields(fields: Fields) -> Policy:
    """The policy that the members of an object make. Raises IntegrityError."""
    forever = fields.get("keep_days") == FOREVER
    try:
        return Policy(
            **{f"keep_{rule}": _number(fields, f"keep_{rule}") for rule in COUNT_RULES},
            keep_days=0 if forever else _number(fields, "keep_days"),
            keep_forever=forever,
            trash_days=_number(fields, "trash_days"),
            may_skip_trash=fields.boolean("may_skip_trash"),
        )
    except UsageError as error:
        raise IntegrityError(f"policy: {error}") from error


def _number(fields: Fields, name: str) -> int:
    return fields.integer(name, 0, RULE_MAX)
