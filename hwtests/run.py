"""Plays the scenarios and prints the table.

    python -m hwtests.run [--bench FILE] [--only WORD] [--core]

Without a bench they run in one guest under QEMU. The exit code is 0 only if nothing failed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from hwtests.bench import Bench
from hwtests.guest import Drive, Guest, provide_programs
from hwtests.physical import Physical
from hwtests.scenario import Outcome, Scenario, describe, play
from hwtests.scenarios import SCENARIOS

DRIVES = [
    Drive("nvme", "NVMECRIT"),
    Drive("nvme", "NVMEPLUG"),
    Drive("sata", "SATA0", role="tested"),
    Drive("sata", "SATA1", more="rotation_rate=7200"),
    *(Drive("scsi", f"ARRAY{number}", role="array") for number in range(4)),
    Drive("scsi", "SPARE0", role="spare"),
    *(Drive("scsi", f"PULL{number}", role="pulled") for number in range(2)),
    Drive("sata", "FILLED", size_mib=128, role="filled"),
    Drive("megaraid", "VOLUME0", role="hidden"),
]
DEVICES = [
    *("-device", "ipmi-bmc-sim,id=bmc", "-device", "isa-ipmi-kcs,bmc=bmc"),
    *("-device", "i6300esb", "-action", "watchdog=pause"),
]


def choose(words: str, *, core: bool) -> list[Scenario]:
    """Scenarios whose name has one of the `words` in it, which commas separate."""
    return [
        scenario
        for scenario in SCENARIOS
        if any(word.lower() in scenario.name.lower() for word in words.split(","))
        and (scenario.is_core or not core)
    ]


def play_all(bench: Bench, scenarios: list[Scenario]) -> list[Outcome]:
    """Play them in order, saying each as it ends."""
    outcomes = []
    for scenario in scenarios:
        outcome = play(scenario, bench)
        word = {True: "ok", False: "FAILED", None: "left out"}[outcome.passed]
        print(
            f"{outcome.seconds:6.1f} s  {scenario.name}: {word}: {outcome.seen[:600]}", flush=True
        )
        outcomes.append(outcome)
    return outcomes


def main() -> int:
    """Parse, play, print."""
    parser = argparse.ArgumentParser(prog="hwtests", description="Scenarios on a real kernel.")
    parser.add_argument("--bench", type=Path, help="a physical bench (bench.example.toml)")
    parser.add_argument(
        "--only", default="", help="scenarios with one of these words, as in raid6,nvme"
    )
    parser.add_argument("--core", action="store_true", help="those of make test")
    options = parser.parse_args()
    scenarios = choose(options.only, core=options.core)
    began_s = time.monotonic()
    if options.bench is not None:
        outcomes = play_all(Physical(options.bench), scenarios)
    else:
        provide_programs()
        with (
            tempfile.TemporaryDirectory(prefix="hwtest-") as place,
            Guest(Path(place), DRIVES, DEVICES) as guest,
        ):
            print(f"{guest.boot_s:6.1f} s  boot", flush=True)
            outcomes = play_all(guest, scenarios)
    print(describe(outcomes))
    print(f"{time.monotonic() - began_s:.0f} s in all")
    return int(any(outcome.passed is False for outcome in outcomes) or not outcomes)


if __name__ == "__main__":
    raise SystemExit(main())
