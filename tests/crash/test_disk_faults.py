"""A disk that fails, lies or hangs at any call: a clear word or success, and promises kept.

What is not covered: a disk that hangs holds up the command for as long as it hangs, whatever
signals say, because the kernel lets nobody go; and an index run is mapped, so that only its mapping
can fail here (tests/corrupt spoils its bytes).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import ROOT, Holdfast
from tests.images import mixed_image, write_image

SOURCE = Path(__file__).with_name("faulty_disk.c")
FAST_CASES = 600
SLOW_PARTS = 12
HANG_S = 4.0
PATIENCE_S = 1800.0  # a minute or two where nobody else is at work


@pytest.fixture(scope="module")
def faulty_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library to preload."""
    library = tmp_path_factory.mktemp("faulty") / "faulty_disk.so"
    argv = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*argv, "-o", library, SOURCE, "-ldl"], check=True)
    return library


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="holdfast-", dir=memory if memory.is_dir() else None))
    yield path
    shutil.rmtree(path)


def run_cases(
    library: Path, folder: Path, seed: int, *, count: int = 0, part: int = 0, parts: int = 1
) -> int:
    """Let cases run in a process of their own; gives how many did."""
    numbers = map(str, (seed, count, part, parts))
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.disk_faults", folder, *numbers],
        env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    summary = json.loads(done.stdout.splitlines()[-1])
    return int(summary["run"])


@pytest.mark.timeout(PATIENCE_S + 60)
def test_faults_at_calls_of_all_kinds(faulty_disk: Path, folder: Path, seed: int) -> None:
    assert run_cases(faulty_disk, folder, seed, count=FAST_CASES) == FAST_CASES


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S + 60)
@pytest.mark.parametrize("part", range(SLOW_PARTS))
def test_every_fault_at_every_call(faulty_disk: Path, folder: Path, seed: int, part: int) -> None:
    assert run_cases(faulty_disk, folder, seed, part=part, parts=SLOW_PARTS) > FAST_CASES // 2


STUBBORN = """
import os, sys
from tests.crash import disk_faults

sync = os.fsync

def sync_again(descriptor):
    try:
        sync(descriptor)
    except OSError:
        sync(descriptor)

os.fsync = sync_again
sys.exit(disk_faults.main([sys.argv[1], "1", "40", "0", "1", "sync"]) > 0)
"""


def test_a_program_that_syncs_again_after_a_failure_is_caught(
    faulty_disk: Path, folder: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STUBBORN, folder],
        env={**os.environ, "LD_PRELOAD": str(faulty_disk), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "a descriptor was synced again" in done.stdout


def test_a_disk_that_hangs_and_comes_back_costs_the_time_only(
    tmp_path: Path, state: Path, holdfast: Holdfast, faulty_disk: Path, seed: int
) -> None:
    """Cancelled meanwhile, a backup ends when the disk lets go, with nothing half made."""
    holdfast("init", "--recovery-out", tmp_path / "key", expect=0)
    image = write_image(tmp_path / "disk.raw", mixed_image(seed, 8))
    environment = {
        "LD_PRELOAD": str(faulty_disk),
        "HOLDFAST_FAULT_HANG_MS": str(int(HANG_S * 1000)),
        "HOLDFAST_FAULT_TOP": str(state / "store" / "incoming"),
    }
    process = holdfast.start("backup", image, "--machine", "m", environment=environment)
    began_s = time.monotonic()
    while not list((state / "store" / "incoming").iterdir()):
        assert process.poll() is None, "it ended before it wrote anything"
        assert time.monotonic() - began_s < 120
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert b"cancelled" in said
    assert holdfast("--json", "points", expect=0).json()["points"] == []
    made = holdfast("--json", "backup", image, "--machine", "m", expect=0).json()
    assert holdfast("restore", made["name"], "-", expect=0).stdout == image.read_bytes()
    assert not list((state / "store" / "incoming").iterdir())
