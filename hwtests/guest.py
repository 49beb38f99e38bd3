"""A guest under QEMU, with the disks of a machine that nobody has to own.

Owns its making, its console, its monitor and the conversation with the agent in it. The guest sees
this machine's files read-only (9P), so the product in it is the one here. Emulated always: what
runs in it is slow, but the same everywhere.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.base.process import find_program
from appliance.recovery.monitor import SOCKETS, Monitor
from hwtests.bench import PATIENCE_S, Said
from tests.guest.archive import gather, pack
from tests.guest.kernel import COMMAND_LINE, FULL, ROOT, order_modules, provide_kernel

MODULES = (
    *("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "ahci", "nvme", "sd_mod", "sg"),
    *("virtio_scsi", "megaraid_sas", "ext4", "crc32c_generic", "md-mod", "raid1", "raid456"),
)
# The TSC is measured while the guest boots: beside a load of 30 its clock once ran seven times too
# fast. The HPET says itself how fast it is.
_CLOCK = "clocksource=hpet"
_MEMORY_MIB = 1024
_BOOT_TIMEOUT_S = 600.0
# It may be in the midst of a look that waits for a disk.
_END_TIMEOUT_S = 90.0
_LATE_S = 60.0  # for the answer to come through
_AGENT = "agent.sock"
_STATE = "/tmp/state"


@dataclass(frozen=True)
class Drive:
    """One disk of the guest.

    Attributes:
        kind: nvme, sata, scsi, virtio, or megaraid.
        role: what scenarios ask for; "" for nobody's.
        more: further properties of QEMU's device.
    """

    kind: str
    serial: str
    size_mib: int = 64
    role: str = ""
    more: str = ""


class Guest:
    """A running guest. `with Guest(...) as bench:` boots it and switches it off."""

    can = frozenset(("qemu", "modules", "clock"))

    def __init__(self, place: Path, drives: list[Drive], extra: list[str] | None = None) -> None:
        self._place = place
        self._drives = drives
        self._extra = extra or []
        self._waiting = b""
        self._started: dict[int, str] = {}
        self._starts = 0
        self._asked = 0
        self.boot_s = 0.0

    # ---- life ----

    def __enter__(self) -> Guest:
        """Boot, until the agent in it answers. Raises AssertionError with its last words."""
        began_s = time.monotonic()
        self._place.mkdir(parents=True, exist_ok=True)
        kernel, self._modules = provide_kernel(FULL)
        initrd = self._place / "initrd"
        _write_initrd(initrd, self._modules)
        log = (self._place / "qemu.txt").open("wb")
        with log:
            self._process = subprocess.Popen(
                self._argv(kernel, initrd), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._socket = self._connect()
            reply = self._read_line(_BOOT_TIMEOUT_S)
            assert reply.get("ready"), reply
        except BaseException:
            self._kill()
            raise
        self.boot_s = time.monotonic() - began_s
        return self

    def __exit__(self, *_: object) -> None:
        """Switch off."""
        self._socket.close()
        self._kill()

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for drive in self._drives:
            self._image(drive).unlink(missing_ok=True)

    @property
    def console(self) -> str:
        """What the kernel said."""
        path = self._place / "console.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    # ---- what the host does to it ----

    def ask_qemu(self, command: str, **arguments: object) -> Any:
        """A command of QEMU's monitor."""
        with Monitor(self._place) as monitor:
            return monitor.ask(command, **arguments)

    def plug(self, drive: Drive) -> None:
        """Plug an NVMe disk into its root port again."""
        options = dict(item.split("=", 1) for item in _device(drive).split(",")[1:])
        driver = _device(drive).split(",")[0]
        node = f"drive-{drive.serial}"
        nodes = {item["node-name"] for item in self.ask_qemu("query-named-block-nodes")}
        if node not in nodes:
            self.ask_qemu(
                "blockdev-add",
                driver="file",
                filename=str(self._image(drive)),
                **{"node-name": node},
            )
        self.ask_qemu("device_add", driver=driver, **{**options, "drive": node})

    def drive(self, serial: str) -> Drive:
        """The drive with this serial number."""
        return next(drive for drive in self._drives if drive.serial == serial)

    # ---- what runs in it ----

    def run(self, *argv: str, stdin: str = "", timeout_s: float = PATIENCE_S) -> Said:
        """Run a program."""
        return self._said(
            {"what": "run", "argv": list(argv), "stdin": stdin, "timeout_s": timeout_s}
        )

    def holdfast(self, *arguments: str, timeout_s: float = PATIENCE_S) -> Said:
        """Run the product."""
        words = ["--state", _STATE, *arguments]
        return self._said({"what": "product", "arguments": words, "timeout_s": timeout_s})

    def start(self, *arguments: str) -> int:
        """Start the product and leave it running."""
        self._starts += 1
        out = f"/tmp/started-{self._starts}"
        words = ["--state", _STATE, *arguments]
        request = {"what": "start", "arguments": words, "out": out, "err": f"{out}.err"}
        pid = int(self.ask(request)["pid"])
        self._started[pid] = out
        return pid

    def output(self, number: int) -> str:
        """What the started product has printed so far."""
        return str(self.ask({"what": "read", "path": self._started[number]})["text"])

    def time_until(
        self, number: int, text: str, *argv: str, timeout_s: float = PATIENCE_S
    ) -> float:
        """Run a program; gives the guest's seconds until the started product says `text`."""
        request = {"what": "time", "argv": argv, "text": text, "timeout_s": timeout_s}
        return float(self.ask({**request, "path": self._started[number]})["seconds"])

    def end(self, number: int) -> None:
        """End what was started, and wait until it is gone."""
        del self._started[number]
        self.ask({"what": "end", "pid": number, "timeout_s": _END_TIMEOUT_S})

    def end_all(self) -> None:
        """End whatever was started and still runs."""
        for number in list(self._started):
            self.end(number)

    def signal(self, number: int, signal_number: int) -> None:
        """Send a signal to what was started."""
        self.ask({"what": "signal", "pid": number, "number": signal_number})

    def load(self, name: str, parameters: str = "") -> None:
        """Load a module and what it needs."""
        for path in order_modules(self._modules, [name]):
            own = parameters if path.stem.replace("-", "_") == name.replace("-", "_") else ""
            self.ask({"what": "load", "path": str(path), "parameters": own})

    def write(self, path: str, text: str) -> None:
        """Write a file, of sysfs for instance."""
        self.ask({"what": "write", "path": path, "text": text})

    def read(self, path: str) -> str:
        """Read a file."""
        return str(self.ask({"what": "read", "path": path})["text"])

    def set_clock(self, forward_s: float) -> None:
        """Set the guest's clock forward."""
        self.ask({"what": "clock", "forward_s": forward_s})

    def offers(self, role: str) -> int:
        """How many drives it has for `role`."""
        return sum(drive.role == role for drive in self._drives)

    def disks(self, role: str, count: int) -> list[str]:
        """Kernel names of disks for `role`, found by their serial numbers."""
        serials = [drive.serial for drive in self._drives if drive.role == role][:count]
        known = {
            disk["serial"]: disk["name"]
            for disk in self.holdfast("disks", "--json").json()["disks"]
        }
        names = [known[serial] for serial in serials if serial in known]
        assert len(names) == count, f"{role}: {serials} are not all among {known}"
        return names

    def _said(self, request: dict[str, Any]) -> Said:
        reply = self.ask(request)
        return Said(reply["code"], reply["out"], reply["err"], reply.get("seconds", 0.0))

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask the agent. Raises AssertionError with what it could not do."""
        self._asked += 1
        self._socket.sendall(json.dumps({**request, "id": self._asked}).encode() + b"\n")
        timeout_s = float(request.get("timeout_s", PATIENCE_S)) + _LATE_S
        # What was given up on may still be answered.
        while (reply := self._read_line(timeout_s)).get("id") != self._asked:
            continue
        assert "error" not in reply, reply["error"]
        return reply

    # ---- how it is made ----

    def _image(self, drive: Drive) -> Path:
        return self._place / f"{drive.serial}.raw"

    def _argv(self, kernel: Path, initrd: Path) -> list[str]:
        argv = [find_program("qemu-system-x86_64", "qemu-system-x86"), "-nodefaults"]
        argv += ["-no-user-config", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"]
        argv += ["-smp", "2", "-m", f"{_MEMORY_MIB}M", "-display", "none", "-no-reboot"]
        argv += ["-kernel", str(kernel), "-initrd", str(initrd)]
        argv += ["-append", f"{COMMAND_LINE} {_CLOCK}"]
        argv += ["-serial", f"file:{self._place / 'console.txt'}"]
        argv += ["-qmp", f"unix:{self._place / SOCKETS[0]},server=on,wait=off"]
        argv += ["-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"]
        argv += ["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"]
        argv += ["-device", "virtio-serial-pci"]
        argv += ["-chardev", f"socket,id=agent,path={self._place / _AGENT},server=on,wait=off"]
        argv += ["-device", "virtserialport,chardev=agent,name=agent"]
        argv += ["-device", "virtio-scsi-pci,id=scsi", "-device", "megasas,id=raid"]
        ports = iter(range(6))  # of q35's AHCI
        for number, drive in enumerate(self._drives):
            with self._image(drive).open("wb") as file:
                file.truncate(drive.size_mib << 20)
            if drive.kind == "nvme":
                port = (
                    f"pcie-root-port,id=port-{drive.serial},chassis={number + 1},slot={number + 1}"
                )
                argv += ["-device", port]
            # The host never fails here, and nobody needs what is on these disks afterwards.
            argv += [
                "-blockdev",
                f"driver=file,filename={self._image(drive)},node-name=drive-{drive.serial},"
                "cache.no-flush=on,discard=unmap",
                "-device",
                f"{_device(drive)},drive=drive-{drive.serial}"
                + (f",bus=ide.{next(ports)}" if drive.kind == "sata" else ""),
            ]
        return argv + self._extra

    def _connect(self) -> socket.socket:
        deadline_s = time.monotonic() + 30
        while True:
            channel = socket.socket(socket.AF_UNIX)
            folder = os.open(self._place, os.O_PATH | os.O_DIRECTORY)
            try:
                channel.connect(f"/proc/self/fd/{folder}/{_AGENT}")
            except OSError:
                channel.close()
                said = (self._place / "qemu.txt").read_text(errors="replace")
                assert self._process.poll() is None, f"QEMU ended: {said}"
                assert time.monotonic() < deadline_s, f"QEMU does not listen: {said}"
                time.sleep(0.05)
            else:
                return channel
            finally:
                os.close(folder)

    def _read_line(self, timeout_s: float) -> dict[str, Any]:
        deadline_s = time.monotonic() + timeout_s
        while b"\n" not in self._waiting:
            ready, _, _ = select.select([self._socket], [], [], 1.0)
            if ready:
                piece = self._socket.recv(1 << 20)
                assert piece, f"the guest is gone: {self.console[-3000:]}"
                self._waiting += piece
            assert self._process.poll() is None, f"QEMU ended: {self.console[-3000:]}"
            assert time.monotonic() < deadline_s, (
                f"no answer of the guest within {timeout_s:.0f} s: {self.console[-3000:]}"
            )
        line, self._waiting = self._waiting.split(b"\n", 1)
        reply: dict[str, Any] = json.loads(line)
        return reply


def _device(drive: Drive) -> str:
    """QEMU's device of a drive, without its backend."""
    name = f"id=disk-{drive.serial},serial={drive.serial}"
    kind = {
        "nvme": f"nvme,{name},bus=port-{drive.serial}",
        "sata": f"ide-hd,{name}",
        "scsi": f"scsi-hd,{name},bus=scsi.0",
        "virtio": f"virtio-blk-pci,{name}",
        "megaraid": f"scsi-hd,{name},bus=raid.0,vendor=LSI,product=MR9271-8i",
    }[drive.kind]
    return f"{kind},{drive.more}" if drive.more else kind


