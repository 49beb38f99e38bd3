"""Browsing measured: a listing of 10,000 files and one file of 1 GiB, from inside a disk.

Owns: the disks, and the rows. Never does: judge. Each row is one run of the command; what it read
of the store is dropped from the page cache before it (cold) and then left there (warm).

    python -m tests.bench.browse_rows      prints the rows alone

`read` is what was read of the disk in the point, to compare with what was asked for: below it the
store decodes whole frames.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from appliance.base.text import size
from tests.bench.cost import measure
from tests.bench.reads import drop_pages
from tests.command import ROOT, Holdfast

FILES = 10_000
FILE_BYTES = 1 << 30
_DISK_BYTES = 3 << 30
_SEED = 20261121
_TIMEOUT_S = 900.0
MKFS = {"ext4": ("mkfs.ext4", "-q", "-F"), "xfs": ("mkfs.xfs", "-q")}
Report = dict[str, Any]


def measure_browse(place: Path) -> Report:
    """Rows by filesystem, operation and temperature: seconds, bytes read and bytes given."""
    report: Report = {}
    for kind in MKFS:
        holdfast = Holdfast(place / f"state-{kind}")
        holdfast("init", "--recovery-out", place / f"{kind}.key", expect=0)
        image = _make_disk(place, kind)
        holdfast("backup", image, "--machine", kind, expect=0, timeout_s=_TIMEOUT_S)
        image.unlink()
        report[kind] = {
            operation: {
                temperature: _measure(
                    holdfast, kind, operation, place, is_cold=temperature == "cold"
                )
                for temperature in ("cold", "warm")
            }
            for operation in ("list", "fetch")
        }
    return report


def _make_disk(place: Path, kind: str) -> Path:
    """A filesystem with a folder of many files and one large file, filled by the host's kernel."""
    image, directory = place / f"{kind}.raw", place / "mnt"
    with image.open("wb") as file:
        file.truncate(_DISK_BYTES)
    subprocess.run([*MKFS[kind], image], check=True)
    directory.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, directory], check=True)
    try:
        (directory / "many").mkdir()
        for number in range(FILES):
            (directory / "many" / f"file-{number:05}").write_bytes(b"%d" % number)
        chooser = random.Random(_SEED)
        with (directory / "large").open("wb") as large:
            for _ in range(FILE_BYTES >> 24):
                large.write(chooser.randbytes(1 << 24))
    finally:
        subprocess.run(["umount", directory], check=True)
    return image


def _measure(
    holdfast: Holdfast, kind: str, operation: str, place: Path, *, is_cold: bool
) -> Report:
    if is_cold:
        os.sync()
        drop_pages(holdfast.state)
    target = place / "out"
    arguments: tuple[str | Path, ...] = ("ls", f"{kind}@latest", "/many", "--json")
    if operation == "fetch":
        arguments = ("get", f"{kind}@latest", "/large", target, "--json", "--force")
    said = place / "said.json"
    environment = {"PYTHONPATH": str(ROOT)}
    cost = measure(holdfast.argv(*arguments), environment, place / "log", said)
    answer = json.loads(said.read_bytes())
    row = {"seconds": cost.seconds, "cpu_s": cost.cpu_s, "read_bytes": answer["read_bytes"]}
    if operation == "list":
        assert len(answer["entries"]) == FILES
        return {**row, "files": FILES}
    assert (target / "large").stat().st_size == FILE_BYTES
    (target / "large").unlink()
    return {**row, "bytes": FILE_BYTES}


def describe_browse(report: Report) -> list[str]:
    """A line for each row."""
    lines = []
    words = {"list": f"list {FILES} files", "fetch": f"fetch {size(FILE_BYTES)}"}
    for kind, operations in report.items():
        for operation, temperatures in operations.items():
            for temperature, row in temperatures.items():
                rate = f", {size(row['bytes'] / row['seconds'])}/s" if "bytes" in row else ""
                lines.append(
                    f"{kind}, {words[operation]}, {temperature}: {row['seconds']:.2f} s, "
                    f"CPU {row['cpu_s']:.2f} s, read {size(row['read_bytes'])}{rate}"
                )
    return lines


def main() -> None:
    """Measure in a directory of the system's temporary space, and print."""
    with tempfile.TemporaryDirectory(prefix="holdfast-browse-") as place:
        print("\n".join(describe_browse(measure_browse(Path(place)))))


if __name__ == "__main__":
    main()
