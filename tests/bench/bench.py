"""Time, bytes, CPU and memory of holdfast beside restic and borg on one corpus, in one run.

Owns: what is measured, in which order, and the table. Never does: judge; it prints what it saw.
Each run makes a fresh repository per program and goes holdfast, restic, borg, holdfast, ...;
images are read into the page cache and dirty pages are flushed before each measured command.
Seconds are wall time of the whole process; CPU is user + system, children included; stored bytes
are the sizes of all files of the repository. Medians over the runs.

    python -m tests.bench.bench [--small] [--runs N] [--only NAME ...]

`build/bench/bench.json`:

    machine     cpu, cores, flags (those that matter here), memory_bytes, kernel
    corpus      name, disk_bytes, first_used_bytes, second_used_bytes, changed_bytes
    versions    program -> what it says
    runs        how many; `complete` is false while the bench still runs
    rows        row -> program -> {seconds, cpu_s, max_rss_bytes, read_bytes, written_bytes,
                stored_bytes (what the command added; absent for restores)}: medians
    samples     the same with a list of all runs instead of the medians
    ratios      row -> peer -> the peer's seconds / ours
    bytes       program -> {first, second, both}: stored bytes
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from appliance.base.errors import HoldfastError
from appliance.base.locks import FileLock
from image.workbench import say
from tests.bench import corpus as corpora
from tests.bench.corpus import CACHE_DIRECTORY, Corpus
from tests.bench.images import check_dump, warm, write_changed_list
from tests.bench.machine import describe_machine
from tests.bench.programs import PROGRAMS, Holdfast, Program, measure
from tests.bench.table import write_table

FIRST = "first full"
SECOND = "second, full scan"
CHANGED = "second, changed list"
RESTORE = "restore to /dev/null"
ROWS = (FIRST, SECOND, CHANGED, RESTORE)
Sample = dict[str, float]
Samples = dict[str, dict[str, list[Sample]]]


class Bench:
    """The measurements of one corpus, growing run by run."""

    def __init__(self, corpus: Corpus, programs: list[type[Program]], place: Path) -> None:
        self.corpus = corpus
        self.programs = programs
        self.samples: Samples = {}
        self._place = place
        self._log = place / "complaints.log"
        self._changed = place / "changed.txt"
        self.changed_bytes = write_changed_list(corpus.first, corpus.second, self._changed)

    def run_once(self, number: int) -> None:
        """Measure every program once, each with a fresh repository that is removed again."""
        for kind in self.programs:
            place = self._place / f"{kind.name}-{number}"
            place.mkdir()
            try:
                self._run_program(kind(place), check=number == 0)
            finally:
                shutil.rmtree(place)

    def _run_program(self, program: Program, *, check: bool) -> None:
        first, second = self.corpus.first, self.corpus.second
        measure(program.create(), program.environment, self._log)
        self._measure(FIRST, program, program.back_up(first, "first"), first)
        if isinstance(program, Holdfast):
            clone = program.clone(program.place / "clone")
            argv = clone.back_up_changed(second, self._changed)
            self._measure(CHANGED, clone, argv, second)
            if check:
                check_dump(clone.dump(second, "second"), clone.environment, second)
            shutil.rmtree(clone.place)
        self._measure(SECOND, program, program.back_up(second, "second"), second)
        dump = program.dump(second, "second")
        self._measure(RESTORE, program, dump, None)
        if check:
            check_dump(dump, program.environment, second)

    def _measure(
        self, row: str, program: Program, argv: list[str | Path], image: Path | None
    ) -> None:
        if image is not None:
            warm(image)
        os.sync()
        before_bytes = program.stored_bytes()
        cost = measure(argv, program.environment, self._log)
        sample: Sample = asdict(cost)
        if image is not None:
            sample["stored_bytes"] = program.stored_bytes() - before_bytes
        self.samples.setdefault(row, {}).setdefault(program.name, []).append(sample)
        say(f"{program.name}: {row}: {cost.seconds:.2f} s, CPU {cost.cpu_s:.2f} s")


def build_report(bench: Bench, runs: int, done: int, versions: dict[str, str]) -> dict[str, Any]:
    """The report as this module's head describes it."""
    rows = {
        row: {name: _take_medians(samples) for name, samples in bench.samples[row].items()}
        for row in ROWS
        if row in bench.samples
    }
    first, second = bench.corpus.first.stat(), bench.corpus.second.stat()
    return {
        "machine": describe_machine(),
        "corpus": {
            "name": bench.corpus.name,
            "disk_bytes": second.st_size,
            "first_used_bytes": first.st_blocks * 512,
            "second_used_bytes": second.st_blocks * 512,
            "changed_bytes": bench.changed_bytes,
        },
        "versions": versions,
        "runs": runs,
        "complete": done == runs,
        "rows": rows,
        "samples": bench.samples,
        "ratios": _compare(rows),
        "bytes": _sum_bytes(rows),
    }


