"""The parsers in C meet ten times as many mutants as `make test` gives them."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.command import ROOT

MUTATIONS = 1_000_000


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("parser", ["directories", "frames", "runs", "disks"])
def test_a_million_mutants_are_survived_under_sanitizers(parser: str, seed: int) -> None:
    subprocess.run(["make", "-s", "-C", "native", "build/tests"], cwd=ROOT, check=True)
    environment = {**os.environ, "HF_FUZZ_COUNT": str(MUTATIONS), "HF_FUZZ_SEED": str(seed)}
    ran = subprocess.run(
        ["native/build/tests", f"fuzz: mutated {parser}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    assert "1 tests passed" in ran.stdout
