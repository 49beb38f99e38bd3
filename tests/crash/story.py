"""Operations on a small store, what each promised, and the question whether promises were kept.

Everything goes through the command line, but in the process of the test, so that thousands of
stores can be looked at.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.cli import parser
from appliance.store import layout
from tests.command import call_main
from tests.crash.operations import open_store
from tests.crash.power_cut import Tree

Disks = tuple[bytes, ...]
IGNORED = frozenset({"catalog"})
# Folders of the store that are empty when nobody is at work and nothing was damaged.
EMPTY_AT_REST = ("incoming", "quarantine")
CATALOG_LEFTOVERS = ("whole", "lost", "short", "torn")


@dataclass(frozen=True)
class Promise:
    """What the store owes: points that must be there, and points that may be."""

    required: dict[str, Disks] = field(default_factory=dict)
    optional: dict[str, Disks] = field(default_factory=dict)
    making: Disks | None = None


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    code: int
    out: bytes
    err: str

    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        value: dict[str, Any] = json.loads(self.out)
        return value


def run(state: Path, *arguments: str | Path) -> Answer:
    """One command in this process."""
    code, out, err = call_main(["--state", str(state), *map(str, arguments)])
    return Answer(code, out, err.decode())


def do(state: Path, *arguments: str | Path) -> Answer:
    """As `run`; anything but success fails the test."""
    answer = run(state, *arguments)
    words = " ".join(map(str, arguments))
    assert answer.code == 0, f"holdfast {words}: exit {answer.code}: {answer.err}"
    return answer


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Small and repeatable: work for threads is done where it is asked for, the reserve is little.

    What threads add is the business of the tests that kill real processes.
    """

    def submit(
        pool: ThreadPoolExecutor, function: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **options))
        except BaseException as error:
            future.set_exception(error)
        return future

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ThreadPoolExecutor, "submit", submit)
        patch.setattr(parser, "build", functools.cache(parser.build))
        patch.setattr(layout, "RESERVE_BYTES", 16 << 10)
        patch.setattr(layout, "RESERVE_STEP_BYTES", 4 << 10)
        yield


class Scene:
    """Disks in three generations, and a store with one point of another machine to begin with."""

    def __init__(self, folder: Path, seed: int) -> None:
        chooser = random.Random(seed)
        self.folder = folder
        self.state = folder / "state"
        shared, moved, other = (chooser.randbytes(40 << 10) for _ in range(3))
        text = b" ".join(chooser.choices([b"one", b"two", b"three", b"four"], k=8 << 10))
        first = (shared + text, other)
        second = (shared + chooser.randbytes(9 << 10) + text, other[: 20 << 10] + moved)
        third = (moved + text + chooser.randbytes(5 << 10), shared)
        self.generations: dict[str, Disks] = {
            "old": (shared, moved),
            "first": first,
            "second": second,
            "third": third,
        }
        for name, disks in self.generations.items():
            for number, data in enumerate(disks):
                self._path(name, number).write_bytes(data)
        do(self.state, "init", "--recovery-out", folder / "key")
        for unused in (self.state / "store" / "containers").iterdir():
            unused.rmdir()  # as in a copied store: each is made when it is needed
        made = self.back_up(self.state, "old", "o")
        self.promise = Promise(required={made: self.generations["old"]})

    def _path(self, generation: str, number: int) -> Path:
        return self.folder / f"{generation}{number}.raw"

    def back_up(self, state: Path, generation: str, machine: str) -> str:
        """Make a point of a generation; gives its name."""
        disks = [self._path(generation, number) for number in range(2)]
        made = do(state, "--json", "backup", *disks, "--machine", machine).json()
        return str(made["name"])

    def copy_state(self, to: Path) -> Path:
        """The store as it is in the beginning."""
        return Path(shutil.copytree(self.state, to))


