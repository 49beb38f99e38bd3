"""Verdicts by slowness: a disk that takes much longer than its siblings is on its way out.

Owns how the kernel's counters become milliseconds for each request, and who counts as slow. Only
disks of one kind that do the same work are compared: the members of an array.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from appliance.formats.finding import Evidence, Finding

SIBLINGS_MIN = 3
REQUESTS_MIN = 100
"""Fewer requests between two looks say nothing."""
SLOWER_BY, SLOWER_BY_MS = 3.0, 10.0
"""Both: so many times the others' median, and so much above it."""
LOOKS_IN_A_ROW = 3
_FIELDS = 11  # of /sys/block/DISK/stat since Linux 2.6 (Documentation/block/stat)


@dataclass(frozen=True)
class DiskWork:
    """Counters since the start: requests done, and milliseconds that they took altogether."""

    requests: int
    wait_ms: int


def parse_stat(text: str) -> DiskWork | None:
    """Read /sys/block/DISK/stat; None for anything else."""
    words = text.split()
    if len(words) < _FIELDS or not all(word.isdecimal() for word in words):
        return None
    return DiskWork(int(words[0]) + int(words[4]), int(words[3]) + int(words[7]))


def latency_ms(before: DiskWork, after: DiskWork) -> float | None:
    """Mean time of a request between two looks; None for too few of them."""
    requests = after.requests - before.requests
    if requests < REQUESTS_MIN or after.wait_ms < before.wait_ms:
        return None
    return (after.wait_ms - before.wait_ms) / requests


def judge_latency(
    looks: Sequence[tuple[datetime, Mapping[str, float]]],
) -> Iterator[Finding]:
    """Who was slow in each of the last looks.

    A look is a time and, for each subject of one group of siblings, its latency in milliseconds.
    """
    recent = looks[-LOOKS_IN_A_ROW:]
    if len(recent) < LOOKS_IN_A_ROW:
        return
    for subject in sorted(recent[-1][1]):
        medians = [_median_of_others(subject, latencies) for _, latencies in recent]
        values = [latencies.get(subject) for _, latencies in recent]
        pairs = [
            (value, median)
            for value, median in zip(values, medians, strict=True)
            if value is not None and median is not None
        ]
        if len(pairs) < LOOKS_IN_A_ROW or not all(_is_slow(*pair) for pair in pairs):
            continue
        value, median = pairs[-1]
        seen = tuple(
            (when, round(latencies[subject], 1))
            for when, latencies in looks
            if subject in latencies
        )
        yield Finding(
            subject=subject,
            rule="disk.slow",
            severity="warning",
            summary=f"requests take {value:.0f} ms, those of its siblings {median:.1f} ms",
            evidence=(Evidence("time of a request", seen, "ms", f"siblings {median:.1f} ms"),),
            consequence="Its array is as slow as it is; disks that retry for long often fail next.",
            action="Run a long self-test; check its cable; if it stays slow, replace it.",
            measure=min(value, 10_000) // (10 * SLOWER_BY_MS),
        )


def _median_of_others(subject: str, latencies: Mapping[str, float]) -> float | None:
    others = [value for name, value in latencies.items() if name != subject]
    return statistics.median(others) if len(others) + 1 >= SIBLINGS_MIN else None


def _is_slow(value: float, median: float) -> bool:
    return value > SLOWER_BY * median and value > median + SLOWER_BY_MS
