"""Fixtures of all tests: a state, the command on it, a seed, and a watch for what is left over."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

from tests.command import Holdfast

_OCTAL = re.compile(r"\\([0-7]{3})")  # how the kernel writes spaces in /proc/self/mountinfo
SEED = int(os.environ.get("HOLDFAST_TEST_SEED") or secrets.randbits(32))
# How long an example takes says how busy the machine is, and no more. Every run tries the same
# examples, unless somebody asks for others.
settings.register_profile(
    "holdfast",
    deadline=None,
    derandomize=os.environ.get("HOLDFAST_TEST_EXAMPLES") != "new",
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("holdfast")


def pytest_report_header() -> str:
    """Say how this run can be repeated."""
    return f"seed: HOLDFAST_TEST_SEED={SEED}"


@pytest.fixture
def seed() -> int:
    """The seed of this run; a failing test shows it."""
    print(f"HOLDFAST_TEST_SEED={SEED}")
    return SEED


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where STATE will be; nothing is there yet."""
    return tmp_path / "state"


@pytest.fixture
def holdfast(state: Path) -> Iterator[Holdfast]:
    """Call `holdfast --state STATE ...` in a process of its own."""
    command = Holdfast(state)
    yield command
    command.close()


@pytest.fixture(scope="session", autouse=True)
def nothing_left_over(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the run, and clear up, when a mount or a process of the tests outlives them."""
    directory = tmp_path_factory.getbasetemp().resolve()
    yield
    processes = find_processes(directory)
    mounts = find_mounts(directory)
    left = [f"{process.pid} {' '.join(process.cmdline())[:200]}" for process in processes]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=10)
    for mount in mounts:
        subprocess.run(["umount", "--lazy", mount], check=False)
    assert not left + mounts, f"left over by a test: {left + mounts}"


def find_mounts(directory: Path) -> list[str]:
    """Mount points below `directory`, innermost first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [_OCTAL.sub(lambda octal: chr(int(octal[1], 8)), line.split()[4]) for line in lines]
    return sorted((point for point in points if point.startswith(f"{directory}/")), reverse=True)


def find_processes(directory: Path) -> list[psutil.Process]:
    """Living processes, VMs among them, whose command line names something below `directory`."""
    found = []
    for process in psutil.process_iter():
        try:
            named = any(f"{directory}/" in word for word in process.cmdline())
            if named and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found
