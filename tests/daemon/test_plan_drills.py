"""Plans in STATE/plans are rehearsed when their schedule says so, once each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance.catalog.schedule_log import Answer
from appliance.daemon.plan_drills import PlanDrills
from appliance.jobs.schedule import Scene

FRIDAY = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PLAN = """
name = "office"
[schedule]
at = "02:30"
weekdays = ["sat"]
[[machines]]
name = "db"
"""


def test_a_plan_is_rehearsed_once_a_slot_also_when_it_was_missed(tmp_path: Path) -> None:
    (tmp_path / "plans").mkdir()
    path = tmp_path / "plans" / "office.toml"
    path.write_text(PLAN)
    said: list[str] = []
    drills = PlanDrills(tmp_path, lambda: UTC, said.append)
    answers = {answer.subject: answer for answer in drills.list_new(FRIDAY, {})}
    (subject,) = answers

    def due(now: datetime, state: str = "", *, is_busy: bool = False) -> int:
        found = list(drills.list_due(now, Scene(answers, {subject: state}, [], is_busy)))
        assert all(task.arguments == {"what": str(path)} for task in found)
        return len(found)

    assert due(FRIDAY) == 0
    assert due(FRIDAY + DAY, is_busy=True) == 0
    assert due(FRIDAY + DAY, "running") == 0
    assert due(FRIDAY + 30 * DAY) == 1
    answers[subject] = Answer(subject, FRIDAY + 30 * DAY, 1, "1")
    assert due(FRIDAY + 30 * DAY + timedelta(hours=1), "done") == 0


def test_a_plan_that_cannot_be_read_is_named_once_and_holds_up_no_other(tmp_path: Path) -> None:
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "broken.toml").write_text("name = ")
    (tmp_path / "plans" / "office.toml").write_text(PLAN)
    said: list[str] = []
    drills = PlanDrills(tmp_path, lambda: UTC, said.append)
    for _ in range(3):
        assert [one.subject for one in drills.list_new(FRIDAY, {})] == ["plan office.toml"]
    assert len(said) == 1
    assert "broken.toml" in said[0]
