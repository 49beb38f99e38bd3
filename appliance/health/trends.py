"""What numbers over time say: whether they grew, how fast, and when they reach a limit.

Owns the arithmetic. Never knows what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

Series = Sequence[tuple[datetime, float]]
"""Oldest first; the last is the present."""
_SHOWN_MAX = 12


def value_at(series: Series, when: datetime) -> float | None:
    """The value that held at `when`; None before the first was seen."""
    found = None
    for seen, value in series:
        if seen > when:
            break
        found = value
    return found


def grew_within(series: Series, span: timedelta) -> float:
    """By how much the value is higher than it was `span` ago, or at first if that is later.

    A counter that fell (a new firmware, another disk's history) has not grown since then.
    """
    if not series:
        return 0.0
    now, present = series[-1]
    recent = [value for seen, value in series if seen >= now - span]
    before = value_at(series, now - span)
    lowest = min([*recent, *([] if before is None else [before])])
    return max(0.0, present - lowest)


def rate_a_day(series: Series, span: timedelta) -> float:
    """Growth a day over the last `span`, or over what there is of it if that is a day or more."""
    if len(series) < 2:
        return 0.0
    now = series[-1][0]
    seen_for = min(span, now - series[0][0])
    if seen_for < timedelta(days=1):
        return 0.0
    return grew_within(series, span) / (seen_for / timedelta(days=1))


def forecast(series: Series, limit: float, *, window: timedelta) -> datetime | None:
    """When a straight line through the last `window` reaches `limit` from below.

    None while less than a week is known, or it does not move towards the limit, or not within
    twenty years. Least squares; every stretch of time counts by its ends.
    """
    if not series:
        return None
    now, present = series[-1]
    points = [
        ((seen - now) / timedelta(days=1), value) for seen, value in series if seen >= now - window
    ]
    if present >= limit:
        return now
    if len(points) < 2 or -points[0][0] < 7:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
    if slope <= 0:
        return None
    days = (limit - present) / slope
    return now + timedelta(days=days) if days <= 20 * 365 else None


def shorten(series: Series) -> tuple[tuple[datetime, float], ...]:
    """As few values as a person wants to see: the first, the changes, the last."""
    kept = [
        point
        for index, point in enumerate(series)
        if index in (0, len(series) - 1) or point[1] != series[index - 1][1]
    ]
    if len(kept) > _SHOWN_MAX:
        step = (len(kept) - 1) / (_SHOWN_MAX - 1)
        kept = [kept[round(index * step)] for index in range(_SHOWN_MAX)]
    return tuple(kept)
