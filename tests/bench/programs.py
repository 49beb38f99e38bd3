"""The measured programs behind one face: ours and its peers, each as a person would call it.

Owns: their command lines, and what one call costs. Never does: decide what is measured when.
Every peer runs with its defaults, encryption included, its caches inside the bench's directory.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.base.errors import HoldfastError
from appliance.base.process import find_program
from appliance.base.process import run as ask

_SECTOR_BYTES = 512  # the unit of ru_inblock and ru_oublock, see getrusage(2)
_PASSPHRASE = "bench"


@dataclass(frozen=True)
class Cost:
    """What one command cost, its children included. Bytes read and written are the disk's."""

    seconds: float
    cpu_s: float
    max_rss_bytes: int
    read_bytes: int
    written_bytes: int


def measure(argv: Sequence[str | Path], environment: dict[str, str], log: Path) -> Cost:
    """Run `argv` from start to end, its output thrown away; what it complains goes to `log`.

    Raises HoldfastError if it fails.
    """
    with log.open("ab") as complaints:
        began_s = time.monotonic()
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            env={**os.environ, **environment},
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            # Its files are about to be removed.
            process.kill()
            process.wait()
            raise
        seconds = time.monotonic() - began_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        shown = " ".join(str(word) for word in argv)
        raise HoldfastError(f"{shown}: exit code {process.returncode} (see {log})")
    return Cost(
        seconds,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss << 10,
        usage.ru_inblock * _SECTOR_BYTES,
        usage.ru_oublock * _SECTOR_BYTES,
    )


class Program(ABC):
    """A backup program with one fresh repository in `place`."""

    name: str
    takes_changed_list = False

    def __init__(self, place: Path) -> None:
        self.place = place
        self.repository = place / "repository"
        self.environment: dict[str, str] = {}

    @abstractmethod
    def version(self) -> str:
        """What it says about itself, one line."""

    @abstractmethod
    def create(self) -> list[str | Path]:
        """The command that makes the empty repository."""

    @abstractmethod
    def back_up(self, image: Path, label: str) -> list[str | Path]:
        """The command that backs `image` up; `label` (`first`, `second`) names it for `dump`."""

    @abstractmethod
    def dump(self, image: Path, label: str) -> list[str | Path]:
        """The command that writes the image back to standard output."""

    def stored_bytes(self) -> int:
        """The size of all files of the repository, as if each ended where its last byte does."""
        files = (path for path in self.repository.rglob("*") if path.is_file())
        return sum(path.stat().st_size for path in files)


class Holdfast(Program):
    """Ours. Its `repository` is the store; keys and catalog beside it hold no data."""

    name = "holdfast"
    takes_changed_list = True

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.state = place / "state"
        self.repository = self.state / "store"
        self.command: list[str | Path] = [
            Path(sys.executable).with_name("holdfast"),
            "--state",
            self.state,
        ]

    def version(self) -> str:
        return ask([str(self.command[0]), "--version"]).strip()

    def create(self) -> list[str | Path]:
        return [*self.command, "init", "--recovery-out", self.place / "recovery-key.txt"]

    def back_up(self, image: Path, label: str) -> list[str | Path]:
        return [*self.command, "backup", image, "--machine", "bench"]

    def back_up_changed(self, image: Path, changed: Path) -> list[str | Path]:
        """The command that reads only the ranges listed in the file `changed`."""
        argv = self.back_up(image, "second")
        return [*argv, "--changed", changed, "--base", "bench@latest"]

    def dump(self, image: Path, label: str) -> list[str | Path]:
        return [*self.command, "restore", "bench@latest", "-"]

    def clone(self, place: Path) -> Holdfast:
        """The same store once more, so that two kinds of second backup start from one first."""
        place.mkdir()
        shutil.copytree(self.state, place / "state")
        return Holdfast(place)


class Restic(Program):
    name = "restic"

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.environment = {
            "RESTIC_REPOSITORY": str(self.repository),
            "RESTIC_PASSWORD": _PASSPHRASE,
            "RESTIC_CACHE_DIR": str(place / "cache"),
        }

    def version(self) -> str:
        return ask([find_program("restic", "restic"), "version"]).strip()

    def create(self) -> list[str | Path]:
        return ["restic", "init"]

    def back_up(self, image: Path, label: str) -> list[str | Path]:
        return ["restic", "backup", "--quiet", "--tag", label, image]

    def dump(self, image: Path, label: str) -> list[str | Path]:
        return ["restic", "dump", "--tag", label, "latest", image]


class Borg(Program):
    name = "borg"

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.environment = {
            "BORG_REPO": str(self.repository),
            "BORG_PASSPHRASE": _PASSPHRASE,
            "BORG_BASE_DIR": str(place / "base"),
        }

    def version(self) -> str:
        return ask([find_program("borg", "borgbackup"), "--version"]).strip()

    def create(self) -> list[str | Path]:
        return ["borg", "init", "--encryption", "repokey"]

    def back_up(self, image: Path, label: str) -> list[str | Path]:
        return ["borg", "create", f"::{label}", image]

    def dump(self, image: Path, label: str) -> list[str | Path]:
        return ["borg", "extract", "--stdout", f"::{label}", str(image).lstrip("/")]


PROGRAMS: dict[str, type[Program]] = {kind.name: kind for kind in (Holdfast, Restic, Borg)}
