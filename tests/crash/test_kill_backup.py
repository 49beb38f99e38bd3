"""kill -9 at any moment of a backup: nothing to repair, nothing lost, no half point."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.command import Holdfast
from tests.images import edited, mixed_image, write_image

SIZE_MIB = 48


class Victim:
    """A store with one good point, and two images to back up and be killed at."""

    def __init__(self, directory: Path, state: Path, seed: int) -> None:
        self.holdfast = Holdfast(state)
        self.first = mixed_image(seed, SIZE_MIB)
        self.second = edited(seed + 1, self.first)
        self.images = {
            "old": write_image(directory / "first.raw", self.first),
            "new": write_image(directory / "second.raw", self.second),
            "full": write_image(directory / "other.raw", mixed_image(seed + 2, SIZE_MIB)),
        }
        self.holdfast("init", "--recovery-out", directory / "key", expect=0)
        made = self.holdfast("--json", "backup", self.images["old"], "--machine", "m", expect=0)
        self.good = str(made.json()["name"])

    def duration_s(self) -> float:
        began_s = time.monotonic()
        self.holdfast("backup", self.images["full"], "--machine", "timing", expect=0)
        return time.monotonic() - began_s

    def kill_once(self, image: str, machine: str, after_s: float) -> None:
        known = self.names()
        process = self.holdfast.start("--json", "backup", self.images[image], "--machine", machine)
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        made = self.names() - known
        assert len(made) <= 1
        for name in made:  # the kill came after the point was written: then it is whole
            self.check(name, image)
        self.check(self.good, "old")

    def names(self) -> set[str]:
        listed = self.holdfast("--json", "points", expect=0).json()["points"]
        assert all(point["state"] == "complete" for point in listed)
        return {point["name"] for point in listed}

    def check(self, name: str, image: str) -> None:
        assert (
            self.holdfast("restore", name, "-", expect=0).stdout == self.images[image].read_bytes()
        )


def kill_rounds(directory: Path, state: Path, seed: int, rounds: int) -> None:
    victim = Victim(directory, state, seed)
    duration_s = victim.duration_s()
    chooser = random.Random(seed)
    for number in range(rounds):
        image, machine = ("full", f"fresh{number}") if number % 2 else ("new", "m")
        victim.kill_once(image, machine, chooser.uniform(0.05, duration_s * 1.05))
    made = victim.holdfast(
        "--json", "backup", victim.images["new"], "--machine", "m", expect=0
    ).json()
    victim.check(made["name"], "new")
    victim.holdfast("collect", expect=0)
    assert victim.holdfast("--json", "verify", expect=0).json()["sound"] is True
    victim.check(victim.good, "old")
    assert not list((state / "store" / "incoming").iterdir())


def test_kill_at_forty_moments(tmp_path: Path, state: Path, seed: int) -> None:
    kill_rounds(tmp_path, state, seed, 40)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_kill_at_many_more_moments(tmp_path: Path, state: Path, seed: int, part: int) -> None:
    kill_rounds(tmp_path, state, seed + 1000 + part, 40)
