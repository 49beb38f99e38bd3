"""Asks one disk for all the pages that verdicts and reports need, and no more.

Owns the order of questions for each kind of disk. A page that a disk refuses costs that page; a
disk that hangs or vanishes ends the reading with what came before. Never interprets a page beyond
which one to ask for next, and never wakes a disk that sleeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.formats.ata_identify import parse_identify
from appliance.formats.ata_logs import SECTOR_BYTES, list_statistics_pages, parse_directory
from appliance.formats.disk_pages import DiskPages, Protocol
from appliance.native.smart import (
    ALL_NAMESPACES,
    Command,
    Operation,
    Reply,
    Result,
    Transport,
)

_FINAL = (Result.HUNG, Result.TIMEOUT, Result.GONE)
_STANDBY = 0x00
_INQUIRY_BYTES = 96
_PAGE_BYTES = 252
_LOG_BYTES = 4096
_LONG_LOG_BYTES = 60 << 10
_LOG_SECTORS_MAX = 64
_ERROR_ENTRIES_MAX = 64
_DEFECT_HEADER_BYTES = 8
_DEFECTS_TIMEOUT_S = 60.0
_SCSI_LOGS = (0x02, 0x03, 0x05, 0x0D, 0x0E, 0x0F, 0x10, 0x11, 0x15, 0x18, 0x2F)
_LONG_LOGS = (0x15, 0x18)
_SPC_4, _ALL_SUBPAGES = 6, 0xFF
_SUBPAGES = ((0x0D, 0x01), (0x15, 0x01))


class DiskAsleepError(HoldfastError):
    """The disk is in standby: asking it more would wake it."""


@dataclass
class _Reading:
    """Pages as they come in."""

    transport: Transport
    pages: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    end: Result | None = None

    def send(self, command: Command) -> Reply:
        """The answer; once the disk is gone or was too late, only that: nobody waits twice."""
        reply = self.transport.send(command) if self.end is None else Reply(self.end)
        if reply.result in _FINAL:
            self.end = reply.result
        return reply

    def ask(self, name: str, command: Command) -> bytes:
        """The page, empty if it did not come."""
        reply = self.send(command)
        if reply.result is Result.OK and reply.data:
            self.pages[name] = reply.data
            return reply.data
        self.faults[name] = reply.result.name.lower() if reply.result else "empty"
        return b""


def read_disk(transport: Transport, protocol: Protocol, *, nsid: int = 1) -> DiskPages:
    """All pages of one disk; `nsid` is the namespace of an NVMe disk to describe.

    Raises DiskAsleepError for an ATA disk in standby.
    """
    reading = _Reading(transport)
    if protocol == "ata":
        _read_ata(reading)
    elif protocol == "nvme":
        _read_nvme(reading, nsid)
    else:
        _read_scsi(reading)
    return DiskPages(
        protocol, reading.pages, reading.faults, nsid if "namespace" in reading.pages else 0
    )


def _read_ata(reading: _Reading) -> None:
    mode = reading.send(Command(Operation.ATA_POWER_MODE))
    if mode.result is Result.OK and mode.registers and mode.registers.count == _STANDBY:
        raise DiskAsleepError("the disk is in standby")
    try:
        identity = parse_identify(reading.ask("identify", Command(Operation.ATA_IDENTIFY)))
    except IntegrityError:
        return
    if identity.has_smart is False:
        return
    reading.ask("data", Command(Operation.ATA_SMART_DATA))
    reading.ask("thresholds", Command(Operation.ATA_SMART_THRESHOLDS))
    _ask_status(reading)
    smart_logs = _ask_directory(reading, "log-00", Operation.ATA_SMART_LOG)
    general_logs: dict[int, int] = {}
    if identity.has_gp_logs:
        general_logs = _ask_directory(reading, "gplog-00", Operation.ATA_LOG_EXT)
    # Without a directory the logs of the first standards are simply tried.
    wanted = {address: smart_logs.get(address, 0) for address in (0x01, 0x06, 0x09)}
    if not smart_logs:
        wanted = {0x01: 1, 0x06: 1, 0x09: 1}
    for address, sectors in wanted.items():
        if sectors:
            command = Command(Operation.ATA_SMART_LOG, page=address, length_bytes=SECTOR_BYTES)
            reading.ask(f"log-{address:02x}", command)
    for address in (0x03, 0x07, 0x0C, 0x11):
        sectors = min(general_logs.get(address, 0), _LOG_SECTORS_MAX)
        if sectors:
            length = (1 if address in (0x0C, 0x11) else sectors) * SECTOR_BYTES
            command = Command(Operation.ATA_LOG_EXT, page=address, length_bytes=length)
            reading.ask(f"gplog-{address:02x}", command)
    if 0x04 in general_logs:
        _ask_statistics(reading)


def _ask_status(reading: _Reading) -> None:
    """The answer is in the registers: it is kept as the two bytes that matter."""
    reply = reading.send(Command(Operation.ATA_SMART_STATUS))
    if reply.result is Result.OK and reply.registers is not None:
        reading.pages["status"] = (reply.registers.lba >> 8 & 0xFFFF).to_bytes(2, "little")
    else:
        reading.faults["status"] = reply.result.name.lower()


def _ask_directory(reading: _Reading, name: str, operation: Operation) -> dict[int, int]:
    page = reading.ask(name, Command(operation, length_bytes=SECTOR_BYTES))
    try:
        return parse_directory(page)[1] if page else {}
    except IntegrityError:
        return {}


def _ask_statistics(reading: _Reading) -> None:
    """Log 04h: page 0 names the others; they are kept one behind the other."""
    name = "gplog-04"
    pages = reading.ask(name, Command(Operation.ATA_LOG_EXT, page=0x04, length_bytes=SECTOR_BYTES))
    for number in list_statistics_pages(pages):
        if number > _LOG_SECTORS_MAX or name in reading.faults:
            break
        command = Command(Operation.ATA_LOG_EXT, page=0x04, first=number, length_bytes=SECTOR_BYTES)
        pages += reading.ask(name, command)
    if pages:
        reading.pages[name] = pages


def _read_nvme(reading: _Reading, nsid: int) -> None:
    controller = reading.ask("controller", Command(Operation.NVME_IDENTIFY_CONTROLLER))
    if not controller:
        return
    reading.ask("namespace", Command(Operation.NVME_IDENTIFY_NAMESPACE, nsid=nsid))
    entries = min(controller[262] + 1, _ERROR_ENTRIES_MAX) if len(controller) > 262 else 1
    for page, length_bytes in ((0x02, 512), (0x03, 512), (0x01, 64 * entries), (0x06, 564)):
        command = Command(
            Operation.NVME_LOG, page=page, nsid=ALL_NAMESPACES, length_bytes=length_bytes
        )
        reading.ask(f"log-{page:02x}", command)


def _read_scsi(reading: _Reading) -> None:
    inquiry = Command(Operation.SCSI_INQUIRY, length_bytes=_INQUIRY_BYTES)
    inquiry_page = reading.ask("inquiry", inquiry)
    if len(inquiry_page) <= 2:
        return
    supported = reading.ask(
        "vpd-00", Command(Operation.SCSI_VITAL_PAGE, page=0, length_bytes=_PAGE_BYTES)
    )
    for page in (0x80, 0x83, 0xB1, 0xB2):
        if page in supported[4:]:
            command = Command(Operation.SCSI_VITAL_PAGE, page=page, length_bytes=_PAGE_BYTES)
            reading.ask(f"vpd-{page:02x}", command)
    if not reading.ask("capacity", Command(Operation.SCSI_CAPACITY, length_bytes=32)):
        reading.ask("short-capacity", Command(Operation.SCSI_SHORT_CAPACITY, length_bytes=8))
    for page in (0x1C, 0x19, 0x04):
        command = Command(Operation.SCSI_MODE, page=page, length_bytes=_PAGE_BYTES)
        reading.ask(f"mode-{page:02x}", command)
    logs = reading.ask("log-00", Command(Operation.SCSI_LOG, length_bytes=_PAGE_BYTES))
    for page in _SCSI_LOGS:
        if page in [code & 0x3F for code in logs[4:]]:
            length_bytes = _LONG_LOG_BYTES if page in _LONG_LOGS else _LOG_BYTES
            command = Command(Operation.SCSI_LOG, page=page, length_bytes=length_bytes)
            reading.ask(f"log-{page:02x}", command)
    if inquiry_page[2] & 7 >= _SPC_4:
        _ask_subpages(reading)
    defects = Command(
        Operation.SCSI_DEFECTS, length_bytes=_DEFECT_HEADER_BYTES, timeout_s=_DEFECTS_TIMEOUT_S
    )
    reading.ask("defects", defects)


def _ask_subpages(reading: _Reading) -> None:
    """Environmental reports and pending defects, where the disk lists them."""
    command = Command(Operation.SCSI_LOG, subpage=_ALL_SUBPAGES, length_bytes=_LOG_BYTES)
    listed = reading.ask("log-00-ff", command)[4:]
    known = {(listed[at] & 0x3F, listed[at + 1]) for at in range(0, len(listed) - 1, 2)}
    for page, subpage in _SUBPAGES:
        if (page, subpage) in known:
            command = Command(
                Operation.SCSI_LOG, page=page, subpage=subpage, length_bytes=_LOG_BYTES
            )
            reading.ask(f"log-{page:02x}-{subpage:02x}", command)
