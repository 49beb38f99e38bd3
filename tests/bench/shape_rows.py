"""Rows of the XFS disk and of the database: both generations, seconds and bytes.

Owns: those rows. Never does: build what is measured.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from appliance.base.errors import HoldfastError
from tests.bench.corpus import Corpus
from tests.bench.images import check_dump
from tests.bench.shapes import provide_shapes
from tests.bench.trial import Trial


def build_shapes() -> list[Corpus]:
    """Find them, or build them in a process of its own, which may mount."""
    if subprocess.run([sys.executable, "-m", "tests.bench.shapes"], check=False).returncode != 0:
        raise HoldfastError("the XFS disk or the database could not be built: see above")
    return provide_shapes()


def run_shape_rows(trial: Trial, number: int) -> None:
    """Both generations of both shapes with every program."""
    for shape in build_shapes():
        for kind in trial.programs:
            place = trial.place / f"{shape.name}-{kind.name}"
            place.mkdir()
            try:
                program = kind(place)
                trial.prepare(program)
                for label, image in (("first", shape.first), ("second", shape.second)):
                    argv = program.back_up(image, label)
                    trial.measure(
                        f"{shape.name}, {label}", program, argv, images=[image], adds=True
                    )
                if number == 0:
                    dump = program.dump(shape.second, "second")
                    check_dump(dump, program.environment, shape.second)
            finally:
                shutil.rmtree(place)
