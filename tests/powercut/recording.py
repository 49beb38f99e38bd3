"""A recording: the disks as they were before, and the logs of what a guest wrote to them.

Owns: the disks' making, the run of the guest. Never does: cut or check.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.base.process import find_program, run
from tests.command import Holdfast
from tests.guest.kernel import CLOUD, COMMAND_LINE, ROOT, order_modules, provide_kernel
from tests.powercut.initrd import MODULES, write_initrd
from tests.powercut.write_log import WriteLog

FILESYSTEMS = ("ext4", "xfs")
_DISK_BYTES = {"ext4": 192 << 20, "xfs": 320 << 20}  # mkfs.xfs refuses less than 300 MiB
_LOG_BYTES = 8 << 30
_MEMORY_MIB = 1024


@dataclass(frozen=True)
class Recording:
    """What the guest left: per filesystem the disk before it and the log; the flakey disk."""

    bases: dict[str, Path]
    logs: dict[str, WriteLog]
    flakey: Path
    console: str

    def marks(self, disk: str) -> list[str]:
        """What was acknowledged on `disk`, in order."""
        lead = f"MARK {disk} "
        lines = self.console.replace("\r", "").splitlines()
        return [line.partition(lead)[2] for line in lines if lead in line]


def record(place: Path, marks: int, timeout_s: float) -> Recording:
    """Run a guest that makes `marks` marks. Raises AssertionError with its last words."""
    bases = {kind: _make_disk(place, kind) for kind in FILESYSTEMS}
    initrd = place / "initrd"
    kernel, modules = provide_kernel(CLOUD)
    files = _rehearse(place)
    write_initrd(initrd, files, order_modules(modules, MODULES), marks, flakey=True)
    drives = []
    for kind in FILESYSTEMS:
        log = place / f"{kind}.log"
        with log.open("wb") as file:
            file.truncate(_LOG_BYTES)
        drives += [_copy(bases[kind], place / f"{kind}.guest"), log]
    flakey = _copy(bases["ext4"], place / "flakey.guest")
    console = _run_guest(place, kernel, initrd, [*drives, flakey], timeout_s)
    assert "RECORDED" in console, console[-4000:]
    logs = {kind: WriteLog(place / f"{kind}.log") for kind in FILESYSTEMS}
    return Recording(bases, logs, flakey, console)


@contextmanager
def mounted(disk: Path, kind: str, target: Path) -> Iterator[Path]:
    """The filesystem on `disk`, journal replayed as after any cut."""
    target.mkdir(exist_ok=True)
    options = "loop,nouuid" if kind == "xfs" else "loop"
    run(["mount", "-t", kind, "-o", options, str(disk), str(target)])
    try:
        yield target
    finally:
        run(["umount", str(target)])


def _make_disk(place: Path, kind: str) -> Path:
    """A filesystem with an empty store in `state`."""
    disk = place / f"{kind}.base"
    with disk.open("wb") as file:
        file.truncate(_DISK_BYTES[kind])
    quiet = ["-q", "-F"] if kind == "ext4" else ["-q"]
    run([find_program(f"mkfs.{kind}", "e2fsprogs xfsprogs"), *quiet, str(disk)])
    with mounted(disk, kind, place / "mnt") as target:
        _init(target / "state", place / f"{kind}.key")
    return disk


def _init(state: Path, key: Path) -> None:
    Holdfast(state)("init", "--recovery-out", key, expect=0)


def _copy(source: Path, target: Path) -> Path:
    run(["cp", "--sparse=always", str(source), str(target)])
    return target


def _rehearse(place: Path) -> list[str]:
    """The files that the guest's steps need, by doing them here once."""
    work = place / "rehearsal"
    work.mkdir()
    _init(work / "state", work / "key")
    paths = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    program = (
        f"import sys; sys.path[:0] = {paths!r}; from pathlib import Path; "
        "from tests.powercut.guest import rehearse; "
        f"rehearse(Path({str(work / 'state')!r}), Path({str(work)!r}))"
    )
    argv = [sys.executable, "-IS", "-c", program]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def _run_guest(
    place: Path, kernel: Path, initrd: Path, drives: list[Path], timeout_s: float
) -> str:
    """The guest's console. Emulated always: what runs in it is slow, but the same everywhere."""
    console = place / "console.txt"
    argv = [find_program("qemu-system-x86_64", "qemu-system-x86"), "-nodefaults"]
    argv += ["-no-user-config", "-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", "max"]
    argv += ["-smp", "2", "-m", f"{_MEMORY_MIB}M", "-display", "none", "-no-reboot"]
    argv += ["-kernel", str(kernel), "-initrd", str(initrd)]
    argv += ["-append", COMMAND_LINE]
    argv += ["-serial", f"file:{console}"]
    for drive in drives:
        # The host never fails here; the guest's flushes are what the log records.
        argv += ["-drive", f"file={drive},format=raw,if=virtio,cache=unsafe"]
    try:
        subprocess.run(argv, check=True, timeout=timeout_s, capture_output=True)
    except subprocess.SubprocessError as error:
        said = console.read_text(errors="replace")[-4000:] if console.exists() else ""
        raise AssertionError(f"{error}\n{said}") from error
    return console.read_text(errors="replace")
