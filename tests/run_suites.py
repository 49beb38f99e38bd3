"""Runs the suites one after the other and ends with a table, why tests failed, and the counts.

    python -m tests.run_suites [--slow] [SUITE]

Each pytest suite is a process of its own, so that a crash of the interpreter costs one suite. The
exit code is 0 only if nothing failed and every suite ran a test. Where CI=true a skipped test
counts as failed too, unless its reason begins with "not installable:".

Where a suite waits for programs that are not ours (a browser, QEMU, a gateway) on a machine that it
shares, a few tests that failed are run once more, with the same seed. Those that pass then are
named at the end as unstable, with what they said the first time: somebody has to mend them.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "build" / "tests"
NOT_INSTALLABLE = "not installable:"
PYTEST_NOTHING_RAN = 5
DISK_USERS = {"box", "main job"}
DISK_END_S = 120.0
SAID_MAX_LINES = 15  # of a failed test, at the end: enough to see why, where the log was cut
SAID_MAX_COLUMNS = 240
SAID_MAX_TESTS = 40  # of a suite; where more fail, one reason is behind most of them
REPEATS_MAX = 3  # of a suite; more is no accident
PYTEST_TESTS_FAILED = 1
ON_TEARDOWN = "failed on teardown"  # how pytest's report begins to tell of it


@dataclass(frozen=True)
class Suite:
    """Either a command that passes or fails as a whole, or paths given to pytest."""

    name: str
    paths: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    stops: bool = False  # a failure makes the rest not worth its time
    may_repeat: bool = False  # never where a failure may mean that data was lost

    def existing_paths(self) -> list[str]:
        """The paths that exist; pytest refuses the others."""
        return [path for path in self.paths if (ROOT / path).exists()]


SUITES = (
    Suite("check", command=("make", "check"), stops=True),
    Suite("native", command=("make", "-C", "native", "test"), stops=True),
    Suite(
        "unit",
        paths=(
            "tests/base",
            "tests/formats",
            "tests/keys",
            "tests/native",
            "tests/sources",
            "tests/catalog",
            "tests/backup",
            "tests/retention",
            "tests/cli",
            "tests/host",
            "tests/image",
            "tests/test_architecture.py",
            "tests/test_tidy.py",
            "tests/test_run_suites.py",
        ),
    ),
    Suite("store", paths=("tests/store", "tests/crash", "tests/corrupt", "tests/fuzz")),
    Suite("recovery", paths=("tests/recovery", "tests/browse", "tests/drills"), may_repeat=True),
    Suite("health", paths=("tests/health", "tests/hwtests"), may_repeat=True),
    Suite("vault", paths=("tests/vault",), may_repeat=True),
    Suite(
        "box",
        paths=(
            *("tests/policies", "tests/jobs", "tests/notices", "tests/daemon"),
            *("tests/access", "tests/api", "tests/support", "tests/updates", "tests/web"),
        ),
        may_repeat=True,
    ),
    Suite("main job", paths=("tests/e2e",)),
    Suite("power cuts", paths=("tests/powercut",)),
)


@dataclass(frozen=True)
class Outcome:
    """What a suite came to."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    remarks: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()  # of each failed test, its name and what it said
    failed_tests: tuple[str, ...] = ()  # the ids of those that failed and left nothing over


def name_test(case: ElementTree.Element) -> str:
    """The id by which pytest runs this one test again."""
    words = case.get("classname", "").split(".")
    files = [count for count in range(len(words), 0, -1) if _module_of(words[:count]).is_file()]
    path = str(_module_of(words[: files[0]]).relative_to(ROOT)) if files else ".".join(words)
    return "::".join([path, *(words[files[0] :] if files else ()), case.get("name", "")])


def _module_of(words: list[str]) -> Path:
    return ROOT.joinpath(*words).with_suffix(".py")


def tell_reason(case: ElementTree.Element, ending: ElementTree.Element) -> str:
    """The name of a failed test and the last lines of what it said, a few short ones."""
    text = (ending.text or ending.get("message") or "").splitlines()
    said = [line for line in text if line.startswith("E ")] or text
    where = [line for line in text[-1:] if line not in said]  # FILE:LINE: KIND OF ERROR
    lines = [*said[-(SAID_MAX_LINES - len(where)) :], *where]
    return "\n".join(
        [f"{ending.tag}: {name_test(case)}", *(f"    {line[:SAID_MAX_COLUMNS]}" for line in lines)]
    )


