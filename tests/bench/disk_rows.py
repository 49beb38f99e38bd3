"""Rows of one repository's life: first full, second generation, restore, and what follows.

Owns: the order of the steps on each program's repository. Never does: print a table.
Each run makes a fresh repository per program and goes holdfast, restic, borg, holdfast, ...
"""

from __future__ import annotations

import shutil

from tests.bench.images import check_dump
from tests.bench.programs import Holdfast, Program
from tests.bench.reads import measure_raw_reads, measure_reads
from tests.bench.trial import Trial

FIRST = "first full"
SECOND = "second, full scan"
CHANGED = "second, changed list"
RESTORE = "restore to /dev/null"
VERIFY = "verify in full"
FORGET = "forget the first"
COLLECT = "collect after it"
IDLE = "idle pass, both"
IDLE_FIRST = "idle pass, first alone"


def run_disk_rows(trial: Trial, number: int) -> None:
    """Measure every program once, each with a fresh repository that is removed again."""
    for kind in trial.programs:
        place = trial.place / f"{kind.name}-{number}"
        place.mkdir()
        try:
            _run_program(trial, kind(place), number)
        finally:
            shutil.rmtree(place)
    if "reads" in trial.chosen:
        measure_raw_reads(trial, trial.corpus.second)


def _run_program(trial: Trial, program: Program, number: int) -> None:
    first, second = trial.corpus.first, trial.corpus.second
    check = number == 0
    with_idle = "idle" in trial.chosen and isinstance(program, Holdfast) and check
    trial.prepare(program)
    trial.measure(FIRST, program, program.back_up(first, "first"), images=[first], adds=True)
    if isinstance(program, Holdfast):
        _run_changed(trial, program, check=check)
        if with_idle:
            _run_idle_first(trial, program)
    trial.measure(SECOND, program, program.back_up(second, "second"), images=[second], adds=True)
    dump = program.dump(second, "second")
    # Whoever writes past the page cache would begin cold where others begin warm.
    trial.measure(RESTORE, program, dump, images=program.files(), adds=False)
    if check:
        check_dump(dump, program.environment, second)
    if "reads" in trial.chosen:
        measure_reads(trial, program, second)
    if with_idle and isinstance(program, Holdfast):
        _run_idle(trial, program, IDLE)
    if "memory" in trial.chosen and isinstance(program, Holdfast):
        _run_upkeep(trial, program)


def _run_changed(trial: Trial, program: Holdfast, *, check: bool) -> None:
    """The second generation by a list of changes, in a copy of the store."""
    second = trial.corpus.second
    clone = program.clone(program.place / "clone")
    argv = clone.back_up_changed(second, trial.changed_list)
    trial.measure(CHANGED, clone, argv, images=[second], adds=True)
    if check:
        check_dump(clone.dump(second, "second"), clone.environment, second)
    shutil.rmtree(clone.place)


def _run_idle_first(trial: Trial, program: Holdfast) -> None:
    clone = program.clone(program.place / "idle")
    _run_idle(trial, clone, IDLE_FIRST)
    shutil.rmtree(clone.place)


def _run_idle(trial: Trial, program: Holdfast, row: str) -> None:
    """Re-compress, then collect what that made superfluous; the bytes are those of the store."""
    if not program.offers("recompress"):
        trial.facts["idle pass"] = "this version has no 'recompress'"
        return
    sample = trial.measure(row, program, [*program.command, "recompress"], adds=False)
    trial.measure(f"{row}, collect", program, [*program.command, "collect"], adds=False)
    sample["stored_bytes"] = program.stored_bytes() - trial.empty_bytes[program.name]


def _run_upkeep(trial: Trial, program: Holdfast) -> None:
    """What keeps the store in order; last, because it removes the first point."""
    oldest = program.oldest_point()
    trial.measure(VERIFY, program, [*program.command, "verify"], adds=False)
    trial.measure(FORGET, program, [*program.command, "forget", oldest, "--now"], adds=False)
    trial.measure(COLLECT, program, [*program.command, "collect"], adds=True)
