"""Reading the corpus' disks whole: to warm the page cache, to compare, to check what came back.

Owns: sequential reads of raw files, and files of a part of one. Never does: write a disk of the
corpus.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from appliance.base.errors import HoldfastError

_PIECE_BYTES = 4 << 20
COMPARED_BYTES = 64 << 10
"""How finely a list of changed ranges is made: what hypervisors' change tracking offers."""


def warm(image: Path) -> None:
    """Read `image` once, holes too, so that the page cache holds it."""
    for _ in _read_pieces(image):
        pass


def copy_slice(disk: Path, target: Path, offset_bytes: int, length_bytes: int) -> None:
    """Make `target` a file of one stretch of `disk`; what is zero stays a hole."""
    with disk.open("rb", buffering=0) as source, target.open("wb", buffering=0) as file:
        for start in range(0, length_bytes, COMPARED_BYTES):
            piece = os.pread(source.fileno(), COMPARED_BYTES, offset_bytes + start)
            if piece.count(0) != len(piece):
                os.pwrite(file.fileno(), piece[: length_bytes - start], start)
        file.truncate(length_bytes)


def write_changed_list(first: Path, second: Path, target: Path) -> int:
    """List in `target` the ranges where two disks differ. Gives how many bytes they cover."""
    changed_bytes = 0
    with target.open("w") as listed:
        pieces = zip(_read_pieces(first), _read_pieces(second), strict=True)
        for number, (before, after) in enumerate(pieces):
            if before == after:
                continue
            for start in range(0, len(after), COMPARED_BYTES):
                end = min(start + COMPARED_BYTES, len(after))
                if before[start:end] != after[start:end]:
                    listed.write(f"{number * _PIECE_BYTES + start} {end - start}\n")
                    changed_bytes += end - start
    return changed_bytes


def check_dump(argv: Sequence[str | Path], environment: dict[str, str], image: Path) -> None:
    """Run `argv` and compare its standard output with `image`. Raises HoldfastError if unequal."""
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
    ) as process:
        assert process.stdout is not None
        same = all(process.stdout.read(len(piece)) == piece for piece in _read_pieces(image))
        same = same and not process.stdout.read(1)
        process.stdout.close()
    if not same or process.returncode != 0:
        raise HoldfastError(f"{argv[0]} did not give back {image.name} as it was")


def _read_pieces(image: Path) -> Iterator[bytes]:
    with image.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
