"""What a disk says of itself, beside `smartctl -x -j`, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hwtests.bench import Bench, succeed
from hwtests.scenario import Scenario
from tests.health.smartctl import compare

_KINDS = {"nvme": "nvme", "sata": "sat", "ata": "sat"}
_FIELDS_MIN = 10


def _choose(disks: Iterable[dict[str, Any]], vendor: str) -> list[dict[str, Any]]:
    """One disk of each sort of `vendor`, of any for "": the others say the same."""
    sorts = {(disk["transport"], disk["model"], disk["rotation_rpm"]): disk for disk in disks}
    found = [disk for disk in sorts.values() if not disk["hidden"] and vendor in disk["model"]]
    assert found, sorts
    return found


def beside_smartctl(bench: Bench, vendor: str = "") -> str:
    """Whatever fields either of them prints, but for a list that is printed."""
    disks = succeed(bench.holdfast("--json", "disks")).json()["disks"]
    compared = 0
    different: dict[str, object] = {}
    excluded: dict[str, str] = {}
    answered = []
    for disk in _choose(disks, vendor):
        name, kind = disk["name"], _KINDS.get(disk["transport"], "scsi")
        ours = succeed(bench.holdfast("--json", "disks", "show", name)).json()["smart"]
        if not ours:
            continue  # it has no health pages, as disks of virtio
        # Its exit status is a mask of what is wrong with the disk.
        said = bench.run("smartctl", "-x", "-j", "-d", kind, disk["path"])
        result = compare(json.loads(said.out), ours, is_live=True)
        assert result.compared >= _FIELDS_MIN, (name, result)
        compared += result.compared
        different |= {f"{name} {field}": pair for field, pair in result.different.items()}
        excluded |= result.excluded
        answered.append(f"{name} {kind} {result.compared}")
    for reason in sorted(set(excluded.values())):
        fields = sorted(field for field, why in excluded.items() if why == reason)
        print(f"not compared, {reason}: {', '.join(fields)}", flush=True)
    assert not different, different
    assert answered, disks
    return f"{', '.join(answered)}: {compared} fields compared, 0 different"


def debug_beside_smartctl(bench: Bench) -> str:
    """The kernel's simulated SCSI disk, which has log pages that QEMU's disks lack."""
    return beside_smartctl(bench, "scsi_debug")


SCENARIOS = (
    Scenario(
        "health pages beside smartctl -x -j", "0 fields differ", beside_smartctl, is_core=True
    ),
)
