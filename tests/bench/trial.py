"""One bench under way: where it works, what it measured so far.

Owns: the samples, row by row, and measuring one command fairly. Never does: decide which rows.
Before each measured command its image is read into the page cache and dirty pages are flushed.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from image.workbench import say
from tests.bench.corpus import Corpus
from tests.bench.cost import Argv, Cost, measure
from tests.bench.images import warm
from tests.bench.programs import Program

Sample = dict[str, float]
Rows = dict[str, dict[str, Sample]]
STAGE = "stage "
"""Prefix of the figures `backup --json` gives per stage, in seconds summed over threads."""


@dataclass
class Trial:
    """The corpus, the work directory, and the samples: row -> program -> one per run."""

    corpus: Corpus
    programs: list[type[Program]]
    place: Path
    changed_list: Path
    changed_bytes: int
    quick: bool
    chosen: frozenset[str]
    runs: int
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    empty_bytes: dict[str, int] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """What the measured programs complain."""
        return self.place / "complaints.log"

    def record(self, row: str, name: str, sample: Sample) -> None:
        """Add one sample, and say its seconds or its rate."""
        self.samples.setdefault(row, {}).setdefault(name, []).append(sample)
        shown = [
            f"{sample[key]:.{digits}f} {unit}"
            for key, digits, unit in (("seconds", 2, "s"), ("reads_s", 0, "reads/s"))
            if key in sample
        ]
        say(f"{name}: {row}: {', '.join(shown)}")

    def prepare(self, program: Program) -> None:
        """Make the empty repository of `program`, and remember how large that is."""
        measure(program.create(), program.environment, self.log)
        self.empty_bytes[program.name] = program.stored_bytes()

    def measure(
        self, row: str, program: Program, argv: Argv, *, images: Sequence[Path] = (), adds: bool
    ) -> Sample:
        """Run one command of `program` alone and record it; `adds`: with the bytes it stored."""
        for image in images:
            warm(image)
        os.sync()
        before_bytes = program.stored_bytes()
        said = self.place / "said.json"
        cost = measure(argv, program.environment, self.log, said if "--json" in argv else None)
        sample = as_sample(cost)
        if adds:
            sample["stored_bytes"] = program.stored_bytes() - before_bytes
        if "--json" in argv:
            sample |= self._read_stages(said)
        self.record(row, program.name, sample)
        return sample

    def _read_stages(self, said: Path) -> Sample:
        """Seconds per stage of what `backup --json` said; which kernels ran becomes a fact."""
        answer = json.loads(said.read_bytes())
        if "kernels" in answer:
            self.facts["kernels"] = answer["kernels"]
        stages = answer.get("stages_ns", {})
        return {STAGE + key.removesuffix("_ns"): value / 1e9 for key, value in stages.items()}

    def take_medians(self) -> Rows:
        """The samples with one median per figure instead of a list."""
        return {
            row: {name: _take_median(samples) for name, samples in programs.items()}
            for row, programs in self.samples.items()
        }


def as_sample(cost: Cost) -> Sample:
    """The figures of one cost."""
    return {**asdict(cost), "cpu_s": cost.cpu_s}


def _take_median(samples: Sequence[Sample]) -> Sample:
    return {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}
