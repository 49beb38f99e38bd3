"""A store with three points, made once for all tests and copied for each damage."""

from __future__ import annotations

import shutil
from copy import copy
from pathlib import Path

from tests.command import Holdfast, HoldfastHere
from tests.crash.operations import container_files, open_store, settle_index
from tests.images import edited, mixed_image, write_image


class Shop:
    """A store with two generations of machine `m`, and a machine that shares nothing with it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._open(folder)
        self.holdfast("init", "--recovery-out", folder / "key", expect=0)
        first = mixed_image(seed, 10)
        self.images = [first, edited(seed, first, edits=6), mixed_image(seed + 1, 6)]
        self.points: list[str] = []
        self._fresh: list[list[str]] = []
        for number, machine in enumerate(["m", "m", "other"]):
            before = container_files(self.state)
            self.points.append(self.back_up(number, machine))
            fresh = container_files(self.state) - before
            self._fresh.append(sorted(path.name for path in fresh))
        settle_index(self.state)
        (self.state / "store" / "reserve").unlink()  # the largest file, and of no interest

    def _open(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        self.holdfast: Holdfast = HoldfastHere(self.state)

    def copy(self, folder: Path) -> Shop:
        """The same shop elsewhere, to damage."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        other = copy(self)
        other._open(folder)
        return other

    def back_up(self, number: int, machine: str) -> str:
        path = write_image(self.folder / "disk.raw", self.images[number])
        made = self.holdfast("--json", "backup", path, "--machine", machine, expect=0).json()
        return str(made["name"])

    def containers(self, number: int, kind: int) -> list[Path]:
        """The containers of a kind that backup `number` added, the largest first."""
        store = open_store(self.state)
        names = [bytes.fromhex(name) for name in self._fresh[number]]
        found = [
            store.layout.container(name)
            for name in names
            if store.containers.get(name).directory.kind == kind
        ]
        return sorted(found, key=lambda path: -path.stat().st_size)

    def check(self, name: str, number: int) -> None:
        restored = self.holdfast("restore", name, "-", expect=0).stdout
        assert restored == self.images[number], f"{name} is not what was backed up"

    def check_all(self) -> None:
        for number, name in enumerate(self.points):
            self.check(name, number)
