"""What smartctl says of a disk, beside what the product says: the oracle of the parsers.

Owns the comparison and the list of what is left out of it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from appliance.formats.disk_pages import DiskPages

# Patterns of fields -> why they are not compared.
EXCLUDED = {
    "smartctl.*": "the program's version, arguments, messages and exit status",
    "json_format_version*": "the program's version",
    "local_time.*": "local time",
    "device.*": "the path and options that it was called with",
    "in_smartctl_database": "whether the program's own list of models has this one",
    "model_family": "from the program's own list of models",
    "ata_smart_error_log.*.error_description": "words of the program for the registers before it",
    "ata_smart_error_log.*.previous_commands*": "names of commands that the host sent",
    "nvme_self_test_log.*": "a log that smartctl 7.3 does not read",
}
# What a disk changes between two readings.
LIVE = {
    "temperature.*": "live temperature",
    "*.temperature": "live temperature",
    "*.temperature_?.*": "live temperature",
    "power_on_time.*": "live counter",
    "nvme_smart_health_information_log.host_*": "live counter",
    "nvme_smart_health_information_log.data_units_*": "live counter",
    "nvme_smart_health_information_log.controller_busy_time": "live counter",
    "nvme_smart_health_information_log.num_err_log_entries": "live counter",
    "ata_smart_attributes.table?9?.raw.*": "live counter",
}
# A page that smartctl reads only where there are no environmental reports.
SKIPPED = {"temperature.*": "log page 0Dh beside environmental reports"}
# smartctl 7.3 prints what its buffer held before where a SCSI disk has no page of temperatures.
INVENTED = {"temperature.current": 0, "scsi_temperature.drive_trip": 0}

# It takes pages that came short as if zeros followed; here they are damaged.
SHORT = {"hdd-short-log", "nvme-short-health"}
_REPLAY = Path(__file__).with_name("replay.c")
_KINDS = {"ata": "sat", "scsi": "scsi"}


@dataclass(frozen=True)
class Comparison:
    """Of one disk. `different`: field -> (theirs, ours)."""

    compared: int
    different: dict[str, tuple[object, object]]
    excluded: dict[str, str]


def flatten(value: object, at: str = "") -> Iterator[tuple[str, object]]:
    """(path, value) of every leaf of a JSON value."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from flatten(member, f"{at}.{key}" if at else key)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from flatten(member, f"{at}.{index}")
    else:
        yield at, value


def compare(
    theirs: Mapping[str, Any], ours: Mapping[str, Any], *, is_live: bool = False
) -> Comparison:
    """Field by field: one that only one of them has is different too."""
    left, right = dict(flatten(dict(theirs))), dict(flatten(dict(ours)))
    patterns = EXCLUDED | (LIVE if is_live else {})
    if "scsi_environmental_reports" in theirs:
        patterns |= SKIPPED
    excluded, different, compared = {}, {}, 0
    for name in {**left, **right}:
        reason = next((why for what, why in patterns.items() if fnmatchcase(name, what)), None)
        if name in INVENTED and name not in right and left[name] == INVENTED[name]:
            reason = "a temperature that the disk did not say"
        if reason is not None:
            excluded[name] = reason
            continue
        compared += 1
        if name not in left or name not in right or left[name] != right[name]:
            different[name] = (left.get(name, "missing"), right.get(name, "missing"))
    return Comparison(compared, different, excluded)


def run_smartctl(
    device: str, kind: str, *, library: Path | None = None, pages: Path | None = None
) -> dict[str, Any]:
    """`smartctl -x -j`; with `library` preloaded, the pages in folder `pages` are its disk."""
    environment = dict(os.environ)
    if library is not None:
        environment |= {"LD_PRELOAD": str(library), "HOLDFAST_REPLAY": str(pages)}
    # The exit status is a mask of what is wrong with the disk.
    ran = subprocess.run(
        ["smartctl", "-x", "-j", "-d", kind, device],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = json.loads(ran.stdout)
    assert isinstance(said, dict)
    return said


def build_replay(folder: Path) -> Path:
    """A library in `folder` that answers the ioctls of a disk out of files."""
    library = folder / "replay.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *flags, "-o", str(library), str(_REPLAY)], check=True)
    return library


def ask_replayed(pages: DiskPages, folder: Path, library: Path) -> dict[str, Any]:
    """What it says of recorded `pages`, which are written to `folder`."""
    for name, page in pages.pages.items():
        (folder / name).write_bytes(page)
    nvme = f"nvme,{pages.nsid or 0xFFFFFFFF:#x}"
    kind = _KINDS.get(pages.protocol, nvme)
    return run_smartctl("/dev/null", kind, library=library, pages=folder)
