"""What is mounted or swapped to, and from which block device.

Owns the reading of mountinfo and swaps. Never mounts anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.health.kernel_tree import KernelTree, read_text

_OCTAL = re.compile(r"\\([0-7]{3})")  # how the kernel writes white space there
_FIELDS_MIN = 10


@dataclass(frozen=True)
class Mount:
    """One mounted filesystem."""

    device: str
    """`MAJOR:MINOR`; a filesystem over several devices has a number of its own."""
    source: str
    target: str
    kind: str
    options: tuple[str, ...]


def list_mounts(tree: KernelTree) -> list[Mount]:
    """Every mount of this process's namespace (kernel: filesystems/proc, mountinfo)."""
    return [
        mount
        for line in read_text(tree.proc / "self/mountinfo").splitlines()
        if (mount := _parse(line)) is not None
    ]


def list_swaps(tree: KernelTree) -> set[str]:
    """The device nodes that are swapped to."""
    lines = read_text(tree.proc / "swaps").splitlines()[1:]
    return {_plain(line.split()[0]) for line in lines if line.split()}


def _parse(line: str) -> Mount | None:
    fields = line.split(" ")
    if len(fields) < _FIELDS_MIN or "-" not in fields[6:]:
        return None
    dash = fields.index("-", 6)
    kind, source, *rest = [*fields[dash + 1 :], "", ""][:3]
    options = [*fields[5].split(","), *",".join(rest).split(",")]
    return Mount(fields[2], _plain(source), _plain(fields[4]), kind, tuple(filter(None, options)))


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), text)
