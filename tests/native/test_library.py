"""The choice of kernels through the Python door: what they compute does not depend on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from appliance.native import EXTENT_BYTES, kernels

# One extent of noise, runs and periods: its cuts, its chunk ids, its tag.
PROGRAM = """
import json, random, sys
from appliance.native import EXTENT_BYTES, Batch, Index, cut, kernels
from tests.native.containers import CUT_KEY, open_ingester, open_writer

chance = random.Random(int(sys.argv[1]))
data = bytearray()
while len(data) < EXTENT_BYTES:
    size = chance.randrange(1, 400_000)
    kind = chance.randrange(3)
    if kind == 0:
        data += chance.randbytes(size)
    else:
        period = chance.randbytes(1 if kind == 1 else chance.randrange(2, 300))
        data += period * (size // len(period))
del data[EXTENT_BYTES - chance.randrange(1000) :]
index, batch = Index(), Batch(1)
batch.buffer[: len(data)] = data
batch.add(0, len(data), None)
[extent] = batch.ingest(open_ingester(index), open_writer(index), 0)
print(json.dumps({
    "kernels": kernels(),
    "ends": list(cut(CUT_KEY, bytes(data))),
    "ids": [ref.chunk_id.hex() for ref in extent.refs],
    "tag": extent.tag.hex(),
}))
"""


def results_with(names: str, seed: int) -> dict[str, Any]:
    argv = [sys.executable, "-c", PROGRAM, str(seed)]
    environment = {**os.environ, "HOLDFAST_KERNELS": names}
    done = subprocess.run(argv, env=environment, capture_output=True, check=True, timeout=60)
    results: dict[str, Any] = json.loads(done.stdout)
    return results


@pytest.mark.parametrize("variation", range(3))
def test_every_kernel_gives_what_the_scalar_code_gives(seed: int, variation: int) -> None:
    scalar = results_with("scalar", seed + variation)
    assert scalar["kernels"] == "scalar"
    assert scalar["ends"][-1] > EXTENT_BYTES - 1000
    assert len(scalar["ids"]) == len(scalar["ends"])
    everything = results_with("", seed + variation)
    available = [name for name in everything["kernels"].split(",") if name != "scalar"]
    for results in [everything, *(results_with(name, seed + variation) for name in available)]:
        assert {**results, "kernels": "scalar"} == scalar


def test_the_environment_variable_holds_the_choice_to_its_names(seed: int) -> None:
    available = results_with("", seed)["kernels"]
    assert "wrong" not in available
    for name in available.split(","):
        assert results_with(f"no-such-kernel,{name}", seed)["kernels"] == name
    assert results_with("no-such-kernel", seed)["kernels"] == "scalar"


def test_the_kernels_in_use_have_names() -> None:
    assert kernels()
