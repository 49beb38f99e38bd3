"""A transport that answers out of a recording, and can be slow, short, rude or gone."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.formats.disk_pages import DiskPages
from appliance.native.smart import Command, Operation, Registers, Reply, Result

_IDENTIFY = (Operation.NVME_IDENTIFY_CONTROLLER, Operation.NVME_IDENTIFY_NAMESPACE)
UNSUPPORTED = Reply(Result.UNSUPPORTED)


def name_page(command: Command) -> str:
    """The name under which the answer to `command` is recorded."""
    page = f"{command.page:02x}"
    return {
        Operation.ATA_IDENTIFY: "identify",
        Operation.ATA_SMART_DATA: "data",
        Operation.ATA_SMART_THRESHOLDS: "thresholds",
        Operation.ATA_SMART_STATUS: "status",
        Operation.ATA_SMART_LOG: f"log-{page}",
        Operation.ATA_LOG_EXT: f"gplog-{page}",
        Operation.NVME_IDENTIFY_CONTROLLER: "controller",
        Operation.NVME_IDENTIFY_NAMESPACE: "namespace",
        Operation.NVME_LOG: f"log-{page}",
        Operation.SCSI_INQUIRY: "inquiry",
        Operation.SCSI_VITAL_PAGE: f"vpd-{page}",
        Operation.SCSI_LOG: f"log-{page}-{command.subpage:02x}"
        if command.subpage
        else f"log-{page}",
        Operation.SCSI_CAPACITY: "capacity",
        Operation.SCSI_MODE: f"mode-{page}",
        Operation.SCSI_DEFECTS: "defects",
        Operation.SCSI_SHORT_CAPACITY: "short-capacity",
    }.get(command.operation, "")


@dataclass
class RecordedDisk:
    """A transport. `gone_after` commands it has vanished; `asked` remembers all of them."""

    pages: DiskPages
    power_mode: int = 0xFF
    gone_after: int | None = None
    last_result: Result = Result.GONE
    asked: list[Command] = field(default_factory=list)

    def send(self, command: Command) -> Reply:
        self.asked.append(command)
        if self.gone_after is not None and len(self.asked) > self.gone_after:
            return Reply(self.last_result)
        if command.operation is Operation.ATA_POWER_MODE:
            return Reply(Result.OK, registers=Registers(0x50, 0, 0, self.power_mode, 0))
        name = name_page(command)
        page = self.pages.pages.get(name)
        if page is None:
            return UNSUPPORTED
        if command.operation is Operation.ATA_SMART_STATUS:
            lba = int.from_bytes(page, "little") << 8
            return Reply(Result.OK, registers=Registers(0x50, 0, 0, 0, lba))
        if command.operation in _IDENTIFY:
            return Reply(Result.OK, page)
        first = 512 * command.first
        if name == "gplog-04":  # kept without the pages that do not exist
            first = next(at for at in range(0, len(page), 512) if page[at + 2] == command.first)
        return Reply(Result.OK, page[first : first + command.length_bytes])
