"""A third of the scenarios of `make hwtest`, in one guest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hwtests.guest import Guest
from hwtests.physical import Physical
from hwtests.run import DEVICES, DRIVES
from hwtests.scenario import Scenario, describe, play
from hwtests.scenarios import SCENARIOS
from tests.guest.kernel import ROOT

CORE = [scenario for scenario in SCENARIOS if scenario.is_core]


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """One guest for all of them: booting takes longest."""
    drives = [drive for lane in DRIVES.values() for drive in lane]
    with Guest(tmp_path_factory.mktemp("guest"), drives, DEVICES) as running:
        yield running


@pytest.mark.parametrize("scenario", CORE, ids=[scenario.name for scenario in CORE])
def test_on_a_real_kernel(guest: Guest, scenario: Scenario) -> None:
    outcome = play(scenario, guest)
    print(f"{scenario.expected}: {outcome.seen}")
    assert outcome.passed, outcome.seen


def test_the_third_is_a_third() -> None:
    assert 0.3 <= len(CORE) / len(SCENARIOS) <= 0.5


def test_a_failed_scenario_is_told_and_the_others_go_on() -> None:
    def fail(_: object) -> str:
        raise AssertionError("it was blue")

    fine = Scenario("fine", "good", lambda _: "good")
    bench = Physical(ROOT / "hwtests/bench.example.toml")
    outcomes = [
        play(scenario, bench)
        for scenario in (
            replace(fine, name="bad", play=fail),
            fine,
            replace(fine, name="other", needs=frozenset(("qemu",))),
            replace(fine, name="large", roles={"array": 3}),
        )
    ]
    assert [outcome.passed for outcome in outcomes] == [False, True, None, None]
    assert outcomes[-1].seen == "this bench has no 3 disks for array"
    table = describe(outcomes)
    assert "it was blue" in table
    assert table.endswith("1 passed, 1 failed, 2 left out")


def test_nothing_that_a_scenario_started_runs_beside_the_next(tmp_path: Path) -> None:
    described = tmp_path / "bench.toml"
    described.write_text('[bench]\nholdfast = ["sh", "-c", "sleep 60", "sh"]\nstate = "/"\n')
    bench = Physical(described)

    def fail(_: object) -> str:
        number = bench.start("health", "--watch")
        raise AssertionError(str(number))

    outcome = play(Scenario("watched", "good", fail), bench)
    assert outcome.passed is False
    number = int(outcome.seen.split()[-1])
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_a_physical_bench_gives_only_the_disks_that_its_file_names(tmp_path: Path) -> None:
    listed = '{"disks": [{"serial": "A", "name": "sda"}, {"serial": "B", "name": "sdb"}]}'
    program = tmp_path / "holdfast"
    program.write_text(f"#!/bin/sh\necho '{listed}'\n")
    program.chmod(0o755)
    described = tmp_path / "bench.toml"
    described.write_text(
        f'[bench]\nholdfast = ["{program}"]\nstate = "{tmp_path}"\n'
        '[[disk]]\nserial = "B"\nrole = "array"\n[[disk]]\nserial = "C"\nrole = "array"\n'
    )
    bench = Physical(described)
    assert bench.disks("array", 1) == ["sdb"]
    with pytest.raises(AssertionError, match="names 1 disks for array, not 2"):
        bench.disks("array", 2)
    with pytest.raises(AssertionError):
        bench.disks("spare", 1)
