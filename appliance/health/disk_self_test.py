"""Starts and stops the self-tests that disks have built in, and says how far one is.

Owns the codes of the tests for each kind of disk. When they run is decided elsewhere. A test runs
inside the disk while it goes on working, and nothing on it is changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from appliance.base.errors import BusyError, HoldfastError, IntegrityError, NotFoundError
from appliance.formats.ata_disk import AtaDisk
from appliance.formats.ata_logs import IN_PROGRESS
from appliance.formats.disk_pages import Protocol
from appliance.formats.disk_report import Disk, parse_disk
from appliance.formats.nvme_disk import NvmeDisk
from appliance.formats.scsi_disk import IN_PROGRESS as SCSI_IN_PROGRESS
from appliance.health.disk_reading import DiskAsleepError, read_disk
from appliance.native.smart import ALL_NAMESPACES, Command, Operation, Result, Transport

Kind = Literal["short", "long"]
_CODES: dict[Protocol, tuple[Operation, dict[str, int]]] = {
    "ata": (Operation.ATA_SELF_TEST, {"short": 1, "long": 2, "abort": 127}),
    "nvme": (Operation.NVME_SELF_TEST, {"short": 1, "long": 2, "abort": 15}),
    "scsi": (Operation.SCSI_SELF_TEST, {"short": 1, "long": 2, "abort": 4}),
}


@dataclass(frozen=True)
class RunningTest:
    """How much of a test is left, in per cent; None where the disk does not say."""

    left_percent: int | None


def start_self_test(
    transport: Transport, protocol: Protocol, kind: Kind, *, subject: str = "the disk"
) -> None:
    """Start a test. One that runs already goes on: the disk itself would stop it.

    Raises BusyError for such a disk, HoldfastError when it has no such test or refuses.
    """
    running = _ask_running(transport, protocol)
    if running is not None:
        left = "" if running.left_percent is None else f", {running.left_percent} % to go"
        raise BusyError(
            f"{subject} runs a self-test already{left}: wait for its end, or stop it with --stop"
        )
    _send(transport, protocol, kind, subject)


def stop_self_test(transport: Transport, protocol: Protocol, *, subject: str = "the disk") -> None:
    """Stop the test that runs; without one nothing happens. Raises HoldfastError."""
    _send(transport, protocol, "abort", subject)


def _send(transport: Transport, protocol: Protocol, what: str, subject: str) -> None:
    operation, codes = _CODES[protocol]
    nsid = ALL_NAMESPACES if protocol == "nvme" else 0
    reply = transport.send(Command(operation, page=codes[what], nsid=nsid))
    if reply.result is Result.OK:
        return
    if reply.result is Result.BUSY:
        raise BusyError(f"{subject} is busy: try again later")
    if reply.result is Result.GONE:
        raise NotFoundError(f"{subject} is gone")
    if reply.result is Result.UNSUPPORTED:
        raise HoldfastError(f"{subject} has no {what} self-test, or none can run now")
    raise HoldfastError(f"{subject} refused: {reply.result.name.lower()}")


def _ask_running(transport: Transport, protocol: Protocol) -> RunningTest | None:
    try:
        return find_running(parse_disk(read_disk(transport, protocol)))
    except (DiskAsleepError, IntegrityError):
        return None  # a disk that sleeps tests nothing, and one that talks nonsense tells nothing


def find_running(disk: Disk) -> RunningTest | None:
    """The test that runs, by the pages of the last reading; None for none."""
    if isinstance(disk, AtaDisk):
        status = disk.smart.self_test_status if disk.smart is not None else 0
        return RunningTest((status & 0xF) * 10) if status >> 4 == IN_PROGRESS else None
    if isinstance(disk, NvmeDisk):
        done = disk.tests.running_percent if disk.tests is not None else None
        return RunningTest(max(0, 100 - done)) if done is not None else None
    newest = next(iter(disk.tests or ()), None)
    is_running = newest is not None and newest.result == SCSI_IN_PROGRESS
    return RunningTest(None) if is_running else None
