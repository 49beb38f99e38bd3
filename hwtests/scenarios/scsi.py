"""The kernel's own simulated SCSI disks: media errors, many at once, and one that hangs."""

from __future__ import annotations

import errno
import time

from hwtests.bench import await_true, findings, succeed
from hwtests.guest import Guest
from hwtests.scenario import Scenario
from hwtests.scenarios.pages import debug_beside_smartctl

_DRIVER = "/sys/bus/pseudo/drivers/scsi_debug"
_DISKS = 24
_BAD_LBA = 0x1234  # scsi_debug: opts=2 makes reads of 4660 to 4669 fail
_HANG_JIFFIES = 60 * 250  # Debian's kernel counts 250 a second
_OTHERS_MAX_S = 60.0


def _names(guest: Guest) -> list[str]:
    """Kernel names of scsi_debug's disks, which are there from the first question on."""
    guest.load("scsi_debug", f"dev_size_mb=8 num_tgts={_DISKS} vpd_use_hostno=0")
    listed = guest.holdfast("--json", "disks").json()["disks"]
    return [disk["name"] for disk in listed if "scsi_debug" in disk["model"]]


def many(guest: Guest) -> str:
    """24 disks appear at once, and one look has them all."""
    names = await_true(lambda: _all(_names(guest)), "24 disks")
    began_s = time.monotonic()
    said = guest.holdfast("--json", "health")
    seconds = time.monotonic() - began_s
    assert not findings(said, "disk.silent"), said.out[:500]
    listed = guest.holdfast("--json", "disks").json()["disks"]
    serials = {disk["serial"] for disk in listed if disk["name"] in names}
    assert len(serials) == _DISKS, serials
    return f"{len(names)} disks with {len(serials)} serial numbers, health in {seconds:.1f} s"


def _all(names: list[str]) -> list[str] | None:
    return names if len(names) == _DISKS else None


def medium_error(guest: Guest) -> str:
    """A sector that cannot be read is a finding with its LBA."""
    name = await_true(lambda: _names(guest), "a disk of scsi_debug")[0]
    number = guest.start("--json", "health", "--watch")
    await_true(lambda: guest.output(number), "the first look of the watch")
    dd = f"dd if=/dev/{name} of=/dev/null bs=512 skip={_BAD_LBA} count=1 iflag=direct"
    guest.write(f"{_DRIVER}/opts", "2")
    try:
        found_s = guest.time_until(number, f"LBA {_BAD_LBA}", "sh", "-c", f"! {dd}")
    finally:
        guest.write(f"{_DRIVER}/opts", "0")
    guest.end(number)
    return f"{name}: LBA {_BAD_LBA} named {found_s:.1f} s after it was read, by the guest's clock"


def _set_delay(guest: Guest, jiffies: int) -> None:
    """How long each command takes. The driver refuses that while a command is under way."""

    def write() -> bool:
        try:
            guest.write(f"{_DRIVER}/delay", str(jiffies))
        except AssertionError as error:
            if f"[Errno {errno.EBUSY}]" not in str(error):
                raise
            return False
        return True

    await_true(write, "scsi_debug is idle")


def hang(guest: Guest) -> str:
    """A disk that takes a minute for each command is said to be silent; the others are judged."""
    names = await_true(lambda: _all(_names(guest)), "24 disks")
    _set_delay(guest, _HANG_JIFFIES)
    try:
        began_s = time.monotonic()
        said = guest.holdfast("--json", "health", timeout_s=240)
        seconds = time.monotonic() - began_s
    finally:
        _set_delay(guest, 0)
    silent = findings(said, "disk.")
    assert seconds < _OTHERS_MAX_S, f"the look took {seconds:.0f} s"
    assert said.json()["disks"] > len(names), said.out[:300]
    assert silent, said.out[:500]
    return f"{seconds:.1f} s for all disks, {len(silent)} silent"


def remove(guest: Guest) -> str:
    """All of them go at once."""
    succeed(guest.run("sh", "-c", f"echo -{_DISKS} > {_DRIVER}/add_host || true"))
    return "gone"


_QEMU = frozenset(("qemu", "modules"))
SCENARIOS = (
    Scenario("24 disks at once", "all listed and judged in one look", many, needs=_QEMU),
    Scenario("medium error", "finding with the LBA", medium_error, needs=_QEMU),
    Scenario(
        "scsi_debug's pages beside smartctl -x -j",
        "0 fields differ",
        debug_beside_smartctl,
        needs=_QEMU,
    ),
    Scenario(
        "a disk that takes 60 s per command", "others are judged within 60 s", hang, needs=_QEMU
    ),
)