def _take_medians(samples: list[Sample]) -> Sample:
    return {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}


def _compare(rows: dict[str, dict[str, Sample]]) -> dict[str, dict[str, float]]:
    """How many times longer each peer takes; a changed list competes with the full scan."""
    ratios: dict[str, dict[str, float]] = {}
    for row, programs in rows.items():
        if Holdfast.name not in programs:
            continue
        peers = rows.get(SECOND, {}) if row == CHANGED else programs
        ours_s = programs[Holdfast.name]["seconds"]
        ratios[row] = {
            name: round(sample["seconds"] / ours_s, 2)
            for name, sample in peers.items()
            if name != Holdfast.name
        }
    return ratios


def _sum_bytes(rows: dict[str, dict[str, Sample]]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "first": sample["stored_bytes"],
            "second": rows[SECOND][name]["stored_bytes"],
            "both": sample["stored_bytes"] + rows[SECOND][name]["stored_bytes"],
        }
        for name, sample in rows.get(FIRST, {}).items()
    }


def _build_corpus(*, small: bool) -> Corpus:
    """Find the corpus, or build it in a process of its own, which may mount."""
    argv = [sys.executable, "-m", "tests.bench.corpus", *(["--small"] if small else [])]
    if subprocess.run(argv, check=False).returncode != 0:
        raise HoldfastError("the corpus could not be built: the reason stands above")
    return corpora.provide_corpus(corpora.SMALL if small else corpora.FULL)


def run_bench(options: argparse.Namespace) -> None:
    """Measure, print the table, write the JSON after every run."""
    programs = [PROGRAMS[name] for name in (options.only or PROGRAMS)]
    corpus = _build_corpus(small=options.small)
    place = CACHE_DIRECTORY / "work"
    report_file = CACHE_DIRECTORY / "bench.json"
    with FileLock(CACHE_DIRECTORY / "bench.lock", wait=False):
        # What a killed bench left; nothing is ever mounted there.
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        try:
            versions = {kind.name: kind(place).version() for kind in programs}
            bench = Bench(corpus, programs, place)
            for number in range(options.runs):
                say(f"run {number + 1} of {options.runs}")
                bench.run_once(number)
                report = build_report(bench, options.runs, number + 1, versions)
                report_file.write_text(json.dumps(report, indent=2) + "\n")
        finally:
            shutil.rmtree(place)
    sys.stdout.write(f"\n{write_table(report)}\nAll figures: {report_file}\n")


def main(arguments: list[str]) -> int:
    """Run the bench. Gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench")
    parser.add_argument("--small", action="store_true", help="a 1 GiB disk instead of 8 GiB")
    parser.add_argument("--runs", type=int, default=3, help="how often (default 3)")
    parser.add_argument("--only", action="append", choices=list(PROGRAMS), help="repeatable")
    options = parser.parse_args(arguments)
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
