"""When a machine is due: a pure function of its schedule, of what was answered, and of the time.

Owns the rule. Whatever was missed is caught up once: a slot asks, and a run answers every slot up
to the moment in which it was asked for. Nothing else is remembered, so no clock that jumps makes
more than one run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from appliance.formats.names import parse_time
from appliance.formats.protection import MachineRecord, Protection, Slots
from appliance.formats.window import Window, next_closing
from appliance.policies.slots import next_slot

BACKUP = "backup "
BACK_MAX = timedelta(minutes=10)
"""A clock that is put back by no more repeats nothing; by more, it starts anew."""


def believed_answer(answered: datetime, since: datetime, now: datetime) -> datetime:
    """Up to when slots are answered: not before `since`, and not far in the future.

    A run that was asked for by a clock far ahead would else silence the schedule until then.
    """
    if answered > now + BACK_MAX:
        return now
    return max(answered, min(since, now))


def when_due(
    schedule: Sequence[Slots],
    answered: datetime,
    zone: tzinfo,
    *,
    subject: str = "",
    jitter_s: int = 0,
    blackout: Sequence[str] = (),
) -> datetime | None:
    """From when on a run is due, which may be long ago; None for never.

    The first slot after `answered`, moved by the subject's own share of `jitter_s`, and out of the
    blackout.
    """
    slot = next_slot(schedule, answered, zone)
    if slot is None:
        return None
    due = slot + timedelta(seconds=_share(subject, slot) * jitter_s)
    return leave_blackout(blackout, due, zone)


def when_next(
    machine: MachineRecord,
    protection: Protection,
    answered: datetime | None,
    now: datetime,
    zone: tzinfo,
) -> datetime | None:
    """When the next backup of a machine begins by itself, if nothing holds it up; None for never.

    `answered`: up to when its slots are, as the schedule noted under `name_backup`.
    """
    if machine.state != "active" or not machine.sources:
        return None
    since = max(
        time for text in (machine.since, protection.since) if (time := parse_time(text)) is not None
    )
    due = when_due(
        protection.schedule,
        believed_answer(since if answered is None else answered, since, now),
        zone,
        subject=name_backup(machine.machine),
        jitter_s=protection.jitter_s,
        blackout=protection.blackout,
    )
    return due if due is None or due > now else leave_blackout(protection.blackout, now, zone)


def name_backup(machine: str) -> str:
    """What the schedule calls the backups of a machine; its share of the jitter goes by it."""
    return f"{BACKUP}{machine}"


def leave_blackout(blackout: Sequence[str], moment: datetime, zone: tzinfo) -> datetime:
    """`moment`, or the end of the blackout that it lies in."""
    windows = [Window.parse(text) for text in blackout]
    return next_closing(windows, moment, zone) if windows else moment


def _share(subject: str, slot: datetime) -> float:
    """From 0 to 1, the same whenever it is asked, another one for each subject and day."""
    text = f"{subject} {slot.astimezone(UTC):%Y-%m-%d}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
