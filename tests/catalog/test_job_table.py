"""Jobs as they are kept: found by pages and indexes, never half, and for as long as is wanted."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.base.errors import HoldfastError, UsageError
from appliance.catalog.job_table import STATES, Ending, Job, JobProgress, JobTable

AT = "2026-11-21T09:30:00Z"


@pytest.fixture
def table(tmp_path: Path) -> Iterator[JobTable]:
    opened = JobTable(tmp_path / "jobs.sqlite")
    yield opened
    opened.close()


def job(verb: str = "backup", machine: str | None = None, **more: Any) -> Job:
    return Job(0, verb, {"machine": machine}, machine, "queued", 50, "ann", AT, **more)


def fill(path: Path, count: int) -> None:
    """Many ended jobs, one in a thousand failed."""
    with sqlite3.connect(path) as database:
        database.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?)"
            " insert into jobs (verb, arguments, machine, state, priority, asked_by, asked_at,"
            " attempt, ended_at)"
            " select case i % 3 when 0 then 'vault sync' else 'backup' end, '{}',"
            " 'machine' || (i % 1000), case when i % 1000 = 0 then 'failed' else 'done' end, 50,"
            " 'policy', ?, 1, ? from n",
            (count, AT, AT),
        )
    database.close()


QUERIES: list[dict[str, str]] = [
    {},
    {"state": "failed"},
    {"machine": "machine7"},
    {"verb": "vault sync"},
    {"machine": "machine7", "state": "failed"},
    {"verb": "backup", "state": "failed"},
    {"machine": "machine7", "verb": "backup", "state": "done"},
]


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_every_page_comes_from_an_index_in_its_order(
    table: JobTable, tmp_path: Path, query: dict[str, str]
) -> None:
    fill(tmp_path / "jobs.sqlite", 30_000)
    steps: list[str] = []
    table._reader.set_trace_callback(steps.append)
    ids: list[int] = []
    while page := table.page(after=ids[-1] if ids else None, limit=900, **query):
        assert all(getattr(item, name) == value for item in page for name, value in query.items())
        ids += [item.id for item in page]
    table._reader.set_trace_callback(None)
    assert ids == sorted(set(ids), reverse=True)
    conditions = " and ".join(f"{name} = '{value}'" for name, value in query.items()) or "1"
    count = table._reader.execute(f"select count(*) from jobs where {conditions}").fetchone()[0]
    assert len(ids) == count
    plan = " ".join(row[3] for row in table._reader.execute(f"explain query plan {steps[-1]}"))
    assert "TEMP B-TREE" not in plan, plan
    assert "USING INDEX" in plan or not query, plan


def test_what_is_kept_comes_back_and_a_key_is_one_request(table: JobTable, tmp_path: Path) -> None:
    first = table.add(job(machine="web1", directory="/tmp"), "key")
    assert table.add(job(machine="web1", directory="/tmp"), "key").id == first.id
    with pytest.raises(UsageError, match="another request"):
        table.add(job(machine="web2"), "key")
    table.begin(first.id, AT)
    progress = JobProgress("reading", 5, 10, "bytes", 2.5, 2.0, {"source": 100})
    lines = [(7, "one"), (12, "two")]
    table.end(first.id, Ending("done", AT, 0, None, progress, '{"a": 1}', "text", lines=lines))
    table.close()
    again = JobTable(tmp_path / "jobs.sqlite")
    found = again.find(first.id)
    assert found is not None
    assert (found.state, found.result, found.shown, found.progress) == (
        "done",
        {"a": 1},
        "text",
        progress,
    )
    assert again.log(first.id, 7, 10) == [(12, "two")]
    assert again.page()[0].result is None
    again.close()


def test_a_table_of_before_learns_to_keep_codes_and_the_version_before_still_reads_it(
    table: JobTable, tmp_path: Path
) -> None:
    kept = table.add(job())
    table.close()
    with sqlite3.connect(tmp_path / "jobs.sqlite") as database:
        database.execute("alter table jobs drop column error_code")
    database.close()
    again = JobTable(tmp_path / "jobs.sqlite")
    ending = Ending("failed", AT, 8, "wrong", JobProgress(), error_code="wrong-passphrase")
    assert again.end(kept.id, ending).error_code == "wrong-passphrase"
    again.close()
    with sqlite3.connect(tmp_path / "jobs.sqlite") as database:
        assert database.execute("pragma user_version").fetchone() == (1,)
    database.close()


def test_old_records_go_and_what_is_not_over_stays(table: JobTable, tmp_path: Path) -> None:
    kept = table.add(job())
    fill(tmp_path / "jobs.sqlite", 5000)
    ended = table.add(job())
    table.end(
        ended.id, Ending("done", "2026-12-24T00:00:00Z", 0, None, JobProgress(), lines=[(1, "x")])
    )
    assert table.forget("2026-01-01T00:00:00Z", 6000) == 0
    assert table.forget("2026-01-01T00:00:00Z", 3000) == 2001
    assert table.forget("2026-12-01T00:00:00Z", 6000) == 2999
    assert [item.id for item in table.page()] == [ended.id, kept.id]
    assert table.forget("2027-12-01T00:00:00Z", 6000) == 1
    assert table.log(ended.id, 0, 10) == []


def test_a_file_that_is_none_is_set_aside_and_a_newer_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"no database at all " * 500)
    table = JobTable(path)
    assert table.damaged is not None
    assert table.damaged.read_bytes().startswith(b"no database")
    assert table.page() == []
    table.close()
    with sqlite3.connect(path) as database:
        database.execute("pragma user_version = 99")
    database.close()
    with pytest.raises(HoldfastError, match="newer version"):
        JobTable(path)


@pytest.mark.slow
def test_a_million_records_are_paged_and_filtered_in_moments(
    table: JobTable, tmp_path: Path
) -> None:
    import time

    fill(tmp_path / "jobs.sqlite", 1_000_000)
    for query in QUERIES:
        for after in (None, 500_000, 1_000):
            began_s = time.monotonic()
            table.page(after=after, limit=100, **query)
            assert time.monotonic() - began_s < 0.3, (query, after)


def test_the_page_of_the_format_names_every_column(table: JobTable) -> None:
    page = (Path(__file__).parents[2] / "docs/format/jobs.md").read_text()
    for name in ("jobs", "outcomes", "log_lines"):
        row = re.search(rf"^\| `{name}` \| (.*) \|$", page, re.MULTILINE)
        assert row is not None
        columns = [found[1] for found in table._reader.execute(f"pragma table_info({name})")]
        assert sorted(re.findall(r"`(\w+)`", row[1])) == sorted(columns)
    assert table._reader.execute("pragma user_version").fetchone()[0] == 1
    assert all(f"`{state}`" in page for state in STATES)
