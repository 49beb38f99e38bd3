"""What a disk was asked and what it gave, before anybody says what it means.

Owns the names of pages, and the JSON of a recording of a disk. Never asks a disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from appliance.formats.fields import Fields

Protocol = Literal["ata", "nvme", "scsi"]
PROTOCOLS: tuple[Protocol, ...] = ("ata", "nvme", "scsi")
RECORDING_MAX_BYTES = 16 << 20


@dataclass(frozen=True)
class DiskPages:
    """One reading of one disk.

    Attributes:
        protocol: which commands it speaks.
        pages: name -> bytes, as long as they came. ATA: `identify`, `data`, `thresholds`,
            `status` (the registers LBA 15:8 and 23:16), `log-HH` for SMART logs, `gplog-HH` for
            general purpose logs. NVMe: `controller`, `namespace`, `log-HH`. SCSI: `inquiry`,
            `vpd-HH`, `log-HH`, `log-HH-HH`, `mode-HH`, `capacity`, `short-capacity`, `defects`.
        faults: name -> why a page is missing, one word: `unsupported`, `timeout`, `hung`, `gone`,
            `failed`, ...
        nsid: of an NVMe disk, the namespace that `namespace` describes; 0 for none.
    """

    protocol: Protocol
    pages: Mapping[str, bytes]
    faults: Mapping[str, str] = field(default_factory=dict)
    nsid: int = 0

    def to_json(self) -> dict[str, Any]:
        """A recording."""
        return {
            "protocol": self.protocol,
            "pages": {name: page.hex() for name, page in self.pages.items()},
            "faults": dict(self.faults),
            "nsid": self.nsid,
        }


def decode_disk_pages(data: bytes) -> DiskPages:
    """Read the JSON that `DiskPages.to_json` gives. Raises IntegrityError."""
    fields = Fields.parse(data, "recording of a disk", RECORDING_MAX_BYTES)
    pages, faults = fields.get("pages"), fields.get("faults")
    if not isinstance(pages, dict) or not isinstance(faults, dict):
        raise fields.fault("pages", "an object of hex texts")
    try:
        return DiskPages(
            protocol=cast(Protocol, fields.choice("protocol", PROTOCOLS)),
            pages={name: bytes.fromhex(page) for name, page in pages.items()},
            faults={name: str(fault) for name, fault in faults.items()},
            nsid=fields.integer("nsid", 0, 2**32 - 1),
        )
    except (ValueError, TypeError) as error:
        raise fields.fault("pages", "an object of hex texts") from error
