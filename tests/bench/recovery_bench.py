"""Recovery measured: boots, reads, several VMs at once, and the way home.

Owns: what `make bench-recovery` measures and prints. Never does: judge, but for naming the bound
beside the figure. Rows of one kind are measured in turns within one run, because the machine may be
busy: their ratios count, not their seconds.

    python -m tests.bench.recovery_bench [--runs N] [--rows boot,reads,vms,failback,drill,browse]

    boot      from power-on to the login prompt, the demo's Debian over an empty overlay: below it
              the raw file, the mount, and NBD, which is what `boot` uses. cold: the pages of all
              files below are dropped first and the server is new; warm: the same once more. Beside
              it how long QEMU waited for reads, and how much it read
    reads     4 KiB at random offsets with data, and 1 MiB in order, by one thread: the mount and
              NBD, each beside a raw file under the same binding (a Python program that only reads)
    vms       four VMs of one point, started together: seconds until all are ready
    failback  to a local image in which 1 % of the blocks of 4 KiB differ

`build/bench/recovery.json`: all figures.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from appliance.base.errors import HoldfastError
from appliance.base.text import size
from appliance.recovery.hardware import Hardware, Machine, build_argv
from appliance.recovery.monitor import Monitor
from appliance.recovery.overlay import create_overlay, needed_bytes
from appliance.sources.nbd import NbdAddress, NbdClient, list_exports
from image.debian_disk import open_cache, provide_first
from image.workbench import say
from tests.bench.browse_rows import describe_browse, measure_browse
from tests.bench.drill_row import measure_drill
from tests.bench.reads import choose_offsets, drop_pages
from tests.command import ROOT, Holdfast

ROWS = ("boot", "reads", "vms", "failback", "drill", "browse")
BOOT_BOUND = 1.25
FAILBACK_BOUND = 1.1
VMS = 4
_BLOCK_BYTES = 4096
_BOOT_TIMEOUT_S = 400
_RANDOM_READS = 2000
_SEQUENTIAL_BYTES = 256 << 20
_SEED = 20261121

Report = dict[str, Any]
Read = Callable[[int, int], bytes]
Opened = Callable[[], AbstractContextManager[Read]]


class Lab:
    """A store with the demo's Debian in it, and the same disk as a raw file."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.raw = place / "raw.img"
        cache = open_cache()
        cache.copy(provide_first(cache), self.raw)
        self.holdfast = Holdfast(place / "state")
        self.holdfast("init", "--recovery-out", place / "recovery.txt", expect=0)
        self.holdfast("backup", self.raw, "--machine", "web1", expect=0, timeout_s=600)

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """The disk in a mount of its own."""
        directory = self.place / "mount"
        self.holdfast("mount", directory, expect=0)
        try:
            (point,) = (directory / "web1").iterdir()
            yield point / "disk0.raw"
        finally:
            self.holdfast("umount", directory, expect=0)

    @contextmanager
    def served(self) -> Iterator[Path]:
        """The socket where the disk is served."""
        path = self.place / "disks.sock"
        server = self.holdfast.start("--json", "nbd", "web1@latest", "--socket", path)
        assert server.stdout is not None
        server.stdout.readline()
        try:
            yield path
        finally:
            server.terminate()
            server.wait()

    @contextmanager
    def raw_served(self) -> Iterator[Path]:
        """The socket where our own server serves the raw file: what NBD alone costs."""
        path, files = self.place / "raw.sock", self.place / "files"
        point = files / "web1/2026-11-21T09:30:00Z"
        point.mkdir(parents=True, exist_ok=True)
        (point / "0").unlink(missing_ok=True)
        os.link(self.raw, point / "0")
        argv = [sys.executable, "-m", "tests.recovery.mount_process", str(self.place / "none")]
        with subprocess.Popen(
            [*argv, str(files), str(path), "web1@2026-11-21T09:30:00Z"], cwd=ROOT
        ) as server:
            try:
                _await(lambda: _answers(path))
                yield path
            finally:
                server.terminate()

    @contextmanager
    def raw_mounted(self) -> Iterator[Path]:
        """The raw file behind a FUSE program that only reads it."""
        directory = self.place / "raw-mount"
        directory.mkdir(exist_ok=True)
        argv = [sys.executable, "-m", "tests.bench.passthrough", str(self.raw), str(directory)]
        with subprocess.Popen(argv, cwd=ROOT) as server:
            try:
                _await((directory / "raw").exists)
                yield directory / "raw"
            finally:
                subprocess.run(["umount", directory], check=True)
                server.wait()

    def drop(self) -> None:
        """Drop the pages of all that could be read."""
        os.sync()
        for path in (self.raw, self.holdfast.state):
            drop_pages(path)


def _answers(path: Path) -> bool:
    try:
        return bool(list_exports(NbdAddress(unix=path)))
    except HoldfastError:
        return False


