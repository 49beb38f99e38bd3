"""The guest's only program: it runs the command, and marks in the log what was acknowledged.

Owns: the steps, and everything between the kernel and them. Never does: check anything; whether a
cut hurt is seen on the host. `rehearse` runs the same steps in a directory of the host, to learn
which files they need.

Each filesystem is on a device-mapper target that writes every request to a second disk:

    /dev/vda, /dev/vdb      ext4 and its log (dm-log-writes)
    /dev/vdc, /dev/vdd      XFS and its log (dm-log-writes)
    /dev/vde                ext4 on dm-flakey, which drops all writes from a moment on
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.powercut.content import make_disk

DISKS = {"ext4": ("/dev/vda", "/dev/vdb"), "xfs": ("/dev/vdc", "/dev/vdd")}
FLAKEY_DISK = "/dev/vde"
_POWER_OFF = 0x4321FEDC  # reboot(2), LINUX_REBOOT_CMD_POWER_OFF
_SECTOR_BYTES = 512
_DISK_FILE = "disk.raw"


def choose_step(number: int) -> tuple[str, str, int]:
    """Step `number` (from 0): (kind, machine, generation)."""
    turn, place = divmod(number, 5)
    return (
        ("backup", "a", 2 * turn),
        ("backup", "b", turn),
        ("backup", "a", 2 * turn + 1),
        ("forget", "a", 2 * turn),
        ("collect", "", 0),
    )[place]


class Steps:
    """The command on one state, one step after the other."""

    def __init__(self, state: Path, work: Path) -> None:
        self._state = state
        self._image = work / _DISK_FILE
        self._said = work / "said.json"
        self._complained = work / "complained.txt"
        self._names: dict[tuple[str, int], str] = {}

    def run(self, number: int) -> str:
        """Do step `number`; gives its mark: kind, machine, generation and point, or dies."""
        kind, machine, generation = choose_step(number)
        if kind == "backup":
            self._image.write_bytes(make_disk(machine, generation))
            answer = self._call("backup", str(self._image), "--machine", machine)
            self._names[machine, generation] = str(answer["name"])
        elif kind == "forget":
            self._call("forget", self._names[machine, generation], "--now")
        else:
            self._call("collect")
        point = self._names.get((machine, generation), "")
        return f"{number}|{kind}|{machine}|{generation}|{point}"

    def _call(self, *arguments: str) -> dict[str, object]:
        """Run the command within this process: under emulation its imports take seconds."""
        from appliance.cli.main import main

        # Into files, as in the rehearsal: a console would bring progress bars and their modules.
        with self._said.open("wb") as said, self._complained.open("wb") as complained:
            before = os.dup(1), os.dup(2)
            os.dup2(said.fileno(), 1)
            os.dup2(complained.fileno(), 2)
            try:
                code = main(["--state", str(self._state), "--json", *arguments])
                sys.stdout.flush()
            finally:
                for number, descriptor in enumerate(before, start=1):
                    os.dup2(descriptor, number)
                    os.close(descriptor)
        if code != 0:
            raise RuntimeError(f"{arguments}: exit {code}: {self._complained.read_text()}")
        answer: dict[str, object] = json.loads(self._said.read_bytes() or b"{}")
        return answer


def rehearse(state: Path, work: Path) -> None:
    """Do the first steps here, and print as JSON which files of this machine that took."""
    steps = Steps(state, work)
    for number in range(5):
        steps.run(number)
    modules = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    found = {str(name) for name in modules | mapped if name and Path(str(name)).is_file()}
    print(json.dumps(sorted(found)))


# ---- in the guest -------------------------------------------------------------------------------


def main(marks: int, flakey: bool) -> None:
    """Be the first process: record, and switch the power off whatever happens."""
    try:
        _prepare_kernel()
        _record(marks)
        if flakey:
            _record_flakey()
        print("RECORDED", flush=True)
    except BaseException as error:
        import traceback

        traceback.print_exc()
        print(f"FAILED {error}", flush=True)
    finally:
        os.sync()
        libc = ctypes.CDLL(None)
        libc.reboot(ctypes.c_uint(_POWER_OFF))


def _prepare_kernel() -> None:
    for kind, directory in (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")):
        Path(directory).mkdir(exist_ok=True)
        _mount(kind, Path(directory), kind)
    os.environ |= {"DM_DISABLE_UDEV": "1", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    libc = ctypes.CDLL(None, use_errno=True)
    for name in Path("/modules/order").read_text().split():
        with Path("/modules", name).open("rb") as file:
            finit_module = 313  # syscall number, x86-64
            if libc.syscall(finit_module, file.fileno(), b"", 0) != 0:
                print(f"{name}: {os.strerror(ctypes.get_errno())}", flush=True)
    _await(lambda: Path(FLAKEY_DISK).exists())


def _record(marks: int) -> None:
    """Half of the marks on each filesystem, in turns.

    Nothing is unmounted: a mark writes the log's super block, and behind the last one nothing
    is looked at.
    """
    steps = {}
    for kind, (data, log) in DISKS.items():
        _dmsetup("create", kind, "--table", f"0 {_count_sectors(data)} log-writes {data} {log}")
        target = Path("/mnt", kind)
        target.mkdir(parents=True)
        _mount(f"/dev/mapper/{kind}", target, kind)
        work = Path("/tmp", kind)
        work.mkdir(parents=True)
        steps[kind] = Steps(target / "state", work)
    for number in range(-(-marks // 2)):
        for kind, sequence in steps.items():
            mark = sequence.run(number)
            _dmsetup("message", kind, "0", "mark", mark)
            print(f"MARK {kind} {mark}", flush=True)


def _record_flakey() -> None:
    """Two acknowledged points, then a backup during which the disk stops taking writes."""
    sectors = _count_sectors(FLAKEY_DISK)
    _dmsetup("create", "flakey", "--table", f"0 {sectors} linear {FLAKEY_DISK} 0")
    target, work = Path("/mnt/flakey"), Path("/tmp/flakey")
    target.mkdir(parents=True)
    work.mkdir(parents=True)
    _mount("/dev/mapper/flakey", target, "ext4")
    steps = Steps(target / "state", work)
    for number in (0, 1):
        print(f"MARK flakey {steps.run(number)}", flush=True)
    dropping = f"0 {sectors} flakey {FLAKEY_DISK} 0 0 3600 1 drop_writes"
    _dmsetup("suspend", "--nolockfs", "--noflush", "flakey")
    _dmsetup("load", "flakey", "--table", dropping)
    _dmsetup("resume", "flakey")
    # It is told that all is well; nothing of it may count.
    steps.run(2)


def _dmsetup(*arguments: str) -> None:
    subprocess.run(["/usr/sbin/dmsetup", *arguments], check=True, stdin=subprocess.DEVNULL)


def _mount(source: str, target: Path, kind: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), str(target).encode(), kind.encode(), 0, b"") != 0:
        raise OSError(ctypes.get_errno(), f"mount of {source}")


def _count_sectors(device: str) -> int:
    with Path(device).open("rb") as file:
        return file.seek(0, os.SEEK_END) // _SECTOR_BYTES


def _await(is_there: Callable[[], bool], timeout_s: float = 120.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not is_there():
        if time.monotonic() > deadline_s:
            raise RuntimeError("the disks did not appear")
        time.sleep(0.05)
