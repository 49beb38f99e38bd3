"""Disks that were built once: found again, or built under another name and renamed last.

Owns: one directory of finished disks and the places where they are built. Never does: know what
is on a disk. A killed build leaves a place that the next build removes; it never counts as built.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from appliance.base.locks import FileLock
from image.workbench import run, say

Build = Callable[[Path, Path], None]
"""Fills the raw file of the first path; the second is an absent directory to mount it on."""

_BUILDING = "building-"


def hash_recipe(modules: Sequence[ModuleType]) -> str:
    """A short name for what these modules, by their text, would build."""
    texts = [Path(str(module.__file__)).read_bytes() for module in modules]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]


class DiskCache:
    """Finished disks under `directory`, each named for its generation and `recipe`."""

    def __init__(self, directory: Path, recipe: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / "build.log"
        self.downloads = directory / "downloads"
        self.downloads.mkdir(exist_ok=True)
        self._directory = directory
        self._recipe = recipe

    def provide(self, generation: str, build: Build) -> Path:
        """The finished disk `generation`, made by `build` if it is not there. Never write to it.

        Disks of older recipes are removed once the new one stands. One builder at a time: a
        second one waits.
        """
        finished = self._directory / f"{generation}-{self._recipe}.raw"
        with FileLock(self._directory / "lock"):
            if finished.exists():
                say(f"{generation}: taken from the cache ({finished.name})")
                return finished
            say(f"{generation}: building (details in {self.log})")
            with self.workspace() as place:
                build(place / "disk.raw", place / "root")
                (place / "disk.raw").rename(finished)
            for outdated in self._directory.glob(f"{generation}-*.raw"):
                if outdated != finished:
                    outdated.unlink()
        say(f"{generation}: built")
        return finished

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """An empty directory for `disk.raw` and its mount `root`, cleared at the end."""
        for leftover in self._directory.glob(f"{_BUILDING}*"):
            _clear(leftover)
        place = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=self._directory))
        try:
            yield place
        finally:
            _clear(place)

    def copy(self, source: Path, target: Path) -> None:
        """Copy a raw disk; holes stay holes."""
        run(["cp", "--sparse=always", "--reflink=auto", source, target], log=self.log)


def _clear(place: Path) -> None:
    # By name and never recursively: a tree that is still mounted must survive this.
    (place / "disk.raw").unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        (place / "root").rmdir()
    place.rmdir()
