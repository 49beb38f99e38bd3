"""NVMe: critical warnings, and pulling a disk and putting it back."""

from __future__ import annotations

from typing import Any

from hwtests.bench import await_true, findings
from hwtests.guest import Guest
from hwtests.scenario import Scenario

CRITICAL = "NVMECRIT"
PLUGGED = "NVMEPLUG"
# Health log, byte 0 (NVM Express base specification, SMART / Health Information).
_BITS = {1: "spare", 2: "temperature", 4: "reliability", 8: "read-only", 16: "volatile-backup"}


def _set_bits(guest: Guest, bits: int) -> None:
    path = f"/machine/peripheral/disk-{CRITICAL}"
    guest.ask_qemu("qom-set", path=path, property="smart_critical_warning", value=bits)


def critical_bits(guest: Guest) -> str:
    """Each bit alone is found, with that disk and no other; without bits all is quiet."""
    seen = []
    subject = f"disk {CRITICAL}"
    for bits, rule in _BITS.items():
        _set_bits(guest, bits)
        said = guest.holdfast("--json", "health")
        assert said.code == 3, f"bit {bits}: exit {said.code}: {said.err}"
        ours = [item["rule"] for item in findings(said, "disk.", subject)]
        assert ours == [f"disk.{rule}"], f"bit {bits}: {ours}"
        assert not findings(said, "disk.", f"disk {PLUGGED}")
        seen.append(f"{bits}: {rule}")
    _set_bits(guest, 0)
    assert not findings(guest.holdfast("--json", "health"), "disk.", subject)
    return ", ".join(seen)


def unplug(guest: Guest) -> str:
    """The watch says that it went and that it came back; the disk has its serial number again."""
    number = guest.start("--json", "health", "--watch")
    await_true(lambda: guest.output(number), "the first look of the watch")
    (name,) = [disk["name"] for disk in _listed(guest) if disk["serial"] == PLUGGED]
    guest.ask_qemu("device_del", id=f"disk-{PLUGGED}")
    await_true(
        lambda: f'"action": "remove", "name": "{name}"' in guest.output(number),
        f"remove of {name} in {guest.output(number)[-300:]}",
    )
    assert PLUGGED not in {disk["serial"] for disk in _listed(guest)}
    guest.plug(guest.drive(PLUGGED))
    await_true(lambda: PLUGGED in {disk["serial"] for disk in _listed(guest)}, "the disk is back")
    await_true(lambda: '"action": "add"' in guest.output(number), "add in the watch")
    guest.end(number)
    return f"{name} removed and added while watched"


def _listed(guest: Guest) -> list[dict[str, Any]]:
    disks: list[dict[str, Any]] = guest.holdfast("disks", "--json").json()["disks"]
    return disks


SCENARIOS = (
    Scenario(
        "NVMe critical bits 1, 2, 4, 8, 16",
        "each is a finding about that disk, then quiet",
        critical_bits,
        needs=frozenset(("qemu",)),
        is_core=True,
    ),
    Scenario(
        "NVMe pulled and plugged back",
        "the watch says so; same serial number",
        unplug,
        needs=frozenset(("qemu",)),
    ),
)
