"""The measured programs behind one face: ours and its peers, each as a person would call it.

Owns: their command lines. Never does: run them, decide what is measured when.
Every peer runs with its defaults, encryption included, its caches inside the bench's directory.
"""

from __future__ import annotations

import json
import shutil
import sys
from abc import ABC, abstractmethod
from pathlib import Path

from appliance.base.errors import HoldfastError
from appliance.base.process import find_program
from appliance.base.process import run as ask

MACHINE = "bench"
LATEST = f"{MACHINE}@latest"
_PASSPHRASE = "bench"


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

    @abstractmethod
    def mount(self, directory: Path, label: str) -> list[str | Path]:
        """The command that serves `label` read-only under `directory` until it is unmounted."""

    @abstractmethod
    def mounted_file(self, directory: Path, image: Path, label: str) -> Path:
        """Where `image` stands below `directory`. Raises FileNotFoundError while it does not."""

    def stored_bytes(self) -> int:
        """The size of all files of the repository, as if each ended where its last byte does."""
        return sum(path.stat().st_size for path in self.files())

    def files(self) -> list[Path]:
        """All files of the repository."""
        return [path for path in self.repository.rglob("*") if path.is_file()]


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
        return self.back_up_as(MACHINE, image)

    def back_up_as(self, machine: str, *images: Path) -> list[str | Path]:
        """The command that makes one point of `machine`; it says as JSON where the time went."""
        return [*self.command, "--json", "backup", *images, "--machine", machine]

    def back_up_changed(self, image: Path, changed: Path) -> list[str | Path]:
        """The command that reads only the ranges listed in the file `changed`."""
        argv = self.back_up(image, "second")
        return [*argv, "--changed", changed, "--base", LATEST]

    def dump(self, image: Path, label: str) -> list[str | Path]:
        return [*self.command, "restore", LATEST, "-"]

    def mount(self, directory: Path, label: str) -> list[str | Path]:
        return [*self.command, "mount", directory, "--foreground"]

    def mounted_file(self, directory: Path, image: Path, label: str) -> Path:
        points = sorted((directory / MACHINE).iterdir())
        return points[-1 if label == "second" else 0] / "disk0.raw"

    def offers(self, command: str) -> bool:
        """Whether this version knows `command`."""
        try:
            ask([str(self.command[0]), command, "--help"])
        except HoldfastError:
            return False
        return True

    def oldest_point(self) -> str:
        """The name of the first point of the bench's machine."""
        said = json.loads(ask([*map(str, self.command), "--json", "points"]))
        return str(min(point["name"] for point in said["points"]))

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

    def mount(self, directory: Path, label: str) -> list[str | Path]:
        return ["restic", "mount", directory]

    def mounted_file(self, directory: Path, image: Path, label: str) -> Path:
        return directory / "tags" / label / "latest" / image.relative_to("/")


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
        return ["borg", "extract", "--stdout", f"::{label}", image.relative_to("/")]

    def mount(self, directory: Path, label: str) -> list[str | Path]:
        return ["borg", "mount", "--foreground", f"::{label}", directory]

    def mounted_file(self, directory: Path, image: Path, label: str) -> Path:
        return directory / image.relative_to("/")


PROGRAMS: dict[str, type[Program]] = {kind.name: kind for kind in (Holdfast, Restic, Borg)}
