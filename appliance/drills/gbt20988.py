"""Which level of GB/T 20988-2007 the measured facts of one machine support.

A pure judgement: the level of what machines can measure, and what of the seven elements of each
level is for the user to declare (`gbt20988_elements`). The edition of 2007 was replaced by
GB/T 20988-2025 (issued 2025-06-30, in force 2026-01-01); reports say so. What is judged by here are
the six levels of 2007.

| column | element of the standard (Annex A, A.1 to A.6) |
|---|---|
| full copies, off-site copy, replication | data backup system |
| standby equipment | standby data processing system |
| RTO, RPO | none: Annex C, the informative example of one industry |

The standard's own print was not at hand. Texts that retell it: the names of the seven elements and
of the six levels (its table of contents, blog.csdn.net/weixin_33767813, article 92269257); level 5
in all its elements (sbnjc.com/col55); level 1's copies (newton.com.tw, article 2237934); RTO and
RPO of levels 1 and 2 (alibabacloud.com/help/doc-detail/97640.htm, which asks for daily copies at
level 2 already). What the other cells say was not held against a text. The words are our own.

Where the text leaves a number open it is fixed here: "daily" and "weekly" tolerate a run that
begins an hour late; "several times a day" is twice; "minutes" end at one hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from appliance.base.text import duration
from appliance.drills.gbt20988_elements import DATA_BACKUP, STANDBY_PROCESSING

LEVEL_MAX = 6
LEVEL_NAMES = (
    "no level",
    "basic support",
    "support of a standby site",
    "electronic transfer and part of the equipment",
    "electronic transfer and complete equipment",
    "real-time transfer and complete equipment",
    "no loss of data and remote cluster",
)
WINDOW = timedelta(days=30)
_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S
_DAILY_S = _DAY_S + _HOUR_S
_TWICE_A_DAY_S = _DAY_S / 2 + _HOUR_S
_WEEKLY_S = 7 * _DAY_S + _HOUR_S
Replication = Literal["none", "batches", "continuous", "synchronous"]


@dataclass(frozen=True)
class Facts:
    """What was measured of one machine; None where there is nothing to measure.

    copy_gap_s: longest time without a new recovery point. Each point is a full copy: it restores
    without any other. off_site_gap_s: the same for points in the off-site copy; None without one.
    rto_s: of the newest drill, if that passed. rpo_s: what a loss of the whole site would cost:
    the longest time without a new point off site.
    """

    copy_gap_s: float | None
    off_site_gap_s: float | None
    replication: Replication
    drill_passed: bool | None
    rto_s: float | None

    @property
    def rpo_s(self) -> float | None:
        """The loss of data when the site is lost, in seconds."""
        return self.off_site_gap_s


@dataclass(frozen=True)
class Column:
    """One requirement: what was measured, the level it supports, and what the next would need.

    `element` is the one of the seven that it belongs to, empty for RTO and RPO.
    """

    element: str
    name: str
    measured: str
    level: int
    needs: str


@dataclass(frozen=True)
class Judgement:
    """The level that all columns support, and the first column that keeps it from the next."""

    level: int
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        """What the level is called."""
        return LEVEL_NAMES[self.level]

    @property
    def obstacle(self) -> Column | None:
        """The first thing that keeps it from the next level; None at the highest."""
        if self.level == LEVEL_MAX:
            return None
        return next(column for column in self.columns if column.level == self.level)


def judge(facts: Facts) -> Judgement:
    """The technical level: the lowest of all columns; 0 is none. Without off-site copy none."""
    columns = (
        _judge_copies(facts.copy_gap_s),
        _judge_off_site(facts.off_site_gap_s),
        _judge_replication(facts.replication),
        _judge_equipment(facts.drill_passed),
        _judge_rto(facts.rto_s),
        _judge_rpo(facts.rpo_s),
    )
    return Judgement(min(column.level for column in columns), columns)


def longest_gap_s(times: Sequence[datetime], now: datetime) -> float | None:
    """The longest time without a new point in the last 30 days, up to now; None without points.

    A gap that began before the window counts from the window's beginning. What was protected only
    later is judged from its first point on.
    """
    past = sorted(time for time in times if time <= now)
    if not past:
        return None
    begin = max(now - WINDOW, past[0])
    moments = [begin, *(time for time in past if time > begin), now]
    return max((later - earlier).total_seconds() for earlier, later in pairwise(moments))


def judge_transfer(gap_s: float | None) -> Replication:
    """What a copy over the line amounts to whose points are at most `gap_s` apart."""
    return "batches" if gap_s is not None and gap_s <= _TWICE_A_DAY_S else "none"


# ---- the columns: the highest level that each fact supports -------------------------------------


def _column(element: str, name: str, measured: str, level: int, *needs: str) -> Column:
    """`needs` says what levels 1 to 6 ask of this column, in order."""
    return Column(element, name, measured, level, needs[level] if level < LEVEL_MAX else "")


def _judge_copies(gap_s: float | None) -> Column:
    weekly, daily = "a full copy at least every week", "a full copy at least every day"
    measured = "no recovery point"
    level = 0
    if gap_s is not None:
        measured = f"a full copy at least every {duration(gap_s)}"
        level = 6 if gap_s <= _DAILY_S else 2 if gap_s <= _WEEKLY_S else 0
    return _column(DATA_BACKUP, "Full copies", measured, level, *[weekly] * 2, *[daily] * 4)


def _judge_off_site(gap_s: float | None) -> Column:
    weekly, daily = "an off-site copy every week", "an off-site copy every day"
    measured = "no off-site copy"
    level = 0
    if gap_s is not None:
        measured = f"off site at least every {duration(gap_s)}"
        level = 6 if gap_s <= _DAILY_S else 2 if gap_s <= _WEEKLY_S else 0
    return _column(DATA_BACKUP, "Off-site copy", measured, level, *[weekly] * 2, *[daily] * 4)


def _judge_replication(kind: Replication) -> Column:
    level = {"none": 2, "batches": 4, "continuous": 5, "synchronous": 6}[kind]
    measured = {
        "none": "nothing several times a day",
        "batches": "over the line in batches, several times a day",
        "continuous": "over the line, all the time",
        "synchronous": "over the line, before a write is acknowledged",
    }[kind]
    batches = "transfer over the line in batches, at least twice a day"
    return _column(
        DATA_BACKUP,
        "Replication",
        measured,
        level,
        *["nothing"] * 2,
        *[batches] * 2,
        "replication over the line in real time",
        "replication over the line without any loss",
    )


def _judge_equipment(passed: bool | None) -> Column:
    measured = {
        None: "never tried in a drill",
        False: "the newest drill failed",
        True: "the machine came up in a drill",
    }[passed]
    whole = "equipment that is complete and ready, shown by a drill that passes"
    return _column(
        STANDBY_PROCESSING,
        "Standby equipment",
        measured,
        5 if passed else 2,
        "nothing",
        "equipment that can be had in the agreed time",
        "a part of the equipment, shown by a drill that passes",
        *[whole] * 2,
        "a remote cluster that takes over by itself",
    )


def _judge_rto(rto_s: float | None) -> Column:
    measured = "not measured" if rto_s is None else f"{duration(rto_s)} measured"
    level = 3
    if rto_s is not None:
        level = 6 if rto_s < _HOUR_S else 5 if rto_s <= 2 * _DAY_S else 3
    days = "an RTO of two days at most, measured in a drill"
    return _column(
        "", "RTO", measured, level, *["nothing"] * 3, *[days] * 2, "an RTO of minutes, measured"
    )


def _judge_rpo(rpo_s: float | None) -> Column:
    measured = "not measurable without an off-site copy"
    level = 0
    if rpo_s is not None:
        measured = f"at most {duration(rpo_s)} of data lost with the site"
        limits = ((0.0, 6), (_HOUR_S / 2, 5), (_DAILY_S, 4), (_WEEKLY_S, 2))
        level = next((found for limit_s, found in limits if rpo_s <= limit_s), 0)
    week, day = "an RPO of a week at most, off site", "an RPO of a day at most, off site"
    return _column(
        "",
        "RPO",
        measured,
        level,
        *[week] * 2,
        *[day] * 2,
        "an RPO of 30 minutes at most, off site",
        "an RPO of zero",
    )
