"""What differs between two buffers, block by block, and the hardware that is chosen."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from appliance.base.errors import UsageError
from appliance.recovery.boot_disk import Needs
from appliance.recovery.compare import BLOCK_BYTES, differing_blocks
from appliance.recovery.hardware import Hardware
from appliance.recovery.overlay import OverlayUse
from appliance.recovery.presets import HardwareChoice, choose_hardware, read_preset, remember_preset
from appliance.recovery.runtime import Runtime


def test_only_blocks_that_differ_are_named(seed: int) -> None:
    chooser = random.Random(seed)
    for _ in range(50):
        length = chooser.randrange(1, 20 * BLOCK_BYTES)
        wanted = bytearray(chooser.randbytes(length))
        there = bytearray(wanted)
        changed = {chooser.randrange(length) for _ in range(chooser.randrange(6))}
        for at in changed:
            there[at] ^= 1
        runs = list(differing_blocks(wanted, there))
        blocks = {at // BLOCK_BYTES for at in changed}
        assert sum(end - start for start, end in runs) <= len(blocks) * BLOCK_BYTES
        for start, end in runs:
            there[start:end] = wanted[start:end]
        assert there == wanted


def test_the_choice_comes_before_the_preset_and_the_disk_before_the_default(
    tmp_path: Path,
) -> None:
    runtime = Runtime(tmp_path)
    needs = Needs("uefi", "sata")
    assert read_preset(runtime, "web1") == HardwareChoice()
    assert choose_hardware(HardwareChoice(), needs, HardwareChoice()).firmware == "uefi"
    remember_preset(runtime, "web1", HardwareChoice(cpus=3, firmware="bios", network="isolated"))
    remember_preset(runtime, "web1", HardwareChoice(memory_mib=64))
    preset = read_preset(runtime, "web1")
    assert preset == HardwareChoice(memory_mib=64, cpus=3, firmware="bios")
    chosen = choose_hardware(preset, needs, HardwareChoice(cpus=1))
    assert (chosen.cpus, chosen.firmware, chosen.bus, chosen.network) == (1, "bios", "sata", "none")
    for garbage in (b"", b"[]", b'{"cpus": 0}', b'{"cpus": "many"}', b'{"bus": 7}'):
        (tmp_path / "presets/web1.json").write_bytes(garbage)
        assert read_preset(runtime, "web1") == HardwareChoice()


def test_hardware_that_cannot_be_is_refused() -> None:
    for wrong in (
        {"memory_mib": 0},
        {"cpus": 0},
        {"mac": "01:00:00:00:00:00"},
        {"mac": "nothing"},
        {"network": "bridge:"},
        {"network": "bridge:br0,script=x"},
        {"network": "internet"},
    ):
        with pytest.raises(UsageError):
            Hardware(**wrong)
    assert Hardware.from_json(Hardware(network="bridge:br0").to_json()).network == "bridge:br0"


def test_an_overlay_warns_before_it_is_full_and_before_the_disk_is() -> None:
    gib = 1 << 30
    assert OverlayUse(1 * gib, 10 * gib, 100 * gib).warning is None
    assert "--overlay-limit" in str(OverlayUse(8 * gib, 10 * gib, 100 * gib).warning)
    assert "free space" in str(OverlayUse(1 * gib, 10 * gib, gib // 2).warning)
