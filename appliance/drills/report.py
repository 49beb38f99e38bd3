"""The report: one HTML page about the machines of drills, to be read, printed and signed.

Owns what the page says of each machine; how it looks is in `report.html`. The page loads nothing:
screenshots are inside, there are no scripts, and a policy forbids the rest. What comes from guests
and plans is text, escaped by the template engine.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import jinja2

from appliance import __version__
from appliance.base.text import duration, printable
from appliance.drills import gbt20988, gbt20988_elements
from appliance.drills.gbt20988 import Facts, Judgement, Replication, judge, longest_gap_s
from appliance.drills.records import DrillSummary, MachineTrend
from appliance.formats.drill import DrillRecord, MachineResult
from appliance.formats.names import format_time, parse_time

_TEMPLATE = "report.html"
_SCREEN_SUFFIX = "-screen.png"
_SCREEN_MAX_BYTES = 4 << 20
_TREND_MAX = 12


@dataclass(frozen=True)
class OffSite:
    """What is known of one machine's off-site copy: when its points there were taken."""

    times: Sequence[datetime] = ()
    replication: Replication = "none"


@dataclass(frozen=True)
class Subject:
    """One machine of the report, with all that is known of it.

    `result` is that of the drill `record`; `folder` has the drill's files. `points`: when complete
    points were taken. `trend`: its results in drills so far, oldest first.
    """

    name: str
    record: DrillRecord
    result: MachineResult
    folder: Path
    points: Sequence[datetime]
    off_site: OffSite
    trend: Sequence[tuple[DrillSummary, MachineTrend]]


@dataclass(frozen=True)
class Bar:
    """A step of a recovery as a bar, in parts of a thousand of the whole."""

    name: str
    left: int
    width: int
    took: str
    until: str
    is_check: bool


@dataclass(frozen=True)
class MachinePage:
    """What the page says of one machine."""

    subject: Subject
    judgement: Judgement
    rto: str
    rpo: str
    gap: str
    off_site: str
    bars: tuple[Bar, ...]
    trend: tuple[TrendBar, ...]
    screen: str | None

    @property
    def passed(self) -> bool:
        """Whether it recovered in the drill."""
        return self.subject.result.verdict == "passed"

    @property
    def anchor(self) -> str:
        """A name for links inside the page."""
        return "m" + hashlib.sha256(self.subject.name.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class TrendBar:
    """One drill in the trend: a bar of `height` parts of a hundred; none without a result."""

    day: str
    height: int
    label: str
    passed: bool


def render_report(
    subjects: Sequence[Subject], now: datetime, title: str = "", seals: Mapping[str, str] = {}
) -> str:
    """The page. `seals`: SHA-256 of the record's file of each drill, by its id."""
    pages = [_describe(subject, now) for subject in subjects]
    drills = {subject.record.id: subject.record for subject in subjects}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    environment.filters["shown"] = printable
    environment.filters["moment"] = _moment
    return environment.get_template(_TEMPLATE).render(
        title=title,
        pages=pages,
        drills=[drills[name] for name in sorted(drills)],
        seals=seals,
        now=format_time(now.replace(microsecond=0)),
        version=__version__,
        elements=gbt20988_elements.ELEMENTS,
        level_names=gbt20988.LEVEL_NAMES,
        window_days=gbt20988.WINDOW.days,
        sentence=_summarize(pages),
    )


def measure_facts(subject: Subject, now: datetime) -> Facts:
    """What the judgement looks at."""
    return Facts(
        copy_gap_s=longest_gap_s(subject.points, now),
        off_site_gap_s=longest_gap_s(subject.off_site.times, now),
        replication=subject.off_site.replication,
        drill_passed=subject.result.verdict == "passed",
        rto_s=subject.result.rto_s,
    )


def _summarize(pages: Sequence[MachinePage]) -> str:
    count = len(pages)
    passed = sum(page.passed for page in pages)
    machines = "1 machine" if count == 1 else f"{count} machines"
    if passed == count:
        return f"{machines} tried, and every check passed."
    if passed == 0:
        return f"{machines} tried, and none recovered."
    return f"{machines} tried: {passed} recovered, {count - passed} did not."


def _describe(subject: Subject, now: datetime) -> MachinePage:
    facts = measure_facts(subject, now)
    result = subject.result
    return MachinePage(
        subject=subject,
        judgement=judge(facts),
        rto="not reached" if result.rto_s is None else duration(result.rto_s),
        rpo=duration(result.rpo_s),
        gap="no points" if facts.copy_gap_s is None else duration(facts.copy_gap_s),
        off_site="none" if facts.off_site_gap_s is None else duration(facts.off_site_gap_s),
        bars=_draw_bars(result),
        trend=_draw_trend(subject.trend),
        screen=_read_screen(subject),
    )


def _draw_bars(result: MachineResult) -> tuple[Bar, ...]:
    steps = [(phase.name, phase.at_s, False) for phase in result.phases]
    steps += [(check.title, check.at_s, True) for check in result.checks]
    whole_s = max([at_s for _, at_s, _ in steps], default=0.0) or 1.0
    bars = []
    before_s = 0.0
    for name, at_s, is_check in steps:
        took_s = max(0.0, at_s - before_s)
        left = round(1000 * before_s / whole_s)
        width = max(4, round(1000 * took_s / whole_s))
        bars.append(Bar(name, min(left, 996), width, duration(took_s), duration(at_s), is_check))
        before_s = max(before_s, at_s)
    return tuple(bars)


def _draw_trend(trend: Sequence[tuple[DrillSummary, MachineTrend]]) -> tuple[TrendBar, ...]:
    last = trend[-_TREND_MAX:]
    most_s = max([machine.rto_s for _, machine in last if machine.rto_s], default=1.0)
    return tuple(
        TrendBar(
            day=summary.began[5:10],
            height=100 if machine.rto_s is None else max(3, round(100 * machine.rto_s / most_s)),
            label="failed" if machine.rto_s is None else duration(machine.rto_s),
            passed=machine.rto_s is not None,
        )
        for summary, machine in last
    )


def _read_screen(subject: Subject) -> str | None:
    """The screenshot as text for an image, if it is the file that the record names."""
    for evidence in subject.result.evidence:
        if not evidence.name.endswith(_SCREEN_SUFFIX) or "/" in evidence.name:
            continue
        try:
            with (subject.folder / evidence.name).open("rb") as file:
                data = file.read(_SCREEN_MAX_BYTES)
        except FileNotFoundError:
            return None
        if hashlib.sha256(data).hexdigest() == evidence.sha256:
            return base64.b64encode(data).decode()
    return None


def _moment(text: str) -> str:
    """A time as people read it."""
    time = parse_time(text)
    return text if time is None else f"{time:%Y-%m-%d %H:%M} UTC"
