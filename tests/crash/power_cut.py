"""What a disk may hold after a power cut: the model behind the crash tests.

A `Disk` is told of every change in order and of every fsync. Until a file's fsync each of its
writes may have reached the disk or not, whole or by sectors of 512 bytes, and the file's size
likewise. Until a folder's fsync each change of its names may have happened or not, independently of
the others; a rename is atomic, but between two folders the old name may stay beside the new one.
An fsync of one file makes nothing else durable, not even its name: stricter than any filesystem
that the store will meet.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

SECTOR_BYTES = 512
ROOT = 0
# A combination of so few choices is enumerated, a larger one sampled.
ENUMERATED_MAX = 24


@dataclass(frozen=True)
class Written:
    """Sectors of a file changed, and its size."""

    inode: int
    sectors: Mapping[int, bytes]
    size_bytes: int

    @property
    def choices(self) -> int:
        """Lost, kept, torn after a sector, some sectors only, the size alone."""
        return 5 if self.sectors else 2


@dataclass(frozen=True)
class Linked:
    """A name appeared: a new file or folder, or another name of a file."""

    folder: int
    name: str
    inode: int
    mtime_ns: int
    is_folder: bool = False
    choices: int = 2


@dataclass(frozen=True)
class Unlinked:
    """A name went away."""

    folder: int
    name: str
    mtime_ns: int
    choices: int = 2


@dataclass(frozen=True)
class Renamed:
    """A name moved."""

    folder: int
    name: str
    to_folder: int
    to_name: str
    inode: int
    mtime_ns: int

    @property
    def choices(self) -> int:
        """Lost, kept, and between two folders both names."""
        return 2 if self.folder == self.to_folder else 3


@dataclass(frozen=True)
class Touched:
    """A folder was given another time."""

    folder: int
    mtime_ns: int
    choices: int = 2


@dataclass(frozen=True)
class Synced:
    """A file's bytes, or a folder's names, are durable."""

    inode: int


Change = Written | Linked | Unlinked | Renamed | Touched
Event = Change | Synced


@dataclass
class Tree:
    """Files, folders and the times of folders, by number; folder 0 is the top."""

    files: dict[int, bytes] = field(default_factory=dict)
    folders: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    mtimes_ns: dict[int, int] = field(default_factory=dict)

    def copy(self) -> Tree:
        """Another tree that holds the same."""
        folders = {number: dict(names) for number, names in self.folders.items()}
        return Tree(dict(self.files), folders, dict(self.mtimes_ns))

    def paths(self, folder: int = ROOT, prefix: str = "") -> Iterator[tuple[str, int]]:
        """(path, number) of everything that has a name, folders before what is in them."""
        for name, inode in sorted(self.folders[folder].items()):
            yield prefix + name, inode
            if inode in self.folders:
                yield from self.paths(inode, f"{prefix}{name}/")

    def find(self, path: str) -> tuple[int, str]:
        """(folder, name) of a path below the top. Raises KeyError if a folder is missing."""
        *parents, name = path.split("/")
        folder = ROOT
        for parent in parents:
            folder = self.folders[folder][parent]
        return folder, name

    def make(self, number: int, *, is_folder: bool) -> None:
        """An empty file or folder of this number, without a name, unless it exists."""
        if is_folder:
            self.folders.setdefault(number, {})
        else:
            self.files.setdefault(number, b"")

    def apply(self, change: Change, choice: int = 1, chooser: random.Random | None = None) -> None:
        """Let `choice` of a change happen: 0 nothing, 1 all of it, more as its `choices` say."""
        if choice == 0:
            return
        if isinstance(change, Written):
            old = self.files.get(change.inode, b"")
            self.files[change.inode] = _write(old, change, choice, chooser or random.Random(0))
        elif isinstance(change, Linked):
            self._put(change.folder, change.name, change.inode, change.mtime_ns)
        elif isinstance(change, Unlinked):
            self._drop(change.folder, change.name, change.mtime_ns)
        elif isinstance(change, Renamed):
            self._put(change.to_folder, change.to_name, change.inode, change.mtime_ns)
            if choice == 1:
                self._drop(change.folder, change.name, change.mtime_ns)
        else:
            self.mtimes_ns[change.folder] = change.mtime_ns

    def _put(self, folder: int, name: str, inode: int, mtime_ns: int) -> None:
        self.folders[folder][name] = inode
        self.mtimes_ns[folder] = mtime_ns

    def _drop(self, folder: int, name: str, mtime_ns: int) -> None:
        self.folders[folder].pop(name, None)
        self.mtimes_ns[folder] = mtime_ns


def _write(old: bytes, change: Written, choice: int, chooser: random.Random) -> bytes:
    numbers = sorted(change.sectors)
    if choice == 2:
        numbers = numbers[: chooser.randrange(len(numbers) + 1)]
    elif choice == 3:
        numbers = [number for number in numbers if chooser.random() < 0.5]
    elif choice == 4:
        numbers = []
    size_bytes = change.size_bytes
    if choice in (2, 3) and chooser.random() < 0.5:
        # The size of the file was not yet noted beyond the last sector that was written.
        last = (numbers[-1] + 1) * SECTOR_BYTES if numbers else 0
        size_bytes = min(size_bytes, max(len(old), last))
    new = bytearray(old[:size_bytes].ljust(size_bytes, b"\0"))
    for number in numbers:
        start = number * SECTOR_BYTES
        new[start : start + SECTOR_BYTES] = change.sectors[number]
    return bytes(new[:size_bytes])


class Disk:
    """What is durable for certain, what may have happened since, and what running programs see."""

    def __init__(self, tree: Tree) -> None:
        self.durable = tree.copy()
        self.live = tree.copy()
        self.unsynced: list[Change] = []
        self._next = max([ROOT, *tree.files, *tree.folders]) + 1

    def new_number(self) -> int:
        """A number for a file or folder that has no name yet."""
        number, self._next = self._next, self._next + 1
        return number

    def note(self, event: Event) -> None:
        """Something happened."""
        if isinstance(event, Synced):
            self.unsynced = [
                rest for change in self.unsynced if (rest := self._sync(change, event))
            ]
        else:
            if isinstance(event, Linked):
                for tree in (self.live, self.durable):
                    tree.make(event.inode, is_folder=event.is_folder)
            self.live.apply(event)
            self.unsynced.append(event)

    def _sync(self, change: Change, synced: Synced) -> Change | None:
        """Make the change durable if it lies where the fsync was; gives what is left of it."""
        inode = synced.inode
        if isinstance(change, Renamed):
            if inode == change.folder:
                self.durable.apply(change)
                return None
            if inode == change.to_folder:
                self.durable.apply(change, 2)
                return Unlinked(change.folder, change.name, change.mtime_ns)
            return change
        if inode != (change.inode if isinstance(change, Written) else change.folder):
            return change
        self.durable.apply(change)
        return None

    def settle(self) -> None:
        """So much time passed that everything reached the disk."""
        for change in self.unsynced:
            self.durable.apply(change)
        self.unsynced = []

    def states(self, chooser: random.Random, count: int) -> Iterator[Tree]:
        """Trees that a power cut now may leave: all if they are few, else `count` of them."""
        widths = [change.choices for change in self.unsynced]
        if math.prod(widths) <= ENUMERATED_MAX:
            recipes: Iterator[tuple[int, ...]] = itertools.product(*map(range, widths))
        else:
            recipes = itertools.islice(_recipes(widths, chooser), count)
        for recipe in recipes:
            tree = self.durable.copy()
            for change, choice in zip(self.unsynced, recipe, strict=True):
                tree.apply(change, choice, chooser)
            yield tree


def _recipes(widths: list[int], chooser: random.Random) -> Iterator[tuple[int, ...]]:
    """Nothing, everything, everything but one, one alone, and any mixture, for ever."""
    count = len(widths)
    yield (0,) * count
    yield (1,) * count
    while True:
        kind, one = chooser.randrange(3), chooser.randrange(count)
        if kind == 0:
            recipe = [1] * count
            recipe[one] = chooser.choice([0, *range(2, widths[one])])
        elif kind == 1:
            recipe = [0] * count
            recipe[one] = chooser.randrange(1, widths[one])
        else:
            kept = chooser.random()
            recipe = [chooser.randrange(width) for width in widths]
            recipe = [choice if chooser.random() < kept else 0 for choice in recipe]
        yield tuple(recipe)
