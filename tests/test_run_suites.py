"""The runner of the suites and the sharding of slow tests: neither can hide a failure."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import run_suites
from tests.run_suites import (
    SAID_MAX_LINES,
    SAID_MAX_TESTS,
    SUITES,
    Outcome,
    Suite,
    building_disk,
    judge,
    read_report,
    summarize,
)
from tests.shards import parse_shard, select_shard

REPORT = """<testsuites><testsuite>
<testcase classname="a" name="good"/>
<testcase classname="a" name="bad"><failure message="x"/></testcase>
<testcase classname="a" name="bad"><error message="teardown"/></testcase>
<testcase classname="a" name="gone"><skipped message="no time"/></testcase>
<testcase classname="a" name="odd"><skipped message="not installable: no such package"/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.xml"
    path.write_text(REPORT)
    return path


def test_a_failing_test_with_a_failing_teardown_counts_once(report: Path) -> None:
    outcome = read_report("a", report, skips_fail=False)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (1, 1, 2)


def test_where_skips_fail_only_what_cannot_be_installed_is_skipped(report: Path) -> None:
    outcome = read_report("a", report, skips_fail=True)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (1, 2, 1)
    assert outcome.remarks == ("skipped: gone: no time",)


def test_a_suite_that_ran_nothing_has_failed_unless_it_may() -> None:
    assert judge(Outcome("a"), 5, may_be_empty=False).failed == 1
    assert judge(Outcome("a"), 0, may_be_empty=False).failed == 1
    assert judge(Outcome("a"), 5, may_be_empty=True).failed == 0
    assert judge(Outcome("a"), 2, may_be_empty=True).failed == 1


def test_an_exit_code_that_no_test_explains_is_a_failure() -> None:
    assert judge(Outcome("a", passed=3), 3, may_be_empty=False).failed == 1
    assert judge(Outcome("a", passed=3), 0, may_be_empty=False).failed == 0


def test_the_disk_is_built_beside_whole_runs_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[list[str]] = []
    popen = subprocess.Popen[bytes]

    def begin(argv: list[str], **options: Any) -> subprocess.Popen[bytes]:
        began.append(argv)
        return popen(["sleep", "600"], **options)

    monkeypatch.setattr(run_suites, "REPORTS", tmp_path)
    monkeypatch.setattr("tests.run_suites.subprocess.Popen", begin)
    suites = {suite.name: suite for suite in SUITES}
    for names in (["box"], ["unit", "store"], []):
        with building_disk([suites[name] for name in names]):
            assert began == []
    with building_disk(list(SUITES)):
        assert began[0][-1] == "image.debian_disk"


def test_the_last_line_holds_the_counts() -> None:
    outcomes = [Outcome("a", passed=2, seconds=1.5), Outcome("b", failed=1, remarks=("why",))]
    lines = summarize(outcomes).splitlines()
    assert lines[-1] == "2 passed, 1 failed"
    assert "b: why" in lines
    assert summarize([Outcome("a", 1, 0, 4)]).endswith("\n1 passed, 0 failed, 4 skipped")


SHAKY = """
from pathlib import Path
import pytest

def first_time(name):
    mark = Path(__file__).with_name(name)
    is_first = not mark.exists()
    mark.touch()
    return is_first

@pytest.fixture
def leaving():
    yield
    assert not first_time("left")

def test_now_and_then(): assert not first_time("once[1]")
def test_always(): assert not "bad"
def test_good(): pass
def test_left_over(leaving): pass
"""


@pytest.fixture
def shaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A suite whose tests fail always, the first time, at their end the first time, or never."""
    monkeypatch.setattr(run_suites, "ROOT", tmp_path)
    monkeypatch.setattr(run_suites, "REPORTS", tmp_path / "reports")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    (tmp_path / "test_shaky.py").write_text(SHAKY)
    return Suite("shaky", paths=("test_shaky.py",), may_repeat=True)


def test_what_passes_only_when_repeated_is_named_and_what_it_said_too(shaky: Suite) -> None:
    outcome = run_suites.run_pytest(shaky, slow=False)
    assert (outcome.passed, outcome.failed) == (2, 2)
    assert outcome.remarks == (
        "UNSTABLE, passed only when repeated: test_shaky.py::test_now_and_then",
    )
    assert "failure: test_shaky.py::test_now_and_then" in summarize([outcome])


def test_a_second_time_is_for_few_tests_of_suites_that_may(
    shaky: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = run_suites.run_pytest(replace(shaky, may_repeat=False), slow=False)
    assert (outcome.passed, outcome.failed) == (1, 3)
    (run_suites.ROOT / "once[1]").unlink()
    monkeypatch.setattr(run_suites, "REPEATS_MAX", 1)
    assert run_suites.run_pytest(shaky, slow=False).failed == 2
    assert not any(s.may_repeat for s in SUITES if s.name in ("store", "main job", "power cuts"))


def fail(directory: Path, name: str, text: str, times: int = 1) -> Path:
    """A report of failed tests of tests/test_run_suites.py that said `text`."""
    case = f'<testcase classname="tests.test_run_suites" name="{name}">'
    report = directory / "report.xml"
    ending = f'<failure message="x">{text}</failure></testcase>'
    report.write_text(f"<testsuites>{(case + ending) * times}</testsuites>")
    return report


def test_why_a_test_failed_is_said_after_the_table(tmp_path: Path) -> None:
    text = "    assert a == b\n\nE   assert 1 == 2\nE    + where\n\na.py:7: AssertionError"
    outcome = read_report("a", fail(tmp_path, "test_it[b-1]", text), skips_fail=False)
    lines = summarize([outcome]).splitlines()
    began = lines.index("failure: tests/test_run_suites.py::test_it[b-1]")
    assert began > next(place for place, line in enumerate(lines) if line.startswith("total"))
    assert [line.strip() for line in lines[began + 1 : began + 4]] == [
        *("E   assert 1 == 2", "E    + where", "a.py:7: AssertionError"),
    ]
    assert lines[-1] == "0 passed, 1 failed"


def test_a_failed_teardown_and_a_report_without_text_are_said_too(report: Path) -> None:
    said = summarize([read_report("a", report, skips_fail=False)])
    assert "failure: a::bad\n    x\n" in said
    assert "error: a::bad\n    teardown\n" in said


def test_what_failed_tests_say_at_length_is_cut_to_its_end(tmp_path: Path) -> None:
    text = "\n".join(["E " + "x" * 9999] * 99 + ["E the end", "a.py:7: Error"])
    report = fail(tmp_path, "test_it", text, times=SAID_MAX_TESTS + 5)
    outcome = read_report("a", report, skips_fail=False)
    assert outcome.reasons[0].count("\n") == SAID_MAX_LINES
    assert outcome.reasons[0].endswith("E the end\n    a.py:7: Error")
    assert outcome.reasons[-1] == f"and 5 more: see {report}"
    assert len(summarize([outcome])) < 300 * SAID_MAX_LINES * SAID_MAX_TESTS


def test_the_shards_of_a_run_are_all_of_it_without_overlap() -> None:
    names = [f"test_{number}" for number in range(10)]
    shards = [select_shard(names, first, 3) for first in (1, 2, 3)]
    assert sorted(name for shard in shards for name in shard) == names
    assert select_shard(reversed(names), 1, 3) == shards[0]


def test_no_shard_is_everything() -> None:
    assert parse_shard("") == (1, 1)
    assert parse_shard("2/8") == (2, 8)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3"])
def test_a_shard_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected i/n"):
        parse_shard(text)
