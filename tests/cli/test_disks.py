"""A disk is shown in words: how warm, how old, how worn, and what it counts."""

from __future__ import annotations

from datetime import UTC, datetime

from appliance.cli.disks import _describe_measures
from appliance.health.disk_examination import DiskExaminer, Examination
from tests.clocks import HandClock
from tests.health.exams import SUBJECT, PlainHistory
from tests.health.shapes import SHAPES

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_every_kind_of_disk_is_shown_in_words() -> None:
    examiner = DiskExaminer(PlainHistory(), HandClock(NOON))
    seen = {}
    for name, shape in SHAPES.items():
        examined = examiner.judge(shape.make(), SUBJECT)
        if examined.disk is not None:
            seen[name] = _describe_measures(examined)
    assert any(facts.get("temperature", "").endswith(" °C") for facts in seen.values())
    assert {"temperature", "has run for", "worn", "spare blocks", "counts"} <= {
        fact for facts in seen.values() for fact in facts
    }


def test_a_disk_that_sleeps_or_says_nothing_is_shown_too() -> None:
    assert _describe_measures(None) == {"says": ""}
    assert _describe_measures(Examination([], is_asleep=True)) == {"says": "nothing: it sleeps"}
