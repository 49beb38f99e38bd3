"""A box with machines and a vault, driven through the command, for the tests of the vault."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.command import Holdfast, HoldfastHere
from tests.images import mixed_image, write_image

MIB = 1 << 20


class Office:
    """A box that backs up `m` and other machines, and a vault in a directory."""

    def __init__(self, folder: Path, seed: int, url: str = "") -> None:
        self.folder = folder
        self.seed = seed
        self.vault = folder / "vault"
        self.url = url or f"file://{self.vault}"
        self.box = HoldfastHere(folder / "box")
        self.boxes: list[Holdfast] = [self.box]
        self.key = folder / "recovery.txt"
        self.images: dict[str, bytes] = {}
        self.box("init", "--recovery-out", self.key, expect=0)

    def close(self) -> None:
        for box in self.boxes:
            box.close()

    def back_up(self, machine: str = "m", size_mib: int = 4, image: bytes | None = None) -> str:
        """Make a point of fresh bytes, or of `image`; gives its name."""
        if image is None:
            image = bytes(mixed_image(self.seed + len(self.images), size_mib))
        path = write_image(self.folder / "image.raw", bytearray(image))
        made = self.box("--json", "backup", path, "--machine", machine, expect=0).json()
        path.unlink()
        self.images[made["name"]] = image
        return str(made["name"])

    def add_vault(self, *options: str) -> dict[str, Any]:
        return self.box("--json", "vault", "add", self.url, *options, expect=0).json()

    def sync(self, *options: str, expect: int = 0) -> dict[str, Any]:
        return self.box("--json", "vault", "sync", *options, expect=expect).json()

    def open(self, name: str, *options: str, expect: int = 0) -> Holdfast:
        """Another box, made from the vault and the recovery key."""
        other = HoldfastHere(self.folder / name)
        self.boxes.append(other)
        other("vault", "open", self.url, "--recovery-key", self.key, *options, expect=expect)
        return other

    def hydrate(self, other: Holdfast) -> None:
        """Copy all containers of the vault by hand, so that reading needs no vault."""
        containers = other.state / "store" / "containers"
        shutil.copytree(self.vault / "containers", containers, dirs_exist_ok=True)

    def check(self, box: Holdfast, *names: str) -> None:
        """Restore points on `box` and compare."""
        for name in names or self.images:
            assert box("restore", name, "-", expect=0).stdout == self.images[name]

    def objects(self, kind: str = "") -> list[Path]:
        """Files in the vault's directory, of one kind."""
        found = sorted((self.vault / kind).rglob("*"))
        inner = (path.relative_to(self.vault).parts for path in found)
        return [
            path
            for path, parts in zip(found, inner, strict=True)
            if path.is_file() and not any(part.startswith(".") for part in parts)
        ]

    def size_there(self, kind: str = "") -> int:
        """Bytes of the objects in the vault, of one kind."""
        return sum(path.stat().st_size for path in self.objects(kind))


def points_of(box: Holdfast) -> list[str]:
    listed = box("--json", "points", expect=0).json()["points"]
    return [str(point["name"]) for point in listed]