def _write_initrd(target: Path, modules: Path) -> None:
    # What the first process imports, found by importing it here.
    program = (
        "import ctypes, json, os, sys; from pathlib import Path; "
        "print(json.dumps([getattr(one, '__file__', None) for one in sys.modules.values()]))"
    )
    argv = [sys.executable, "-IS", "-c", program]
    found = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
    files = [name for name in found if name and Path(name).is_file()]
    content = gather(files, order_modules(modules, MODULES))
    source = Path(__file__).with_name("first_process.py").read_bytes()
    python = os.path.realpath(sys.executable)
    content["/init"] = f"#!{python} -IS\n".encode() + source
    plan = {
        "folder": str(ROOT),
        "argv": [sys.executable, "-m", "hwtests.agent"],
        "environment": {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "MDADM_NO_UDEV": "1",  # none runs there; device nodes come from the kernel
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": "/tmp",
        },
    }
    content["/plan.json"] = json.dumps(plan).encode()
    target.write_bytes(pack(content))


def provide_programs() -> None:
    """Have the kernel here, and name the Debian package of a program that is not."""
    provide_kernel(FULL)
    for name, package in (
        ("mdadm", "mdadm"),
        ("smartctl", "smartmontools"),
        ("nvme", "nvme-cli"),
        ("ipmitool", "ipmitool"),
        ("dmsetup", "dmsetup"),
    ):
        find_program(name, package)


def remove(place: Path) -> None:
    """Forget a guest's files."""
    shutil.rmtree(place, ignore_errors=True)
