"""A disk is asked for all it has, and a disk that fails costs only what it failed to say."""

from __future__ import annotations

import json

import pytest

from appliance.formats.disk_pages import decode_disk_pages
from appliance.formats.fields import parse_json
from appliance.health.disk_reading import DiskAsleepError, read_disk
from appliance.native.smart import Operation, Result
from tests.health.ata_pages import ata
from tests.health.nvme_pages import nvme
from tests.health.recorded import RecordedDisk
from tests.health.scsi_pages import sas
from tests.health.shapes import SHAPES


@pytest.mark.parametrize("name", SHAPES)
def test_every_page_of_a_recorded_disk_is_read_again(name: str) -> None:
    pages = SHAPES[name].make()
    read = read_disk(RecordedDisk(pages), pages.protocol, nsid=pages.nsid or 1)
    assert read.pages == {name: page for name, page in pages.pages.items() if page}
    assert read.nsid == pages.nsid or "namespace" not in pages.pages


def test_a_disk_in_standby_is_not_woken() -> None:
    disk = RecordedDisk(ata(), power_mode=0)
    with pytest.raises(DiskAsleepError):
        read_disk(disk, "ata")
    assert [command.operation for command in disk.asked] == [Operation.ATA_POWER_MODE]


@pytest.mark.parametrize("made", [ata(), nvme(), sas()], ids=["ata", "nvme", "scsi"])
@pytest.mark.parametrize("last", [Result.GONE, Result.HUNG, Result.TIMEOUT])
def test_a_disk_that_vanishes_or_hangs_or_is_late_is_asked_nothing_more(
    made: object, last: Result
) -> None:
    assert isinstance(made, type(ata()))
    whole = RecordedDisk(made)
    read_disk(whole, made.protocol)
    for count in range(len(whole.asked)):
        disk = RecordedDisk(made, gone_after=count, last_result=last)
        read = read_disk(disk, made.protocol)
        assert len(disk.asked) == count + 1
        assert read.pages.keys() < made.pages.keys() or count > 1


def test_a_recording_survives_the_way_to_json_and_back() -> None:
    pages = SHAPES["ssd-healthy"].make()
    data = json.dumps(pages.to_json()).encode()
    assert parse_json(data)
    assert decode_disk_pages(data) == pages
