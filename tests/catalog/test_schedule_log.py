"""What the schedule remembers: over restarts, and when its file is spoiled."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError
from appliance.catalog.kept_file import KeptFile
from appliance.catalog.schedule_log import SCHEDULE_FILE, Answer, ScheduleLog
from tests.store.stores import start_python

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
WRITER = """
import sys
from pathlib import Path
from datetime import UTC, datetime
from appliance.catalog.schedule_log import Answer, ScheduleLog
log = ScheduleLog(Path(sys.argv[1]))
for run in range(10**6):
    log.put(Answer("backup web1", datetime(2026, 11, 21, tzinfo=UTC), run, str(run)))
    print(run, flush=True)
"""


def test_what_was_put_is_read_after_a_restart(state: Path) -> None:
    log = ScheduleLog(state)
    log.put(Answer("backup web1", NOW, 3, "j3"), Answer("drill web1", NOW))
    log.put(Answer("backup web1", NOW, 4, "j4"))
    series = log.series
    log.close()
    again = ScheduleLog(state)
    assert again.series == series
    assert again.read() == {
        "backup web1": Answer("backup web1", NOW, 4, "j4"),
        "drill web1": Answer("drill web1", NOW),
    }
    again.close()


def test_what_was_acknowledged_survives_kill(state: Path) -> None:
    writer = start_python(WRITER, state)
    for _ in range(20):
        run = int(writer.read_line())
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.communicate()[0].split()
    log = ScheduleLog(state)
    assert log.read()["backup web1"].run >= max([run, *map(int, rest)])
    log.close()


def test_a_spoiled_file_is_set_aside_and_begins_another_series(state: Path) -> None:
    log = ScheduleLog(state)
    series = log.series
    log.close()
    (state / SCHEDULE_FILE).write_bytes(b"not SQLite at all, but long enough" * 100)
    fresh = ScheduleLog(state)
    assert fresh.read() == {}
    assert fresh.series != series
    assert (state / f"{SCHEDULE_FILE}.damaged").exists()
    fresh.close()


def test_work_that_fails_changes_nothing(tmp_path: Path) -> None:
    file = KeptFile(tmp_path / "a.sqlite", "create table if not exists t (a integer primary key);")
    with pytest.raises(HoldfastError):
        file.do(lambda db: [db.execute("insert into t values (1)") for _ in range(2)])
    assert file.do(lambda db: db.execute("select count(*) from t").fetchone()[0]) == 0
    file.close()