def read_report(name: str, report: Path, *, skips_fail: bool) -> Outcome:
    """The counts of a JUnit report. A test and the error of its teardown count as one failure.

    Raises OSError or ElementTree.ParseError where there is no whole report.
    """
    passed = failed = skipped = 0
    remarks, reasons = [], []
    failed_names: dict[str, bool] = {}  # and whether its end failed
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    for case in cases:
        skip = case.find("skipped")
        endings = [*case.findall("failure"), *case.findall("error")]
        if endings:
            who = name_test(case)
            failed += who not in failed_names
            left_over = any(end.get("message", "").startswith(ON_TEARDOWN) for end in endings)
            failed_names[who] = left_over or failed_names.get(who, False)
            reasons += [tell_reason(case, ending) for ending in endings]
        elif skip is None:
            passed += 1
        elif skips_fail and not skip.get("message", "").startswith(NOT_INSTALLABLE):
            failed += 1
            remarks.append(f"skipped: {case.get('name')}: {skip.get('message')}")
        else:
            skipped += 1
    untold = len(reasons) - SAID_MAX_TESTS
    reasons[SAID_MAX_TESTS:] = [f"and {untold} more: see {report}"] if untold > 0 else []
    counts = (passed, failed, skipped)
    tests = tuple(test for test, left_over in failed_names.items() if not left_over)
    return Outcome(name, *counts, 0.0, tuple(remarks), tuple(reasons), tests)


def judge(outcome: Outcome, exit_code: int, *, may_be_empty: bool) -> Outcome:
    """Add the failure that the counts do not show: a crash, or a suite that ran nothing."""
    remark = ""
    if exit_code == PYTEST_NOTHING_RAN or not (outcome.passed + outcome.failed + outcome.skipped):
        remark = "" if may_be_empty and exit_code in (0, PYTEST_NOTHING_RAN) else "ran no test"
    elif exit_code != 0 and outcome.failed == 0:
        remark = f"pytest ended with exit code {exit_code}"
    if not remark:
        return outcome
    return replace(
        outcome, failed=max(outcome.failed, 1), remarks=(*outcome.remarks, f"failed: {remark}")
    )


def run_command(suite: Suite) -> Outcome:
    """Run the command of `suite`. It counts as one test."""
    exit_code = subprocess.run(suite.command, cwd=ROOT, check=False).returncode
    return Outcome(suite.name, passed=int(exit_code == 0), failed=int(exit_code != 0))


# The slow tests together fill any disk, unless each leaves its place when it has passed.
_SLOW = ["-m", "slow", "-p", "tests.shards", "-o", "tmp_path_retention_policy=failed"]


def run_pytest(suite: Suite, *, slow: bool) -> Outcome:
    """Run the tests of `suite`: those marked slow, or the others."""
    paths = suite.existing_paths()
    if not paths:
        return judge(Outcome(suite.name), 0, may_be_empty=slow)
    selection = _SLOW if slow else ["-m", "not slow"]
    exit_code, outcome = _call_pytest(suite.name, [*selection, *paths])
    outcome = judge(outcome, exit_code, may_be_empty=slow)
    if suite.may_repeat and exit_code == PYTEST_TESTS_FAILED:
        return repeat_failed(outcome)
    return outcome


def _call_pytest(name: str, arguments: list[str]) -> tuple[int, Outcome]:
    report = REPORTS / f"{name.replace(' ', '-')}.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "pytest", f"--junit-xml={report}", *arguments]
    exit_code = subprocess.run(argv, cwd=ROOT, check=False).returncode
    try:
        return exit_code, read_report(name, report, skips_fail=os.environ.get("CI") == "true")
    except (OSError, ElementTree.ParseError) as error:
        remark = f"failed: no report of {name}, exit code {exit_code}: {error}"
        return exit_code, Outcome(name, failed=1, remarks=(remark,))


def repeat_failed(outcome: Outcome) -> Outcome:
    """Run the tests that failed once more, if they are few; name those that pass now."""
    failed = outcome.failed_tests
    if not 0 < len(failed) <= REPEATS_MAX:
        return outcome
    print(f"\n=== {outcome.name}: what failed, once more", flush=True)
    _, again = _call_pytest(f"{outcome.name} again", list(failed))
    if again.passed + again.failed != len(failed):
        return outcome  # they did not run as they did: no second opinion
    passed = tuple(test for test in failed if test not in again.failed_tests)
    return replace(
        outcome,
        passed=outcome.passed + len(passed),
        failed=outcome.failed - len(passed),
        remarks=(*outcome.remarks, *(f"UNSTABLE, passed only when repeated: {t}" for t in passed)),
    )


