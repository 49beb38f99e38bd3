"""What needs no bench: recorded disks that fail beside smartctl, and lights on a made-up sysfs."""

from __future__ import annotations

import tempfile
from pathlib import Path

from appliance.formats.disk_report import disk_to_json, parse_disk
from appliance.health.enclosures import light_bay, list_bays
from appliance.health.inventory import Inventory
from hwtests.bench import Bench
from hwtests.scenario import Scenario
from tests.health.kernel_files import KernelFiles
from tests.health.shapes import SHAPES
from tests.health.smartctl import SHORT, ask_replayed, build_replay, compare

_SHAPES_MIN = 20


def beside_smartctl(_: Bench) -> str:
    """Each shape goes through the transport of both: every field that either of them prints."""
    names = sorted(SHAPES.keys() - SHORT)
    assert len(names) >= _SHAPES_MIN, names
    compared = 0
    with tempfile.TemporaryDirectory(prefix="hwtest-") as place:
        library = build_replay(Path(place))
        for name in names:
            pages = SHAPES[name].make()
            folder = Path(place, name)
            folder.mkdir()
            theirs = ask_replayed(pages, folder, library)
            result = compare(theirs, disk_to_json(parse_disk(pages)))
            assert not result.different, (name, result.different)
            compared += result.compared
    return f"{len(names)} disks, {compared} fields compared, 0 different"


def light(_: Bench) -> str:
    """The light beside the bay of a disk goes on and off, and no other does."""
    with tempfile.TemporaryDirectory(prefix="hwtest-") as place:
        files = KernelFiles(Path(place))
        ours = files.slot("6:0:0:0", "Slot 03", files.disk("sda", serial="A"))
        other = files.slot("6:0:0:0", "Slot 04", files.disk("sdb", serial="B", host=3))
        bay = Inventory(files.tree).disks[0].bay
        for is_on in (True, False):
            light_bay(list_bays(files.tree), bay, is_on=is_on)
            assert ours.read_text().strip() == str(int(is_on)), ours
            assert other.read_text().strip() == "0", other
    return f"{bay}: on, then off; no other"


SCENARIOS = (
    Scenario("recorded disks that fail, beside smartctl -x -j", "0 fields differ", beside_smartctl),
    Scenario("light beside a bay, on a made-up sysfs", "that one, on and off", light),
)
