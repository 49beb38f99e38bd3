"""Rows of several commands at once: eight backups into one store, a backup beside collection.

Owns: slices of the corpus' disks as disks of machines, and the rows made of them. Only holdfast
is measured: each row is compared with its own quiet one.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from appliance.base.errors import HoldfastError
from tests.bench.cost import Cost, Running, measure
from tests.bench.images import copy_slice, warm
from tests.bench.programs import Holdfast
from tests.bench.trial import Sample, Trial, as_sample

ONE = "8 slices, one backup"
EIGHT = "8 slices, 8 backups at once"
QUIET = "backup, quiet"
BESIDE = "backup beside collection"
SLICES = 8
_SLICE_MAX_BYTES = 512 << 20
RATE = "used_bytes_s"


def run_stream_rows(trial: Trial, number: int) -> None:
    """The same bytes by one backup of eight disks and by eight backups at once."""
    slices = provide_slices(trial)
    with _fresh_store(trial, "one") as program:
        argv = program.back_up_as("one", *slices)
        _add_rate(trial.measure(ONE, program, argv, images=slices, adds=True), slices)
    with _fresh_store(trial, "eight") as program:
        for image in slices:
            warm(image)
        os.sync()
        began_s = time.monotonic()
        running = [
            Running(program.back_up_as(f"machine{place}", image), {}, trial.log)
            for place, image in enumerate(slices)
        ]
        try:
            costs = [command.wait() for command in running]
        finally:
            for command in running:
                command.stop()
        sample = _add_costs(costs, time.monotonic() - began_s)
        sample["stored_bytes"] = program.stored_bytes() - trial.empty_bytes[program.name]
        trial.record(EIGHT, program.name, _add_rate(sample, slices))


def run_beside_rows(trial: Trial, number: int) -> None:
    """A backup of new data alone, and the same while half of the store's points are collected."""
    slices = provide_slices(trial)
    # The other half of the same disk: what the store keeps is not what arrives.
    newcomers, settled = slices[1::2], slices[0::2]
    with _fresh_store(trial, "beside") as program:
        for place, image in enumerate(settled):
            measure(program.back_up_as(f"machine{place}", image), {}, trial.log)
        for place in range(len(settled) // 2):
            forgotten = f"machine{place}@latest"
            measure([*program.command, "forget", forgotten, "--now"], {}, trial.log)
        clone = program.clone(program.place / "clone")
        _back_up_newcomers(trial, QUIET, clone, newcomers)
        shutil.rmtree(clone.place)
        with _Collecting(trial, program) as collecting:
            _back_up_newcomers(trial, BESIDE, program, newcomers)
        seen = trial.facts.setdefault("collections beside one backup", [])
        seen.append(collecting.done)


def provide_slices(trial: Trial) -> list[Path]:
    """Eight stretches of the first disk, spread evenly over it, as files."""
    disk = trial.corpus.first
    distance = disk.stat().st_size // SLICES
    slices = []
    for place in range(SLICES):
        target = trial.place / f"slice{place}.raw"
        if not target.exists():
            copy_slice(disk, target, place * distance, min(distance, _SLICE_MAX_BYTES))
        slices.append(target)
    return slices


def _back_up_newcomers(
    trial: Trial, row: str, program: Holdfast, newcomers: Sequence[Path]
) -> None:
    for image in newcomers:
        warm(image)
    argv = program.back_up_as("newcomer", *newcomers)
    _add_rate(trial.measure(row, program, argv, adds=False), newcomers)


class _Collecting:
    """Collections one after the other in a thread, from enter to exit."""

    def __init__(self, trial: Trial, program: Holdfast) -> None:
        self.done = 0
        self._argv = [*program.command, "collect"]
        self._log = trial.log
        self._ended = threading.Event()
        self._failure: HoldfastError | None = None
        self._thread = threading.Thread(target=self._collect)

    def __enter__(self) -> _Collecting:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._failure is not None and kind is None:
            raise self._failure

    def _collect(self) -> None:
        try:
            while not self._ended.is_set():
                measure(self._argv, {}, self._log)
                self.done += 1
        except HoldfastError as error:
            self._failure = error


@contextmanager
def _fresh_store(trial: Trial, name: str) -> Iterator[Holdfast]:
    place = trial.place / name
    place.mkdir()
    try:
        program = Holdfast(place)
        trial.prepare(program)
        yield program
    finally:
        shutil.rmtree(place)


def _add_costs(costs: Sequence[Cost], seconds: float) -> Sample:
    """The cost of commands that ran side by side: sums, and memory as if all peaked at once."""
    samples = [as_sample(cost) for cost in costs]
    total = {key: sum(sample[key] for sample in samples) for key in samples[0]}
    return {**total, "seconds": seconds}


def _add_rate(sample: Sample, images: Sequence[Path]) -> Sample:
    sample[RATE] = sum(image.stat().st_blocks * 512 for image in images) / sample["seconds"]
    return sample
