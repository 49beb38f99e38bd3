"""Rows of the same disk at three sizes: what grows with it, and how fast.

Owns: the beginnings of both generations as disks of their own, and the rows made of them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.bench.images import copy_slice, write_changed_list
from tests.bench.programs import Holdfast
from tests.bench.trial import Trial

FULL = "growth, first full"
CHANGED = "growth, changed list"
USED = "bytes_to_read"
"""In a sample: used bytes of the disk, or bytes on the list of changes."""
SHARES = (8, 2, 1)
"""An eighth, a half and the whole of the corpus' disk: 1, 4 and 8 GiB of the full one."""


def run_growth_rows(trial: Trial, number: int) -> None:
    """First full and a list of changes at each size, in the first run only."""
    if number:
        return
    size_bytes = trial.corpus.first.stat().st_size
    for share in SHARES:
        place = trial.place / "growth"
        place.mkdir()
        try:
            _run_size(trial, place, size_bytes // share)
        finally:
            shutil.rmtree(place)


def _run_size(trial: Trial, place: Path, size_bytes: int) -> None:
    first, second = (
        _cut(disk, place / f"{disk.stem}.raw", size_bytes)
        for disk in (trial.corpus.first, trial.corpus.second)
    )
    changed = place / "changed.txt"
    changed_bytes = write_changed_list(first, second, changed)
    shown = f"{size_bytes / (1 << 30):g} GiB"
    program = Holdfast(place)
    trial.prepare(program)
    argv = program.back_up(first, "first")
    sample = trial.measure(f"{FULL}, {shown}", program, argv, images=[first], adds=True)
    sample[USED] = first.stat().st_blocks * 512
    argv = program.back_up_changed(second, changed)
    sample = trial.measure(f"{CHANGED}, {shown}", program, argv, images=[second], adds=True)
    sample[USED] = changed_bytes


def _cut(disk: Path, target: Path, size_bytes: int) -> Path:
    """The first `size_bytes` of `disk` as a file; the whole disk is itself."""
    if size_bytes == disk.stat().st_size:
        return disk
    copy_slice(disk, target, 0, size_bytes)
    return target
