"""A finding survives the way to JSON and back, and knows when it is worse."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from appliance.base.errors import IntegrityError
from appliance.formats.finding import Evidence, Finding, decode_finding, sort_findings

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FINDING = Finding(
    subject="disk WD-1",
    rule="disk.pending-sectors",
    severity="warning",
    summary="8 sectors cannot be read",
    evidence=(Evidence("attribute 197", ((NOON, 0), (NOON, 8)), "sectors", "0"),),
    consequence="what lies there is lost",
    action="replace the disk",
    measure=8,
)


def test_a_finding_survives_the_way_to_json_and_back() -> None:
    assert decode_finding(json.loads(json.dumps(FINDING.to_json()))) == FINDING


@pytest.mark.parametrize(
    ("member", "value"),
    [("severity", "awful"), ("measure", True), ("measure", 1e999), ("evidence", [{}])],
)
def test_what_is_no_finding_is_refused(member: str, value: object) -> None:
    with pytest.raises(IntegrityError):
        decode_finding({**FINDING.to_json(), member: value})


def test_a_finding_is_worse_with_a_higher_severity_or_measure() -> None:
    assert FINDING.is_worse_than("warning", 7)
    assert FINDING.is_worse_than("notice", 100)
    assert not FINDING.is_worse_than("warning", 8)
    assert not FINDING.is_worse_than("critical", 0)


def test_the_worst_comes_first() -> None:
    critical = replace(FINDING, severity="critical", subject="disk Z")
    notice = replace(FINDING, severity="notice", subject="disk A")
    assert sort_findings([notice, FINDING, critical]) == [critical, FINDING, notice]
