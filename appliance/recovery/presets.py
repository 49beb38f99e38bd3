"""The hardware of a machine's VMs as somebody chose it once: `STATE/presets/MACHINE.json`.

The network is never remembered: a VM that joins the production network must be told to each time,
or a rehearsal would do so because a recovery once did.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from appliance.base import durable
from appliance.base.errors import IntegrityError, NotFoundError, UsageError
from appliance.recovery.boot_disk import Needs
from appliance.recovery.hardware import Bus, Firmware, Hardware
from appliance.recovery.runtime import Runtime, read_note, write_note


@dataclass(frozen=True)
class HardwareChoice:
    """What somebody asks for; None leaves it to the preset, the disk, or the default."""

    memory_mib: int | None = None
    cpus: int | None = None
    firmware: Firmware | None = None
    bus: Bus | None = None
    network: str | None = None
    mac: str | None = None

    def chosen(self) -> dict[str, Any]:
        """What was asked for."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def apply(self, hardware: Hardware) -> Hardware:
        """The hardware with this choice. Raises UsageError if that cannot be."""
        return replace(hardware, **self.chosen())


NO_CHOICE = HardwareChoice()


def choose_hardware(preset: HardwareChoice, needs: Needs, choice: HardwareChoice) -> Hardware:
    """What was asked for, else the preset, else what the disk needs, else the default."""
    judged = Hardware(firmware=needs.firmware, bus=needs.bus)
    return choice.apply(preset.apply(judged))


def read_preset(runtime: Runtime, machine: str) -> HardwareChoice:
    """The preset of `machine`; nothing chosen where there is none or it cannot be read."""
    try:
        note = read_note(runtime.presets / f"{machine}.json")
        known = {field.name for field in fields(HardwareChoice)}
        choice = HardwareChoice(**{name: note[name] for name in known & set(note)})
        choice.apply(Hardware())
    except (NotFoundError, IntegrityError, UsageError, TypeError):
        return HardwareChoice()
    return choice


def remember_preset(runtime: Runtime, machine: str, choice: HardwareChoice) -> None:
    """Make what was asked for the machine's preset, durably; the rest of it stays."""
    chosen = replace(choice, network=None).chosen()
    before = read_preset(runtime, machine).chosen()
    if chosen and {**before, **chosen} != before:
        durable.make_directory(runtime.presets)
        write_note(runtime.presets / f"{machine}.json", {**before, **chosen})
