"""What the kernel shows as files: /sys, /proc, /dev and /run, or a tree that a test made.

Owns how such a file is read: short, bounded, and missing means unknown. Never writes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

# One page is what sysfs gives; /proc/self/mountinfo and mdstat of a large box are longer.
_FILE_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class KernelTree:
    """Where the kernel's files are."""

    root: Path = Path("/")

    @property
    def sys(self) -> Path:
        """Devices and their attributes."""
        return self.root / "sys"

    @property
    def proc(self) -> Path:
        """Mounts, swaps, MD's summary."""
        return self.root / "proc"

    @property
    def dev(self) -> Path:
        """Device nodes."""
        return self.root / "dev"

    @property
    def run(self) -> Path:
        """What daemons say about themselves."""
        return self.root / "run"

    def path_of(self, name: str) -> str:
        """The device node of kernel name `name`; sysfs writes `!` where /dev has a folder."""
        return str(self.dev / name.replace("!", "/"))

    def block(self, name: str) -> Path:
        """The sysfs folder of a block device or a partition, links resolved."""
        return (self.sys / "class/block" / name).resolve()


def read_bytes(path: Path) -> bytes:
    """The content, or nothing where there is none to read (sysfs answers with odd errors)."""
    try:
        with path.open("rb") as file:
            return file.read(_FILE_MAX_BYTES)
    except OSError:
        return b""


def read_text(path: Path) -> str:
    """The content as text without white space around it; empty where there is none."""
    return read_bytes(path).decode("utf-8", "replace").replace("\0", " ").strip()


def read_number(path: Path) -> int | None:
    """The content as a decimal number, or None."""
    text = read_text(path)
    return int(text) if text.removeprefix("-").isdecimal() and text.isascii() else None


def list_names(folder: Path) -> list[str]:
    """Names in `folder`, sorted; none where there is no folder."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