class Story:
    """A sequence of operations on one state; `tell` hears of every change of the promise."""

    def __init__(
        self, scene: Scene, state: Path, tell: Callable[[Promise], None], promise: Promise
    ) -> None:
        self.scene = scene
        self.state = state
        self.promise = promise
        self._tell = tell

    def perform(self, operation: str) -> None:
        """Do one of `OPERATIONS`, and list the points, which fills the catalog."""
        OPERATIONS[operation](self)
        do(self.state, "points")

    def _now(self, **changes: Any) -> None:
        self.promise = replace(self.promise, **changes)
        self._tell(self.promise)

    def _back_up(self, generation: str) -> None:
        disks = self.scene.generations[generation]
        self._now(making=disks)
        name = self.scene.back_up(self.state, generation, "m")
        self._now(required={**self.promise.required, name: disks}, making=None)

    def back_up_first(self) -> None:
        """A backup of the first generation."""
        self._back_up("first")

    def back_up_second(self) -> None:
        """A backup of the second."""
        self._back_up("second")

    def forget(self) -> None:
        """Forget the oldest point, if there is one."""
        if not self.promise.required:
            return
        (name, disks), *rest = self.promise.required.items()
        self._now(required=dict(rest), optional={name: disks})
        do(self.state, "forget", name, "--now")
        self._now(optional={})

    def collect(self) -> None:
        """Free what nothing needs."""
        do(self.state, "collect")

    def recompress(self) -> None:
        """Write everything anew, better compressed."""
        do(self.state, "recompress", "--level", "3")

    def rotate_key(self) -> None:
        """A new box key: the box has to open by itself at every moment."""
        do(self.state, "key", "rotate", "box")


OPERATIONS: dict[str, Callable[[Story], None]] = {
    "backup": Story.back_up_first,
    "second": Story.back_up_second,
    "forget": Story.forget,
    "collect": Story.collect,
    "recompress": Story.recompress,
    "rotate": Story.rotate_key,
}


def rest_a_while(state: Path) -> None:
    """Hours pass: no folder of containers looks as if it had changed a moment ago."""
    for folder in (state / "store" / "containers").iterdir():
        at_ns = folder.stat().st_mtime_ns
        if time.time_ns() - at_ns < 60 * 10**9:
            os.utime(folder, ns=(at_ns - 3600 * 10**9, at_ns - 3600 * 10**9))


def spoil_catalog(state: Path, how: str) -> None:
    """The catalog is derived: whatever a power cut does to it must not matter."""
    path = state / "catalog.db"
    if how == "whole" or not path.exists():
        return
    data = path.read_bytes()
    if how == "lost":
        path.unlink()
    elif how == "short":
        path.write_bytes(data[:4096])
    else:
        path.write_bytes(data[:4096] + bytes(512) + data[4608:])


def fingerprint(tree: Tree, promise: Promise) -> bytes:
    """Equal for states in which the same is there and the same is owed."""
    owed = (sorted(promise.required), sorted(promise.optional), promise.making is None)
    digest = hashlib.sha256(repr(owed).encode())
    for path, number in tree.paths():
        digest.update(f"{path}\0".encode())
        digest.update(hashlib.sha256(tree.files.get(number, b"")).digest())
    return digest.digest()


# ---- are promises kept? -------------------------------------------------------------------------


def restore_all(state: Path) -> dict[str, Disks]:
    """All disks of all points, as a new process would read them."""
    store = open_store(state)
    found = {}
    with store.lease("reader") as lease:
        for file in store.points.files():
            name = store.points.read(file).name
            manifest = store.open_point(name, lease)
            readers = [store.disk_reader(manifest, number) for number in range(len(manifest.disks))]
            found[str(name)] = tuple(reader.read(0, reader.size_bytes) for reader in readers)
    return found


def check_points(found: dict[str, Disks], promise: Promise) -> None:
    """All that was promised is among what was found, bit for bit, and nothing half made."""
    missing = promise.required.keys() - found.keys()
    assert not missing, f"acknowledged points are gone: {missing}"
    for name, disks in found.items():
        if name in promise.required or name in promise.optional:
            wanted = promise.required.get(name) or promise.optional[name]
            assert disks == wanted, f"{name} restores as something else"
        else:
            assert promise.making is not None, f"{name} was never made, or is back"
            assert disks == promise.making, f"{name} is half a point"
    strangers = found.keys() - promise.required.keys() - promise.optional.keys()
    assert len(strangers) <= 1


def check(scene: Scene, state: Path, promise: Promise) -> None:
    """Promises are kept, and every command goes on as if nothing had happened."""
    listed = do(state, "--json", "points").json()["points"]
    found = restore_all(state)
    assert {point["name"] for point in listed} == found.keys()
    check_points(found, promise)
    made = scene.back_up(state, "third", "m")
    found[made] = scene.generations["third"]
    do(state, "collect")
    report = do(state, "--json", "verify", "--depth", "full").json()
    assert report["sound"] is True
    assert restore_all(state) == found, "what goes on after the power cut loses something"
    for folder in EMPTY_AT_REST:
        assert not list((state / "store" / folder).iterdir()), f"{folder} was not cleared up"
