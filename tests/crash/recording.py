"""Records what the program does to files below a folder, and puts such folders back.

Python's calls into the operating system are watched; bytes that the C library writes through a
descriptor of ours are found by comparing the file at the next call that concerns it. The model and
the folder must agree in the end: what went past the recorder would fail the tests.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from tests.crash.power_cut import (
    ROOT,
    SECTOR_BYTES,
    Disk,
    Event,
    Linked,
    Renamed,
    Synced,
    Touched,
    Tree,
    Unlinked,
    Written,
)

Fact = TypeVar("Fact")
_REAL: dict[str, Callable[..., Any]] = {
    name: getattr(os, name)
    for name in (
        "open", "close", "write", "pwrite", "fsync", "fdatasync", "ftruncate", "truncate",
        "rename", "replace", "link", "unlink", "remove", "mkdir", "rmdir", "utime",
    )
}  # fmt: skip


def read_tree(top: Path, ignored: frozenset[str]) -> Tree:
    """A folder as a tree, but for what begins with an `ignored` word at its top."""
    tree = Tree()
    numbers = {top: ROOT}
    for path in sorted(top.rglob("*")):
        if path.relative_to(top).parts[0].split(".")[0] in ignored:
            continue
        numbers[path] = len(numbers)
        tree.folders[numbers[path.parent]][path.name] = numbers[path]
        if path.is_dir():
            tree.folders[numbers[path]] = {}
            tree.mtimes_ns[numbers[path]] = path.stat().st_mtime_ns
        else:
            tree.files[numbers[path]] = path.read_bytes()
    return tree


def write_tree(tree: Tree, top: Path) -> None:
    """Put a tree into the empty folder `top`, with the times of its folders."""
    paths = list(tree.paths())
    for path, number in paths:
        if number in tree.folders:
            _REAL["mkdir"](top / path, 0o700)
        else:
            descriptor = _REAL["open"](top / path, os.O_WRONLY | os.O_CREAT, 0o600)
            if tree.files[number]:
                _REAL["write"](descriptor, tree.files[number])
            _REAL["close"](descriptor)
    for path, number in paths:
        if number in tree.folders and number in tree.mtimes_ns:
            at_ns = tree.mtimes_ns[number]
            _REAL["utime"](top / path, ns=(at_ns, at_ns))


class Recorder(Generic[Fact]):
    """The log of what happened below `top`: events, and facts that the test puts between them."""

    syncs_files = True
    """False for the mutation that forgets every fsync of a file."""

    def __init__(self, top: Path, ignored: frozenset[str]) -> None:
        self.top = top
        self.ignored = ignored
        self.start = read_tree(top, ignored)
        self.log: list[Event | Fact] = []
        self._disk = Disk(self.start)
        self._files: dict[int, int] = {}

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Record while the block runs."""
        with pytest.MonkeyPatch.context() as patch:
            for name in _REAL:
                patch.setattr(os, name, getattr(self, f"_{name}"))
            yield
        found, seen = read_tree(self.top, self.ignored), self._disk.live
        assert _contents(found) == _contents(seen), "something was written past the recorder"

    def _note(self, event: Event) -> None:
        self.log.append(event)
        self._disk.note(event)

    def _place(self, path: object) -> tuple[int, str] | None:
        """(folder, name) of a path that is recorded."""
        if isinstance(path, int):
            return None
        text = os.fspath(path)  # type: ignore[call-overload]
        if not isinstance(text, str) or not text.startswith(f"{self.top}/"):
            return None
        below = text[len(str(self.top)) + 1 :]
        if below.partition("/")[0].split(".")[0] in self.ignored:
            return None
        return self._disk.live.find(below)

    def _inode(self, path: object) -> int | None:
        place = self._place(path)
        return None if place is None else self._disk.live.folders[place[0]].get(place[1])

    @staticmethod
    def _mtime_ns(path: Any) -> int:
        return os.stat(os.path.dirname(path)).st_mtime_ns  # noqa: PTH116, PTH120

    def _catch_up(self, inode: int, path: str) -> None:
        """Note what changed in a file since the last look; `path` leads to it."""
        with open(path, "rb") as file:  # noqa: PTH123
            new = file.read()
        old = self._disk.live.files[inode]
        if new == old:
            return
        starts = range(0, len(new), SECTOR_BYTES)
        sectors = {
            start // SECTOR_BYTES: new[start : start + SECTOR_BYTES]
            for start in starts
            if new[start : start + SECTOR_BYTES] != old[start : start + SECTOR_BYTES]
        }
        self._note(Written(inode, sectors, len(new)))

    def _look(self, descriptor: int) -> None:
        if descriptor in self._files and self._files[descriptor] in self._disk.live.files:
            self._catch_up(self._files[descriptor], f"/proc/self/fd/{descriptor}")

    def _look_everywhere(self) -> None:
        for descriptor in list(self._files):
            self._look(descriptor)

    # ---- in the place of the calls of `os` ----

    def _open(self, path: Any, flags: int, *rest: Any, **options: Any) -> int:
        place = self._place(path)
        known = ROOT if path == self.top else self._inode(path)
        descriptor: int = _REAL["open"](path, flags, *rest, **options)
        if known is None and place is not None:
            known = self._disk.new_number()
            self._note(Linked(*place, known, self._mtime_ns(path)))
        if known is None or not flags & (os.O_WRONLY | os.O_RDWR | os.O_DIRECTORY):
            return descriptor
        self._files[descriptor] = known
        if flags & os.O_TRUNC:
            self._look(descriptor)
        return descriptor

    def _close(self, descriptor: int) -> None:
        self._look(descriptor)
        self._files.pop(descriptor, None)
        _REAL["close"](descriptor)

    def _after(self, name: str, descriptor: int, *rest: Any) -> Any:
        result = _REAL[name](descriptor, *rest)
        self._look(descriptor)
        return result

    def _write(self, descriptor: int, *rest: Any) -> Any:
        return self._after("write", descriptor, *rest)

    def _pwrite(self, descriptor: int, *rest: Any) -> Any:
        return self._after("pwrite", descriptor, *rest)

    def _ftruncate(self, descriptor: int, *rest: Any) -> Any:
        return self._after("ftruncate", descriptor, *rest)

    def _truncate(self, path: Any, length: int) -> None:
        _REAL["truncate"](path, length)
        inode = self._inode(path)
        if inode is not None:
            self._catch_up(inode, path)

    def _fsync(self, descriptor: int) -> None:
        self._look(descriptor)
        _REAL["fsync"](descriptor)
        inode = self._files.get(descriptor)
        if inode is not None and (self.syncs_files or inode in self._disk.live.folders):
            self._note(Synced(inode))

    def _fdatasync(self, descriptor: int) -> None:
        self._fsync(descriptor)

    def _rename(self, source: Any, target: Any) -> None:
        self._look_everywhere()
        old, inode, new = self._place(source), self._inode(source), self._place(target)
        _REAL["rename"](source, target)
        if old is not None and inode is not None and new is not None:
            self._note(Renamed(*old, *new, inode, self._mtime_ns(target)))

    def _replace(self, source: Any, target: Any) -> None:
        self._rename(source, target)

    def _link(self, source: Any, target: Any, **options: Any) -> None:
        self._look_everywhere()
        inode, new = self._inode(source), self._place(target)
        _REAL["link"](source, target, **options)
        if inode is not None and new is not None:
            self._note(Linked(*new, inode, self._mtime_ns(target)))

    def _unlink(self, path: Any, **options: Any) -> None:
        place = self._place(path)
        _REAL["unlink"](path, **options)
        if place is not None:
            self._note(Unlinked(*place, self._mtime_ns(path)))

    _remove = _unlink

    def _rmdir(self, path: Any, **options: Any) -> None:
        place = self._place(path)
        _REAL["rmdir"](path, **options)
        if place is not None:
            self._note(Unlinked(*place, self._mtime_ns(path)))

    def _mkdir(self, path: Any, *rest: Any, **options: Any) -> None:
        place = self._place(path)
        _REAL["mkdir"](path, *rest, **options)
        if place is not None:
            number = self._disk.new_number()
            self._note(Linked(*place, number, self._mtime_ns(path), is_folder=True))

    def _utime(self, path: Any, *rest: Any, **options: Any) -> None:
        _REAL["utime"](path, *rest, **options)
        inode = self._inode(path)
        if inode is not None and stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116
            self._note(Touched(inode, os.stat(path).st_mtime_ns))  # noqa: PTH116


def _contents(tree: Tree) -> dict[str, bytes | None]:
    return {path: tree.files.get(number) for path, number in tree.paths()}
