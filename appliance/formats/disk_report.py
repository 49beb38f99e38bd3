"""A disk of any kind, parsed, and under the key names of `smartctl --json`.

Owns the choice of the parser by the protocol.
"""

from __future__ import annotations

from typing import Any

from appliance.formats.ata_disk import AtaDisk, parse_ata
from appliance.formats.ata_json import ata_to_json
from appliance.formats.disk_pages import DiskPages
from appliance.formats.nvme_disk import NvmeDisk, nvme_to_json, parse_nvme
from appliance.formats.scsi_disk import ScsiDisk, parse_scsi
from appliance.formats.scsi_json import scsi_to_json

Disk = AtaDisk | NvmeDisk | ScsiDisk


def parse_disk(pages: DiskPages) -> Disk:
    """What the disk said. Raises IntegrityError when it did not even say who it is."""
    if pages.protocol == "ata":
        return parse_ata(pages)
    return parse_nvme(pages) if pages.protocol == "nvme" else parse_scsi(pages)


def disk_to_json(disk: Disk) -> dict[str, Any]:
    """What it said, by the keys that smartctl gives it."""
    if isinstance(disk, AtaDisk):
        return ata_to_json(disk)
    return nvme_to_json(disk) if isinstance(disk, NvmeDisk) else scsi_to_json(disk)
