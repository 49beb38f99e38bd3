"""The Python door to the C library: what happens where it does not fit, and the choice of kernels.

What kernels compute does not depend on that choice.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.base.errors import HoldfastError
from appliance.native import EXTENT_BYTES, kernels
from appliance.native.library import Library, lib
from tests.command import HoldfastHere

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
    done = subprocess.run(argv, env=environment, capture_output=True, check=True, timeout=300)
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


@pytest.fixture
def other_library(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Lets the command meet another file in the place of the C library."""

    def put(path: Path) -> None:
        monkeypatch.setattr(lib, "__dict__", vars(Library(path)))

    return put


@pytest.mark.parametrize(
    "words", [("backup", "disk.raw", "--machine", "m"), ("serve", "--port", "0")]
)
def test_a_library_of_another_version_is_one_line_with_the_way_out(
    tmp_path: Path,
    other_library: Callable[[Path], None],
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    older = tmp_path / "libholdfast.so"
    older.symlink_to(_foreign())
    monkeypatch.chdir(tmp_path)
    Path("disk.raw").write_bytes(bytes(4096))
    holdfast = HoldfastHere(tmp_path / "state")
    holdfast("init", expect=0)
    other_library(older)
    assert holdfast(*words, expect=1).err == (
        f"holdfast: {older} is of another version than this program: run 'make -C native'\n"
    )


def test_a_library_that_is_missing_or_none_is_one_line_with_the_way_out(
    tmp_path: Path, other_library: Callable[[Path], None]
) -> None:
    holdfast = HoldfastHere(tmp_path / "state")
    holdfast("init", expect=0)
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(4096))
    other_library(tmp_path / "libholdfast.so")
    said = [holdfast("backup", disk, "--machine", "m", expect=1).err]
    (tmp_path / "libholdfast.so").write_bytes(b"\x7fELF, but cut off")
    said.append(holdfast("backup", disk, "--machine", "m", expect=1).err)
    for line in said:
        assert line.endswith("run 'make setup'\n")
        assert "libholdfast.so cannot be loaded" in line
        assert line.count("\n") == 1


def test_what_the_library_does_not_have_is_no_function_of_it() -> None:
    with pytest.raises(AttributeError, match="hf_unknown"):
        _ = lib.hf_unknown
    with pytest.raises(HoldfastError, match="another version"):
        _ = Library(Path(_foreign())).hf_cut


def _foreign() -> str:
    """A library of the system that is certainly not ours."""
    with Path("/proc/self/maps").open() as maps:
        return next(line.split()[-1] for line in maps if "/libc.so" in line or "/libc-" in line)