@contextmanager
def building_disk(suites: list[Suite]) -> Iterator[None]:
    """The demo's disk is built beside the first suites, which leave a processor idle.

    Whoever needs it sooner waits for it, and builds it, and says why, where that failed here.
    """
    if len(suites) == 1 or not DISK_USERS & {suite.name for suite in suites}:
        yield
        return
    REPORTS.mkdir(parents=True, exist_ok=True)
    argv = ["nice", sys.executable, "-m", "image.debian_disk"]
    with (REPORTS / "disk.log").open("wb") as log:
        builder = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)
    try:
        yield
    finally:
        builder.terminate()  # long over, unless a suite that stops has failed
        try:
            builder.wait(DISK_END_S)
        except subprocess.TimeoutExpired:
            builder.kill()
            builder.wait()


def run_suites(suites: list[Suite], *, slow: bool) -> list[Outcome]:
    """Run `suites` in order; a failed one that stops is the last."""
    outcomes = []
    for suite in suites:
        print(f"\n=== {suite.name}", flush=True)
        began_s = time.monotonic()
        outcome = run_command(suite) if suite.command else run_pytest(suite, slow=slow)
        outcomes.append(replace(outcome, seconds=time.monotonic() - began_s))
        if suite.stops and outcome.failed:
            break
    return outcomes


def summarize(outcomes: list[Outcome]) -> str:
    """The table, the remarks, why tests failed, and alone on the last line the counts."""
    passed, failed, skipped = (
        sum(getattr(outcome, column) for outcome in outcomes)
        for column in ("passed", "failed", "skipped")
    )
    seconds = sum(outcome.seconds for outcome in outcomes)
    rows = [*outcomes, Outcome("total", passed, failed, skipped, seconds)]
    lines = ["", f"{'suite':<12}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}"]
    lines += [
        f"{row.name:<12}{row.passed:>8}{row.failed:>8}{row.skipped:>9}{row.seconds:>9.1f}"
        for row in rows
    ]
    lines += [f"{row.name}: {remark}" for row in outcomes for remark in row.remarks]
    reasons = [reason for row in outcomes for reason in row.reasons]
    lines += ["", *reasons, ""] if reasons else []
    lines.append(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return "\n".join(lines)


def fingerprint_sources() -> str:
    """A digest of everything a test depends on: passes of other sources do not count."""
    digest = hashlib.sha256()
    for directory in ("appliance", "hwtests", "image", "native", "tests", "docs/format"):
        for path in sorted((ROOT / directory).rglob("*")):
            if path.suffix in {".py", ".c", ".h", ".md", ".json"}:
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def run_slow(suites: list[Suite]) -> list[Outcome]:
    """Run the slow tests; where an earlier run of the same sources was stopped, its rest."""
    shard = os.environ.get("SHARD", "").replace("/", "-of-") or "all"
    passes = REPORTS / f"slow-{fingerprint_sources()}-{shard}.passed"
    os.environ["HOLDFAST_TEST_PASSES"] = str(passes)
    before = len(passes.read_text().splitlines()) if passes.exists() else 0
    outcomes = run_suites([suite for suite in suites if suite.paths], slow=True)
    if before:
        remark = f"passed before this run was stopped, left out now: delete {passes} to repeat"
        outcomes.append(Outcome("earlier", passed=before, remarks=(remark,)))
    if not any(outcome.passed + outcome.failed for outcome in outcomes):
        outcomes.append(Outcome("slow", failed=1, remarks=("failed: ran no test",)))
    if not any(outcome.failed for outcome in outcomes):
        passes.unlink(missing_ok=True)
    return outcomes


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="run_suites", description="Run the test suites.")
    parser.add_argument("suite", nargs="?", choices=[suite.name for suite in SUITES])
    parser.add_argument("--slow", action="store_true", help="only the tests marked slow")
    options = parser.parse_args()
    suites = [suite for suite in SUITES if options.suite in (None, suite.name)]
    os.environ.setdefault("HOLDFAST_TEST_SEED", str(secrets.randbits(32)))
    with building_disk([] if options.slow else suites):
        outcomes = run_slow(suites) if options.slow else run_suites(suites, slow=False)
    print(summarize(outcomes), flush=True)
    return int(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
