"""The index at size: memory, look-ups, files and rebuilding, with simulated fingerprints.

Owns: what `make bench-index` measures and prints. Never does: judge. One index grows from size to
size through the doors that a backup uses: claims, runs, merges. At each size a fresh process opens
it and fills its memory table as far as a backup lets it grow; its memory counts. A size that
does not fit `--disk-gib` or `--minutes` is filled in part; its memory and files are then scaled by
entries, and the row says so.

    python -m tests.bench.index_bench [--tb N ...] [--disk-gib N] [--minutes N]

Rebuilding is measured on real containers of tiny chunks, whose directories are as large as those
of full ones, and scaled by containers; their files are in the page cache.

`build/bench/index.json`: a list with one object per size, all bytes unscaled.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from ctypes import c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

from appliance.base.progress import Progress
from appliance.base.text import size
from appliance.native import library
from appliance.store import chunk_index
from appliance.store.chunk_index import ChunkIndex
from appliance.store.layout import Layout
from image.workbench import say
from tests.bench.corpus import CACHE_DIRECTORY
from tests.command import ROOT
from tests.store.stores import KEYS, add_container, chunks_of, load_index, make_store

CHUNK_BYTES = 64 << 10
CHUNKS_PER_CONTAINER = 512
TERABYTE = 10**12
TEBIBYTE = 1 << 40
STEP = 50_000
LOOKUPS = 1_000_000
COLD_LOOKUPS = 5_000
# Chunks from here on are never stored.
NEW = 1 << 50
# A run takes 25.3 bytes an entry; while all are merged both copies exist.
PEAK_BYTES_PER_ENTRY = 2 * 25.5
REBUILD_CONTAINERS = 1000


def entries_of(terabytes: float) -> int:
    """Chunks in so much unique data."""
    return int(terabytes * TERABYTE) // CHUNK_BYTES


class Streams:
    """native/bench/stream.c on one index."""

    def __init__(self, index: ChunkIndex) -> None:
        # So that the streams find the library's functions.
        ctypes.CDLL(str(Path(library.__file__).with_name("libholdfast.so")), ctypes.RTLD_GLOBAL)
        streams = ctypes.CDLL(str(ROOT / "native" / "build" / "stream.so"))
        self._claim = streams.stream_claim
        self._claim.restype = c_uint64
        self._claim.argtypes = [c_void_p, c_uint64, c_uint64, c_uint32]
        self._find = streams.stream_find
        self._find.restype = c_uint64
        self._find.argtypes = [
            c_void_p, c_uint64, c_uint64, c_uint64, c_uint32, c_uint64, c_void_p,
        ]  # fmt: skip
        self._index = index

    def claim(self, first: int, count: int) -> float:
        """Claim new chunks; gives claims per second."""
        took_ns = int(self._claim(self._index.native.handle, first, count, CHUNKS_PER_CONTAINER))
        assert took_ns > 0
        return count * 1e9 / took_ns

    def find(self, first: int, limit: int, *, together: int, count: int = LOOKUPS) -> float:
        """Look up chunks of `first`..`limit`; gives look-ups per second."""
        found = c_uint64()
        handle, seed = self._index.native.handle, time.monotonic_ns()
        took_ns = self._find(handle, first, limit, count, together, seed, ctypes.byref(found))
        assert found.value == (0 if first >= NEW else count), "the index lost or invented chunks"
        return count * 1e9 / int(took_ns)


# ---- growing ------------------------------------------------------------------------------------


class Growth:
    """One index that grows."""

    def __init__(self, layout: Layout) -> None:
        self.entries = 0
        self.seconds = 0.0
        self._index = load_index(layout)
        self._streams = Streams(self._index)

    def fill(self, entries: int, deadline_s: float) -> None:
        """Claim and spill until there are so many entries, or it is too late."""
        began_s = time.monotonic()
        while self.entries < entries and time.monotonic() < deadline_s:
            count = min(STEP, entries - self.entries)
            self._streams.claim(self.entries, count)
            self.entries += count
            self._index.spill_if_large()
        self._index.spill()
        self.seconds += time.monotonic() - began_s


def drop_cached(layout: Layout) -> None:
    """Let the kernel forget the pages of all runs that nobody has mapped."""
    for path in layout.index.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def resident_bytes() -> dict[str, int]:
    """Memory of this process: of its own, and pages of files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) << 10 for name in ("RssAnon", "RssFile")}


def probe(layout: Layout, entries: int) -> dict[str, Any]:
    """Open the index in this process and measure it."""
    before = resident_bytes()
    drop_cached(layout)
    began_s = time.monotonic()
    index = ChunkIndex(layout, KEYS, Progress())
    open_s = time.monotonic() - began_s
    streams = Streams(index)
    cold = streams.find(0, entries, together=1, count=COLD_LOOKUPS)
    rates = {
        "known, no locality, cold": cold,
        "known, no locality": streams.find(0, entries, together=1),
        "known, locality": streams.find(0, entries, together=4 * CHUNKS_PER_CONTAINER),
        "new": streams.find(NEW, NEW << 1, together=1),
        "new, claimed": streams.claim(NEW, chunk_index.PENDING_MAX_ENTRIES),
    }
    after = resident_bytes()
    return {
        "open_s": open_s,
        "runs": index.native.runs,
        "per_s": rates,
        "memory": index.native.memory()._asdict(),
        "rss_added": {name: after[name] - before[name] for name in after},
        "file_bytes": sum(path.stat().st_size for path in layout.index.iterdir()),
    }


