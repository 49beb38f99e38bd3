"""Time, bytes, CPU and memory of holdfast beside restic and borg on one corpus, in one run.

Owns: which rows are measured, in which order, and the files of the report. Never does: judge by
the clock of another run; all ratios are of one run on one machine.
Seconds are wall time of the whole process; CPU is user + system, children included; stored bytes
are the sizes of all files of the repository. Medians over the runs, programs alternating.

    python -m tests.bench.bench [--quick] [--rows disk,reads,...] [--runs N] [--only NAME]

`build/bench/bench.json` is described in `tests.bench.report`, `build/bench/bench.txt` is the table.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from appliance.base.errors import HoldfastError
from appliance.base.locks import FileLock
from image.workbench import say
from tests.bench import corpus as corpora
from tests.bench.corpus import CACHE_DIRECTORY, Corpus
from tests.bench.disk_rows import run_disk_rows
from tests.bench.growth_rows import run_growth_rows
from tests.bench.images import write_changed_list
from tests.bench.programs import PROGRAMS
from tests.bench.report import build_report
from tests.bench.shape_rows import run_shape_rows
from tests.bench.stream_rows import run_beside_rows, run_stream_rows
from tests.bench.table import write_table
from tests.bench.trial import Trial

ON_THE_DISK = {
    "disk": "both generations of the corpus, restore",
    "reads": "random reads through mounts",
    "memory": "verify, forget, collect",
    "idle": "the idle pass",
}
"""Rows of one repository's life: any of them brings `disk` along."""
APART = {
    "shapes": run_shape_rows,
    "streams": run_stream_rows,
    "beside": run_beside_rows,
    "growth": run_growth_rows,
}
ROWS = (*ON_THE_DISK, *APART)


def run_bench(options: argparse.Namespace) -> None:
    """Measure, print the table, write the files after every run."""
    programs = [PROGRAMS[name] for name in (options.only or PROGRAMS)]
    corpus = _build_corpus(small=options.quick)
    place = CACHE_DIRECTORY / "work"
    with FileLock(CACHE_DIRECTORY / "bench.lock", wait=False):
        _clear(place)
        place.mkdir()
        try:
            versions = {kind.name: kind(place).version() for kind in programs}
            changed_list = place / "changed.txt"
            trial = Trial(
                corpus=corpus,
                programs=programs,
                place=place,
                changed_list=changed_list,
                changed_bytes=write_changed_list(corpus.first, corpus.second, changed_list),
                quick=options.quick,
                chosen=frozenset(options.rows),
                runs=options.runs,
            )
            for number in range(options.runs):
                say(f"run {number + 1} of {options.runs}")
                _run_once(trial, number)
                report = build_report(trial, number + 1, versions)
                table = write_table(report)
                (CACHE_DIRECTORY / "bench.json").write_text(json.dumps(report, indent=2) + "\n")
                (CACHE_DIRECTORY / "bench.txt").write_text(table)
        finally:
            _clear(place)
    sys.stdout.write(f"\n{table}\nAll figures: {CACHE_DIRECTORY / 'bench.json'}\n")


def _run_once(trial: Trial, number: int) -> None:
    if trial.chosen & ON_THE_DISK.keys():
        run_disk_rows(trial, number)
    for name, measure_rows in APART.items():
        if name in trial.chosen:
            measure_rows(trial, number)


def _build_corpus(*, small: bool) -> Corpus:
    """Find the corpus, or build it in a process of its own, which may mount."""
    argv = [sys.executable, "-m", "tests.bench.corpus", *(["--small"] if small else [])]
    if subprocess.run(argv, check=False).returncode != 0:
        raise HoldfastError("the corpus could not be built: the reason stands above")
    found = corpora.provide_corpus(corpora.SMALL if small else corpora.FULL)
    return replace(found, first=found.first.resolve(), second=found.second.resolve())


def _clear(place: Path) -> None:
    """Remove the work directory; what a killed bench left mounted is detached first."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in mounts:
        if Path(mount).is_relative_to(place):
            subprocess.run(["umount", "--lazy", mount], check=True)
    if place.exists():
        shutil.rmtree(place)


def _choose_rows(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in ROWS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]}: choose from {', '.join(ROWS)}")
    return names


def main(arguments: list[str]) -> int:
    """Run the bench. Gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench")
    parser.add_argument("--quick", action="store_true", help="a 1 GiB disk, one run")
    shown = f"of {','.join(ROWS)} (default all)"
    parser.add_argument("--rows", type=_choose_rows, default=list(ROWS), help=shown)
    parser.add_argument("--runs", type=int, help="how often (default 3, quick 1)")
    parser.add_argument("--only", action="append", choices=list(PROGRAMS), help="repeatable")
    options = parser.parse_args(arguments)
    if options.runs is None:
        options.runs = 1 if options.quick else 3
    if options.runs < 1:
        parser.error("--runs is at least 1")
    try:
        run_bench(options)
    except HoldfastError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
