"""Policies for a branch office, ready to take: each is a protection and what is kept.

Owns the choice. Every target leaves room for the longest pause of its own schedule.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.base.errors import UsageError
from appliance.base.text import printable
from appliance.formats.policy import Policy
from appliance.formats.protection import Cron, Hourly, Protection, Times, Weekday

_HOUR_S = 3600
_DAY_S = 24 * _HOUR_S
_WORK: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri")


@dataclass(frozen=True)
class Preset:
    """One ready policy. `name` is in its protection, too."""

    name: str
    summary: str
    protection: Protection
    retention: Policy


PRESETS = (
    Preset(
        "always-on",
        "a server that works around the clock: lose an hour at most, back within an hour",
        Protection(
            preset="always-on",
            schedule=(Hourly(),),
            jitter_s=600,
            priority=30,
            offsite_rpo_s=6 * _HOUR_S,
            drill=(Times(at=("03:00",), weekdays=("sun",)),),
            rpo_s=2 * _HOUR_S,
            rto_s=_HOUR_S,
        ),
        Policy(keep_hourly=48, keep_daily=30, keep_weekly=12, keep_monthly=12),
    ),
    Preset(
        "office-server",
        "a file server or application of an office: every hour of work, and every night",
        Protection(
            preset="office-server",
            schedule=(
                Hourly(first_h=7, last_h=19, weekdays=_WORK),
                Times(at=("23:00",)),
            ),
            jitter_s=600,
            offsite_rpo_s=36 * _HOUR_S,
            drill=(Times(at=("03:00",), weekdays=("sat",)),),
            rpo_s=26 * _HOUR_S,
            rto_s=4 * _HOUR_S,
        ),
        Policy(keep_hourly=24, keep_daily=30, keep_weekly=12, keep_monthly=12),
    ),
    Preset(
        "workstation",
        "a desk that is switched off at night: at lunch on working days",
        Protection(
            preset="workstation",
            schedule=(Times(at=("12:30",), weekdays=_WORK),),
            jitter_s=1800,
            priority=70,
            offsite_rpo_s=5 * _DAY_S,
            rpo_s=4 * _DAY_S,
            rto_s=_DAY_S,
        ),
        Policy(keep_daily=14, keep_weekly=4, keep_monthly=3),
    ),
    Preset(
        "archive",
        "what seldom changes and must be there in years: once a week",
        Protection(
            preset="archive",
            schedule=(Times(at=("22:00",), weekdays=("sat",)),),
            jitter_s=1800,
            priority=80,
            offsite_rpo_s=15 * _DAY_S,
            drill=(Cron("0 3 1 1,4,7,10 *"),),
            rpo_s=8 * _DAY_S,
            rto_s=2 * _DAY_S,
        ),
        Policy(keep_weekly=8, keep_monthly=24, keep_yearly=10),
    ),
)


def find_preset(name: str) -> Preset:
    """The preset called `name`. Raises UsageError naming all."""
    for preset in PRESETS:
        if preset.name == name:
            return preset
    names = ", ".join(preset.name for preset in PRESETS)
    raise UsageError(f"there is no preset '{printable(name[:64])}': choose one of {names}")
