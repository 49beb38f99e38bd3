"""The seven elements: every level says what it asks of what nobody can measure."""

from __future__ import annotations

from appliance.drills.gbt20988 import LEVEL_MAX, Facts, judge
from appliance.drills.gbt20988_elements import ELEMENTS


def test_each_element_is_measured_or_asks_something_at_every_level() -> None:
    columns = judge(Facts(None, None, "none", None, None)).columns
    measured = {column.element for column in columns}
    assert len(ELEMENTS) == 7
    for element in ELEMENTS:
        assert (element.name in measured) is not bool(element.asks)
        assert len(element.asks) in (0, LEVEL_MAX)
        assert all(element.asks)
    assert measured - {element.name for element in ELEMENTS} == {""}, "RTO and RPO"
