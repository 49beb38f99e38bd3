"""Plays the scenarios and prints the table.

    python -m hwtests.run [--bench FILE] [--only WORD] [--core]

Without a bench they run in guests under QEMU, one for each lane, side by side. The exit code is 0
only if nothing failed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from appliance.base.errors import HoldfastError
from hwtests.bench import Bench
from hwtests.guest import Drive, Guest, provide_programs
from hwtests.physical import Physical
from hwtests.scenario import Lane, Outcome, Scenario, describe, play
from hwtests.scenarios import SCENARIOS

DRIVES: dict[Lane, list[Drive]] = {
    "disks": [
        Drive("nvme", "NVMECRIT"),
        Drive("nvme", "NVMEPLUG"),
        Drive("sata", "SATA0", role="tested"),
        Drive("sata", "SATA1", more="rotation_rate=7200"),
        Drive("sata", "FILLED", size_mib=128, role="filled"),
        Drive("scsi", "PLAIN0"),
        Drive("megaraid", "VOLUME0", role="hidden"),
    ],
    "arrays": [
        *(Drive("scsi", f"ARRAY{number}", role="array") for number in range(4)),
        Drive("scsi", "SPARE0", role="spare"),
        *(Drive("scsi", f"PULL{number}", role="pulled") for number in range(2)),
    ],
}
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


def play_all(bench: Bench, scenarios: Sequence[Scenario]) -> list[Outcome]:
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


def play_in_guests(scenarios: Sequence[Scenario]) -> list[Outcome]:
    """Play those of each lane in a guest of its own, the lanes side by side."""
    provide_programs()
    lanes = {lane: [one for one in scenarios if one.lane == lane] for lane in DRIVES}

    def play_lane(lane: Lane) -> list[Outcome]:
        try:
            with (
                tempfile.TemporaryDirectory(prefix="hwtest-") as place,
                Guest(Path(place), DRIVES[lane], DEVICES) as guest,
            ):
                print(f"{guest.boot_s:6.1f} s  boot of the guest for {lane}", flush=True)
                return play_all(guest, lanes[lane])
        except (AssertionError, OSError, HoldfastError) as error:
            print(f"FAILED  guest for {lane}: {error}", flush=True)
            return [Outcome(one, False, f"no guest: {error}", 0.0) for one in lanes[lane]]

    with ThreadPoolExecutor() as pool:
        running = [pool.submit(play_lane, lane) for lane in DRIVES if lanes[lane]]
        return [outcome for one in running for outcome in one.result()]


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
        outcomes = play_in_guests(scenarios)
    print(describe(outcomes))
    print(f"{time.monotonic() - began_s:.0f} s in all")
    return int(any(outcome.passed is False for outcome in outcomes) or not outcomes)


if __name__ == "__main__":
    raise SystemExit(main())