def probe_apart(state: Path, entries: int) -> dict[str, Any]:
    """`probe` in a process of its own."""
    argv = [sys.executable, "-m", "tests.bench.index_bench", "--probe", str(state), str(entries)]
    done = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def measure_rebuild(state: Path) -> float:
    """Containers per second when an index is built anew from their directories."""
    layout = make_store(state).layout
    index = load_index(layout)
    for number in range(REBUILD_CONTAINERS):
        chunks = chunks_of(number, CHUNKS_PER_CONTAINER, 32)
        add_container(layout, index, chunks, is_spilled=False)
    shutil.rmtree(layout.index)
    began_s = time.monotonic()
    load_index(layout)
    return REBUILD_CONTAINERS / (time.monotonic() - began_s)


# ---- the report ---------------------------------------------------------------------------------


def describe(report: dict[str, Any], rebuild_per_s: float) -> list[str]:
    """One size as a column of the table."""
    memory, scale = report["memory"], report["wanted_entries"] / report["entries"]
    fixed = memory["table"]
    total = fixed + scale * (memory["filters"] + memory["marks"] + memory["containers"])
    tebibytes = report["terabytes"] * TERABYTE / TEBIBYTE
    rss = sum(report["rss_added"].values())
    containers = report["wanted_entries"] / CHUNKS_PER_CONTAINER
    rates = (f"{rate:,.0f}" for rate in report["per_s"].values())
    return [
        f"{report['terabytes']:g} TB" + ("" if scale == 1 else " (scaled)"),
        f"{report['wanted_entries'] / 1e6:.1f}",
        f"{report['entries'] / 1e6:.1f}",
        size(int(scale * memory["filters"])),
        size(int(scale * (memory["marks"] + memory["containers"]))),
        size(fixed),
        f"{total / tebibytes / (1 << 20):.1f}",
        size(int(fixed + scale * (rss - fixed))),
        f"{(fixed + scale * (rss - fixed)) / tebibytes / (1 << 20):.1f}",
        size(int(scale * report["file_bytes"])),
        str(report["runs"]),
        *rates,
        f"{report['fill_s'] * scale:.0f}",
        f"{report['open_s'] * scale:.2f}",
        f"{containers / rebuild_per_s:,.0f}",
    ]


HEAD = [
    "unique data", "million chunks", "of them filled", "filters", "marks, containers",
    "memory table", "MiB per TiB", "RSS of the index", "RSS, MiB per TiB", "files", "runs",
    "known/s, no locality, cold", "known/s, no locality", "known/s, locality", "new/s",
    "new/s, claimed", "fill, s", "open, s", "rebuild, s",
]  # fmt: skip


def write_report(reports: list[dict[str, Any]], rebuild_per_s: float) -> str:
    """The table: a line per figure, a column per size."""
    columns = [HEAD, *(describe(report, rebuild_per_s) for report in reports)]
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in zip(*columns, strict=True)
    ]
    return "\n".join([*lines, f"rebuild: {rebuild_per_s:,.0f} containers/s, page cache warm"])


def run_bench(options: argparse.Namespace) -> None:
    """Grow, measure, print."""
    place = CACHE_DIRECTORY / "index"
    shutil.rmtree(place, ignore_errors=True)
    fitting = int(options.disk_gib * (1 << 30) / PEAK_BYTES_PER_ENTRY)
    deadline_s = time.monotonic() + options.minutes * 60
    reports: list[dict[str, Any]] = []
    try:
        rebuild_per_s = measure_rebuild(place / "rebuilt")
        layout = Layout(place / "grown")
        layout.make_missing_folders()
        growth = Growth(layout)
        for terabytes in sorted(options.tb):
            wanted = entries_of(terabytes)
            say(f"{terabytes:g} TB: {wanted / 1e6:.1f} million chunks")
            growth.fill(min(wanted, fitting), deadline_s)
            report = probe_apart(layout.state, growth.entries)
            report |= {"terabytes": terabytes, "wanted_entries": wanted}
            report |= {"entries": growth.entries, "fill_s": growth.seconds}
            reports.append(report)
            (CACHE_DIRECTORY / "index.json").write_text(json.dumps(reports, indent=2) + "\n")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    sys.stdout.write(f"\n{write_report(reports, rebuild_per_s)}\n")


def main(arguments: list[str]) -> int:
    """Run the bench. Gives the exit status."""
    parser = argparse.ArgumentParser(prog="make bench-index", description=__doc__)
    parser.add_argument("--tb", type=float, nargs="+", default=[1, 10, 50])
    parser.add_argument("--disk-gib", type=float, default=12, help="disk to use at most")
    parser.add_argument("--minutes", type=float, default=20, help="filling ends then")
    parser.add_argument("--probe", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.probe:
        state, entries = options.probe
        sys.stdout.write(json.dumps(probe(Layout(Path(state)), int(entries))))
    else:
        run_bench(options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
