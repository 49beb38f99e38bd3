"""kill -9 at any moment of any operation, one or two at a time: nothing to repair or lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import Holdfast
from tests.conftest import find_mounts
from tests.crash.story import restore_all
from tests.images import MIB, mixed_image, write_image

SIZE_MIB = 6
FAST_ROUNDS = 40
SLOW_ROUNDS = 500
SLOW_PARTS = 10
# Every so many rounds, and at the end, the store is collected and verified from top to bottom.
THOROUGH_EVERY = 20
LIFE_MAX_S = 5.0
NOT_FOUND = 5


@dataclass
class Running:
    """An operation on its way, and what it may mean for the points."""

    process: subprocess.Popen[bytes]
    operation: str
    image: bytes = b""
    forgets: str = ""
    target: Path | None = None
    wanted: bytes = b""
    out: bytes = b""
    err: bytes = b""

    def wait_or_kill(self, until_s: float) -> None:
        """Let it end by itself until then; kill it otherwise."""
        try:
            self.process.wait(max(0.0, until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)

    @property
    def is_done(self) -> bool:
        """Whether it ended well."""
        return self.process.returncode == 0


class Victim:
    """A store, what it owes, and operations on it that are killed."""

    def __init__(self, folder: Path, state: Path, seed: int) -> None:
        self.folder = folder
        self.holdfast = Holdfast(state)
        self.state = state
        self.chooser = random.Random(seed)
        self.image = bytes(mixed_image(seed, SIZE_MIB))
        self.owed: dict[str, bytes] = {}
        self.kills = 0
        self._number = 0
        self._life_s = dict.fromkeys(OPERATIONS, 1.0)
        self.holdfast("init", "--recovery-out", folder / "key", expect=0)
        for image in (self.image, self._edit(self.image)[0]):
            path = write_image(folder / "first.raw", bytearray(image))
            made = self.holdfast("--json", "backup", path, "--machine", "m", expect=0).json()
            self.owed[made["name"]] = image

    # ---- operations ----

    def _start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        return self.holdfast.start("--json", *arguments)

    def _fresh_path(self, what: str) -> Path:
        self._number += 1
        return self.folder / f"{what}{self._number}"

    def _edit(self, image: bytes) -> tuple[bytes, list[tuple[int, int]]]:
        """The image with some ranges changed, and the ranges."""
        copy, ranges = bytearray(image), []
        for _ in range(self.chooser.randrange(1, 8)):
            at, length = self.chooser.randrange(len(copy) - MIB), self.chooser.randrange(1, 90_000)
            copy[at : at + length] = self.chooser.randbytes(length)
            ranges.append((at, length))
        return bytes(copy), ranges

    def _back_up(self, operation: str, image: bytes, *options: str | Path) -> Running:
        path = write_image(self._fresh_path("disk"), bytearray(image))
        return Running(self._start("backup", path, *options), operation, image=image)

    def _newest(self) -> str | None:
        names = [name for name in self.owed if name.startswith("m@")]
        return max(names, default=None)

    def back_up_first(self) -> Running:
        """A machine that was never seen before."""
        self._number += 1
        image = bytes(mixed_image(self.chooser.randrange(1 << 30), SIZE_MIB))
        return self._back_up("first", image, "--machine", f"f{self._number}")

    def back_up_second(self) -> Running:
        """The next generation of a machine."""
        return self._back_up("second", self._edit(self.image)[0], "--machine", "m")

    def back_up_changed(self) -> Running:
        """The next generation, by a list of what changed."""
        base = self._newest()
        if base is None:
            return self.back_up_second()
        image, ranges = self._edit(self.owed[base])
        listed = self._fresh_path("changed")
        listed.write_text("".join(f"{at} {length}\n" for at, length in ranges))
        options = ("--machine", "m", "--base", base, "--changed", listed)
        return self._back_up("changed", image, *options)

    def forget(self) -> Running:
        """One of the points, unless they become few."""
        if len(self.owed) < 3:
            return self.back_up_first()
        name = self.chooser.choice(list(self.owed))
        process = self._start("forget", name, "--now")
        return Running(process, "forget", forgets=name)

    def restore(self) -> Running:
        """One of the points into a file."""
        name = self.chooser.choice(list(self.owed))
        target = self._fresh_path("restored")
        process = self._start("restore", name, target)
        return Running(process, "restore", target=target, wanted=self.owed[name])

    def mount(self) -> Running:
        """All points as files; ends only by being killed."""
        folder = self._fresh_path("mount")
        folder.mkdir()
        return Running(self._start("mount", folder, "--foreground"), "mount")

    def plain(self, operation: str, *options: str) -> Running:
        """A command without anything special."""
        return Running(self._start(operation, *options), operation)

    # ---- rounds ----

    def play_round(self) -> None:
        """One or two operations, each killed somewhere or not; then all that is owed restores."""
        names = self.chooser.sample(list(OPERATIONS), self.chooser.choice([1, 2]))
        began_s = time.monotonic()
        running = [OPERATIONS[name](self) for name in names]
        lives_s = {
            id(one): self.chooser.uniform(0.1, self._life_s[one.operation] * 1.5) for one in running
        }
        for one in sorted(running, key=lambda one: lives_s[id(one)]):
            one.wait_or_kill(began_s + lives_s[id(one)])
        for one in running:
            one.out, one.err = one.process.communicate()
            killed = one.process.returncode == -signal.SIGKILL
            self.kills += killed
            self._adapt(one.operation, killed=killed)
            assert killed or one.process.returncode in self._codes(one, running), one.err
            self._check_output(one)
        self._settle(running)

    def _adapt(self, operation: str, *, killed: bool) -> None:
        """Lives become such that about as many end by themselves as are killed, late or early."""
        if operation != "mount":  # which never ends
            life_s = self._life_s[operation] * (1.2 if killed else 0.8)
            self._life_s[operation] = min(life_s, LIFE_MAX_S)

    @staticmethod
    def _codes(one: Running, running: list[Running]) -> set[int]:
        beside_forget = any(other.forgets for other in running)
        return {0, NOT_FOUND} if beside_forget else {0}

    @staticmethod
    def _check_output(one: Running) -> None:
        assert b"Traceback" not in one.err, one.err
        if one.operation == "restore" and one.is_done:
            assert one.target is not None
            assert one.target.read_bytes() == one.wanted
        if one.operation == "verify" and one.is_done:
            assert json.loads(one.out)["sound"] is True

    def _settle(self, running: list[Running]) -> None:
        """Compare what is there with what was owed and what may have been done."""
        found = {name: disks[0] for name, disks in restore_all(self.state).items()}
        for one in running:
            if one.forgets:
                assert not (one.is_done and one.forgets in found), "a forgotten point is back"
                if one.forgets not in found:
                    del self.owed[one.forgets]
        for name, image in self.owed.items():
            assert found.get(name) == image, f"{name} was acknowledged"
        fresh = found.keys() - self.owed.keys()
        for one in running:
            if one.image and one.is_done:
                assert json.loads(one.out)["name"] in fresh
        images = [one.image for one in running if one.image]
        for name in fresh:
            images.remove(found[name])  # each backup made one point at most, and a whole one
            self.owed[name] = found[name]

    def examine(self) -> None:
        """Every command works, and everything half made is cleared up."""
        listed = self.holdfast("--json", "points", expect=0).json()["points"]
        assert {point["name"] for point in listed} == self.owed.keys()
        assert all(point["state"] == "complete" for point in listed)
        assert not find_mounts(self.folder), "a killed mount is still there"
        path = write_image(self.folder / "next.raw", bytearray(self.image))
        made = self.holdfast("--json", "backup", path, "--machine", "m", expect=0).json()
        self.owed[made["name"]] = self.image
        self.holdfast("collect", expect=0)
        report = self.holdfast("--json", "verify", "--depth", "full", expect=0).json()
        assert report["sound"] is True
        found = {name: disks[0] for name, disks in restore_all(self.state).items()}
        assert found == self.owed
        for left in ("incoming", "quarantine"):
            assert not os.listdir(self.state / "store" / left)


OPERATIONS: dict[str, Callable[[Victim], Running]] = {
    "first": Victim.back_up_first,
    "second": Victim.back_up_second,
    "changed": Victim.back_up_changed,
    "forget": Victim.forget,
    "collect": lambda victim: victim.plain("collect"),
    "restore": Victim.restore,
    "mount": Victim.mount,
    "verify": lambda victim: victim.plain("verify", "--depth", "full"),
    "points": lambda victim: victim.plain("points"),
}


def kill_rounds(folder: Path, state: Path, seed: int, rounds: int) -> None:
    began_s = time.monotonic()
    victim = Victim(folder, state, seed)
    for number in range(1, rounds + 1):
        victim.play_round()
        if number % THOROUGH_EVERY == 0 or number == rounds:
            victim.examine()
    seconds = time.monotonic() - began_s
    print(f"{rounds} rounds, {victim.kills} kills in {seconds:.0f} s, seed {seed}")
    assert victim.kills >= rounds // 4
    victim.holdfast.close()


@pytest.mark.timeout(1800)  # a minute or two where nobody else is at work
def test_forty_rounds_of_kills(tmp_path: Path, state: Path, seed: int) -> None:
    kill_rounds(tmp_path, state, seed, FAST_ROUNDS)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(SLOW_PARTS))
def test_five_hundred_rounds_of_kills(tmp_path: Path, state: Path, seed: int, part: int) -> None:
    kill_rounds(tmp_path, state, seed + 1000 + part, SLOW_ROUNDS // SLOW_PARTS)
