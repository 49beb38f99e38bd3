"""Field by field the same as smartctl, which reads the same recorded pages through its ioctls."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.formats.disk_report import disk_to_json, parse_disk
from tests.health.shapes import SHAPES
from tests.health.smartctl import EXCLUDED, SHORT, ask_replayed, build_replay, compare


@pytest.fixture(scope="session")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_replay(tmp_path_factory.mktemp("replay"))


@pytest.mark.parametrize("name", sorted(SHAPES.keys() - SHORT))
def test_every_field_of_a_recorded_disk_is_as_smartctl_says_it(
    name: str, tmp_path: Path, replay: Path
) -> None:
    pages = SHAPES[name].make()
    result = compare(ask_replayed(pages, tmp_path, replay), disk_to_json(parse_disk(pages)))
    print(f"{name}: {result.compared} fields compared, {len(result.different)} different")
    for field, reason in result.excluded.items():
        print(f"  not compared: {field}: {reason}")
    assert result.compared > 10
    assert result.different == {}


def test_the_comparison_sees_a_difference_of_any_kind() -> None:
    theirs = {"a": 1, "b": {"c": [1, 2]}, "d": True, "local_time": {"time_t": 5}}
    assert compare(theirs, {"a": 1, "b": {"c": [1, 2]}, "d": True}).different == {}
    assert set(compare(theirs, {"a": 2, "b": {"c": [1]}, "e": 0}).different) == {
        *("a", "b.c.1", "d", "e")
    }


def test_little_is_left_out_of_the_comparison() -> None:
    assert len(EXCLUDED) < 10
    assert all(EXCLUDED.values())
