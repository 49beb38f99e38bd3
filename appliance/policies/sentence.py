"""What a policy says about itself, in a sentence that a person can check.

Owns the words. It says what is promised, never whether it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from appliance.base.text import duration, printable
from appliance.formats.protection import Cron, Hourly, Protection, Slots, Times
from appliance.formats.window import DAYS

_FULL = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SHOWN_MAX = 6


def describe_protection(protection: Protection) -> str:
    """One sentence."""
    text = "; ".join(_parts(protection))
    return text[0].upper() + text[1:] + "."


def describe_schedule(schedule: Sequence[Slots]) -> str:
    """When, as in `every hour from 07:00 to 19:00 on Monday to Friday, and at 23:00 every day`."""
    return ", and ".join(map(_describe_slots, schedule)) or "never by itself"


def _parts(protection: Protection) -> Iterator[str]:
    yield f"backed up {describe_schedule(protection.schedule)}"
    if protection.blackout and protection.schedule:
        yield f"not during {' or '.join(protection.blackout)}, but afterwards"
    if protection.rpo_s is not None:
        yield f"no point older than {_span(protection.rpo_s)}"
    if protection.vaults == ():
        yield "never copied off site"
    else:
        names = protection.vaults
        where = "every vault" if names is None else f"vault {' and '.join(names)}"
        within = protection.offsite_rpo_s
        yield f"copied to {where}" + ("" if within is None else f" within {_span(within)}")
    if protection.drill:
        yield f"recovery rehearsed {describe_schedule(protection.drill)}"
    if protection.rto_s is not None:
        yield f"back within {_span(protection.rto_s)}"


def _describe_slots(slots: Slots) -> str:
    match slots:
        case Cron(expression):
            return f"by cron '{printable(expression)}'{_explain(expression)}"
        case Hourly():
            every = "every hour" if slots.every_h == 1 else f"every {slots.every_h} h"
            if (slots.first_h, slots.last_h) == (0, 23):
                past = f" at {slots.minute} past" if slots.minute else ""
            else:
                first, last = (
                    f"{hour:02}:{slots.minute:02}" for hour in (slots.first_h, slots.last_h)
                )
                past = f" from {first} to {last}"
            return f"{every}{past} {_describe_days(slots.weekdays)}"
        case Times():
            shown = ", ".join(slots.at[:_SHOWN_MAX])
            more = len(slots.at) - _SHOWN_MAX
            shown += f" and {more} more times" if more > 0 else ""
            return f"at {shown} {_describe_days(slots.weekdays)}"


def _explain(expression: str) -> str:
    try:
        text = CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC)).explain()
    except CronSimError:
        return ""
    return f" ({text[0].lower()}{text[1:]})"


def _describe_days(weekdays: Sequence[str]) -> str:
    """`every day`, `on Monday to Friday`, `on Saturday and Sunday`."""
    numbers = [number for number, day in enumerate(DAYS) if day in weekdays]
    if len(numbers) == len(DAYS):
        return "every day"
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"on {_FULL[numbers[0]]} to {_FULL[numbers[-1]]}"
    names = [_FULL[number] for number in numbers]
    return "on " + " and ".join([", ".join(names[:-1]), names[-1]] if names[:-1] else names)


def _span(seconds: int) -> str:
    """`2 h`, `90 min`, `4 d`: only what is not zero."""
    return " ".join(
        f"{number} {unit}"
        for number, unit in zip(*[iter(duration(seconds).split())] * 2, strict=True)
        if number != "0"
    )