def _await(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise SystemExit("the bench waited in vain")
        time.sleep(0.02)


# ---- boot ---------------------------------------------------------------------------------------


def measure_boots(lab: Lab, runs: int) -> Report:
    """Seconds to the prompt, of waiting for reads, and bytes read, by path and temperature."""
    samples: dict[str, list[Report]] = {}

    def boot_twice(name: str, node: str) -> None:
        for heat in ("cold", "warm"):
            samples.setdefault(f"{name} {heat}", []).append(_boot(lab, node))

    for number in range(runs):
        say(f"boot, round {number + 1} of {runs}")
        lab.drop()
        boot_twice("raw", _file_node(lab.raw))
        lab.drop()
        with lab.mounted() as file:
            boot_twice("mount", _file_node(file))
        lab.drop()
        with lab.served() as path:
            node = f"driver=nbd,server.type=unix,server.path={path},export=disk0"
            boot_twice("NBD", node)
    return {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for name, found in samples.items()
    }


def _file_node(path: Path) -> str:
    return f"driver=raw,file.driver=file,file.filename={path}"


def _boot(lab: Lab, node: str) -> Report:
    folder = Path(tempfile.mkdtemp(dir=lab.place))
    size_bytes = lab.raw.stat().st_size
    create_overlay(folder, 0, "nothing", size_bytes)
    accelerator: Any = os.environ.get("HOLDFAST_ACCEL", "tcg")
    machine = Machine("bench", Hardware(memory_mib=512), (needed_bytes(size_bytes),), accelerator)
    argv = [
        f"{node},node-name=point0,read-only=on" if "node-name=point0" in word else word
        for word in build_argv(folder, machine)
        if word != "-S"  # nobody says `cont` here
    ]
    serial = folder / "serial.log"
    began_s = time.monotonic()
    with subprocess.Popen(argv, cwd=folder) as qemu:
        try:
            _await(lambda: serial.exists() and b"login:" in serial.read_bytes(), _BOOT_TIMEOUT_S)
            seconds = time.monotonic() - began_s
            with Monitor(folder) as monitor:
                stats = monitor.ask("query-blockstats")[0]["stats"]
        finally:
            qemu.kill()
    shutil.rmtree(folder)
    return {
        "seconds": round(seconds, 2),
        "wait_s": round(stats["rd_total_time_ns"] / 1e9, 2),
        "read_bytes": stats["rd_bytes"],
    }


# ---- reads --------------------------------------------------------------------------------------


def measure_reads(lab: Lab) -> Report:
    """Reads a second at random offsets, and bytes a second in order, each beside its yardstick."""
    offsets = choose_offsets(lab.raw)[:_RANDOM_READS]
    report: Report = {}
    ways: tuple[tuple[str, Opened], ...] = (
        ("raw file by FUSE", lambda: _reading_file(lab.raw_mounted())),
        ("mount", lambda: _reading_file(lab.mounted())),
        ("raw file by NBD", lambda: _reading_nbd(lab.raw_served())),
        ("NBD", lambda: _reading_nbd(lab.served())),
    )
    for name, opened in ways:
        say(f"reads: {name}")
        lab.drop()
        with opened() as read:
            report[name] = {"cold_reads_per_s": _read_random(read, offsets)}
            report[name]["warm_reads_per_s"] = _read_random(read, offsets)
        lab.drop()
        with opened() as read:
            report[name]["sequential_bytes_per_s"] = _read_in_order(read)
    return report


@contextmanager
def _reading_file(source: AbstractContextManager[Path]) -> Iterator[Read]:
    with source as path:
        descriptor = os.open(path, os.O_RDONLY)

        def read(offset: int, length: int) -> bytes:
            data = os.pread(descriptor, length, offset)
            # Otherwise the kernel's cache would answer when it is asked again.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            return data

        yield read
        os.close(descriptor)


@contextmanager
def _reading_nbd(source: AbstractContextManager[Path]) -> Iterator[Read]:
    with source as path, NbdClient(NbdAddress("disk0", path)) as client:

        def read(offset: int, length: int) -> bytes:
            data = bytearray(length)
            client.read_into(offset, memoryview(data))
            return bytes(data)

        yield read


def _read_random(read: Read, offsets: list[int]) -> int:
    began_s = time.monotonic()
    for offset in offsets:
        read(offset, _BLOCK_BYTES)
    return round(len(offsets) / (time.monotonic() - began_s))


def _read_in_order(read: Read) -> int:
    began_s = time.monotonic()
    for offset in range(0, _SEQUENTIAL_BYTES, 1 << 20):
        read(offset, 1 << 20)
    return round(_SEQUENTIAL_BYTES / (time.monotonic() - began_s))


# ---- several VMs, and home ----------------------------------------------------------------------


def measure_vms(lab: Lab) -> Report:
    """Seconds until one VM is ready, and until four that were started together all are."""
    report: Report = {}
    for count in (1, VMS):
        say(f"vms: {count} at once")
        words = ("boot", "web1@latest", "--memory", "384", "--timeout", str(_BOOT_TIMEOUT_S))
        began_s = time.monotonic()
        started = [lab.holdfast.start(*words, "--name", f"vm{number}") for number in range(count)]
        codes = [process.wait() for process in started]
        report[f"{count} at once"] = {"seconds": round(time.monotonic() - began_s, 1)}
        for number in range(count):
            lab.holdfast("stop", f"vm{number}", "--discard")
        if any(codes):
            raise SystemExit(f"VMs did not become ready: exit codes {codes}")
    return report


def measure_failback(lab: Lab) -> Report:
    """Bytes written to a target in which 1 % of the blocks differ, and what really changed."""
    say("failback")
    target = lab.place / "home.img"
    subprocess.run(["cp", "--sparse=always", lab.raw, target], check=True)
    chooser = random.Random(_SEED)
    blocks = target.stat().st_size // _BLOCK_BYTES
    with target.open("r+b") as file:
        for block in chooser.sample(range(blocks), blocks // 100):
            file.seek(block * _BLOCK_BYTES)
            file.write(chooser.randbytes(_BLOCK_BYTES))
    before = lab.place / "before.img"
    subprocess.run(["cp", "--sparse=always", target, before], check=True)
    words = ("boot", "web1@latest", "--name", "home", "--timeout", str(_BOOT_TIMEOUT_S))
    lab.holdfast(*words, expect=0, timeout_s=_BOOT_TIMEOUT_S)
    done = lab.holdfast(
        "--json", "failback", "home", target, "--force", expect=0, timeout_s=900
    ).json()
    changed = _count_differing(before, target) * _BLOCK_BYTES
    lab.holdfast("stop", "home", "--discard")
    return {
        "changed_bytes": changed,
        "written_bytes": done["written_bytes"],
        "ratio": round(done["written_bytes"] / changed, 3),
        "pause_s": done["pause_s"],
    }


def _count_differing(one: Path, other: Path) -> int:
    count = 0
    with one.open("rb") as first, other.open("rb") as second:
        while data := first.read(1 << 20):
            there = second.read(1 << 20)
            if data != there:
                count += sum(
                    data[at : at + _BLOCK_BYTES] != there[at : at + _BLOCK_BYTES]
                    for at in range(0, len(data), _BLOCK_BYTES)
                )
    return count


# ---- the report ---------------------------------------------------------------------------------


def write_table(report: Report) -> str:
    """The report as text."""
    lines = []
    boots = report.get("boot", {})
    for name, one in boots.items():
        ratio = one["seconds"] / boots[f"raw {name.split()[-1]}"]["seconds"]
        bound = "" if name.startswith("raw") else f"  {ratio:.2f}x raw (bound {BOOT_BOUND}x)"
        lines.append(
            f"boot to login, {name:<11}{one['seconds']:>7.1f} s, waited {one['wait_s']:.1f} s for "
            f"{size(one['read_bytes'])}{bound}"
        )
    for name, one in report.get("reads", {}).items():
        lines.append(
            f"reads, {name:<17}{one['cold_reads_per_s']:>8}/s cold {one['warm_reads_per_s']:>8}/s "
            f"warm, in order {size(one['sequential_bytes_per_s'])}/s"
        )
    for name, one in report.get("vms", {}).items():
        lines.append(f"VMs, {name}: all ready after {one['seconds']:.1f} s")
    if "failback" in report:
        one = report["failback"]
        lines.append(
            f"failback: {size(one['written_bytes'])} written for {size(one['changed_bytes'])} "
            f"changed, {one['ratio']}x (bound {FAILBACK_BOUND}x), guest paused {one['pause_s']} s"
        )
    if "drill" in report:
        one = report["drill"]
        lines.append(f"drill: RTO {one['rto_s']:.1f} s, with clearing up {one['whole_s']:.1f} s")
    lines += describe_browse(report.get("browse", {}))
    return "\n".join(lines)


def main() -> int:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(prog="recovery_bench", description="Measure recovery.")
    parser.add_argument("--runs", type=int, default=3, help="rounds of boots (default 3)")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {', '.join(ROWS)}")
    options = parser.parse_args()
    rows = options.rows.split(",")
    build = ROOT / "build" / "bench"
    build.mkdir(parents=True, exist_ok=True)
    report: Report = {}
    with tempfile.TemporaryDirectory(prefix="recovery-", dir=build) as place:
        lab = Lab(Path(place))
        try:
            if "boot" in rows:
                report["boot"] = measure_boots(lab, options.runs)
            if "reads" in rows:
                report["reads"] = measure_reads(lab)
            if "vms" in rows:
                report["vms"] = measure_vms(lab)
            if "failback" in rows:
                report["failback"] = measure_failback(lab)
            if "drill" in rows:
                report["drill"] = measure_drill(lab.holdfast, "web1")
            if "browse" in rows:
                report["browse"] = measure_browse(Path(place))
        finally:
            lab.holdfast.close()
    (build / "recovery.json").write_text(json.dumps(report, indent=1))
    sys.stdout.write(write_table(report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
