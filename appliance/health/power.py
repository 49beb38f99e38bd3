"""What a power cut would cost: volatile caches, mount options, supplies, and the UPS.

Owns these checks. Never changes a cache, and never stops the box: `wants_stop` is advice.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from appliance.base.errors import HoldfastError
from appliance.base.process import run
from appliance.formats.finding import Evidence, Finding
from appliance.health.inventory import Disk
from appliance.health.kernel_tree import KernelTree, list_names, read_number, read_text
from appliance.health.mounts import Mount

_NO_BARRIERS = frozenset(("nobarrier", "barrier=0", "barrier=none"))
_UPSC_TIMEOUT_S = 10.0
_LOW_PERCENT = 15


@dataclass(frozen=True)
class Ups:
    """One uninterruptible power supply.

    Attributes:
        source: who says so: the kernel's power_supply class, or NUT.
        charge_percent: None where nobody says.
        is_silent: NUT knows it and has no news of it.
    """

    name: str
    source: str
    is_on_battery: bool
    is_low: bool
    charge_percent: int | None
    is_silent: bool = False

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)


def judge_caches(
    tree: KernelTree, disks: list[Disk], mounts: list[Mount], now: datetime
) -> Iterator[Finding]:
    """Disks whose volatile cache nobody flushes, and filesystems that are told not to flush."""
    for disk in disks:
        kernel = read_text(tree.block(disk.name) / "queue/write_cache")
        own = _read_own_cache(tree, disk)
        # The kernel flushes where it knows of a cache. It was told that there is none.
        if kernel == "write through" and own.startswith("write back"):
            yield Finding(
                subject=disk.subject,
                rule="power.cache-not-flushed",
                severity="critical",
                summary=f"{disk.path} has a volatile write cache and the kernel does not flush it",
                evidence=(
                    Evidence("queue/write_cache", ((now, kernel),)),
                    Evidence("cache_type of the disk", ((now, own),)),
                ),
                consequence="A power cut loses backups that were said to be safe.",
                action=f"echo 'write back' > /sys/block/{disk.name}/queue/write_cache, and find "
                "out who wrote there.",
            )
    for mount in mounts:
        refused = sorted(_NO_BARRIERS & set(mount.options))
        if refused and mount.source.startswith("/dev/"):
            yield Finding(
                subject=f"filesystem {mount.target}",
                rule="power.no-barriers",
                severity="critical",
                summary=f"{mount.target} is mounted with {refused[0]}: it never flushes the disks' "
                "caches",
                evidence=(Evidence("mount options", ((now, ",".join(mount.options)),)),),
                consequence="A power cut loses backups that were said to be safe, or the whole "
                "filesystem.",
                action=f"Take {refused[0]} out of /etc/fstab and mount {mount.target} again.",
            )


def _read_own_cache(tree: KernelTree, disk: Disk) -> str:
    """What the disk itself says of its cache (SCSI and ATA; others have no such file)."""
    folder = tree.block(disk.name) / "device/scsi_disk"
    for name in list_names(folder):
        return read_text(folder / name / "cache_type")
    return ""


# ---- supplies -----------------------------------------------------------------------------------


def list_ups(tree: KernelTree) -> list[Ups]:
    """Every UPS that the kernel or NUT knows."""
    found = []
    top = tree.sys / "class/power_supply"
    for name in list_names(top):
        folder = top / name
        if read_text(folder / "type") != "UPS":
            continue
        charge = read_number(folder / "capacity")
        is_on_battery = read_text(folder / "status") == "Discharging"
        is_low = is_on_battery and charge is not None and charge <= _LOW_PERCENT
        found.append(Ups(name, "kernel", is_on_battery, is_low, charge))
    return found + _list_nut()


def _list_nut() -> list[Ups]:
    program = shutil.which("upsc")
    if program is None:
        return []
    try:
        names = run([program, "-l"], timeout_s=_UPSC_TIMEOUT_S).split()
    except HoldfastError:
        return []  # its daemon does not run
    return [_ask_nut(program, name) for name in names]


def _ask_nut(program: str, name: str) -> Ups:
    try:
        return parse_nut(name, run([program, name], timeout_s=_UPSC_TIMEOUT_S))
    except HoldfastError:
        return Ups(name, "NUT", is_on_battery=False, is_low=False, charge_percent=None,
                   is_silent=True)  # fmt: skip


def parse_nut(name: str, text: str) -> Ups:
    r"""What `upsc NAME` said (NUT: ups.status is words, OL on line, OB on battery, LB low).

    >>> parse_nut("rack", "battery.charge: 40\\nups.status: OB DISCHRG LB").is_low
    True
    """
    values = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    words = values.get("ups.status", "").split()
    charge = re.match(r"\d+", values.get("battery.charge", ""))
    return Ups(
        name=name,
        source="NUT",
        is_on_battery="OB" in words,
        is_low="LB" in words or "FSD" in words,
        charge_percent=int(charge[0]) if charge else None,
    )


@dataclass(frozen=True)
class Power:
    """What the box runs on. Asking costs a few milliseconds and no disk, so ask it often."""

    supplies: list[Ups]

    @property
    def is_on_battery(self) -> bool:
        """Whether any UPS has lost its line: the time to look every few seconds."""
        return any(ups.is_on_battery for ups in self.supplies)

    @property
    def wants_stop(self) -> bool:
        """Whether to stop the box cleanly now: every UPS that says anything is almost empty."""
        heard = [ups for ups in self.supplies if not ups.is_silent]
        return bool(heard) and all(ups.is_low for ups in heard)

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "ups": [ups.to_json() for ups in self.supplies],
            "on_battery": self.is_on_battery,
            "wants_stop": self.wants_stop,
        }


def look_at_power(tree: KernelTree) -> Power:
    """What the box runs on now."""
    return Power(list_ups(tree))


def judge_ups(supplies: list[Ups], now: datetime) -> Iterator[Finding]:
    """A UPS that runs on its battery."""
    for ups in supplies:
        if ups.is_silent:
            yield _judge_silent(ups, now)
        if not ups.is_on_battery and not ups.is_low:
            continue
        charge = "" if ups.charge_percent is None else f", {ups.charge_percent} % left"
        yield Finding(
            subject=f"ups {ups.name}",
            rule="power.ups",
            severity="critical" if ups.is_low else "warning",
            summary=f"the UPS {ups.name} is {'almost empty' if ups.is_low else 'on battery'}"
            f"{charge}",
            evidence=(Evidence("charge", ((now, float(ups.charge_percent or 0)),), "%"),),
            consequence="The power goes soon. What is stored is safe; running backups and VMs "
            "are cut off.",
            action="Stop recovered VMs and switch the box off cleanly."
            if ups.is_low
            else "Find out why the power is gone.",
        )


def _judge_silent(ups: Ups, now: datetime) -> Finding:
    return Finding(
        subject=f"ups {ups.name}",
        rule="power.ups-silent",
        severity="warning",
        summary=f"NUT has no news of the UPS {ups.name}",
        evidence=(Evidence("upsc", ((now, "no answer"),)),),
        consequence="When the power goes nobody tells the box in time to stop.",
        action=f"Look at its cable and at its driver: 'upsdrvctl start {ups.name}'.",
    )
