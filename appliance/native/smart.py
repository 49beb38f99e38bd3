"""The door to a disk's health pages: one probe for each disk (native/probe/smart.c).

Owns the wire form of requests and replies, and the deadline: whatever a disk does, an answer
comes in time, if only that the disk hangs. Never interprets a page, and never sends anything that
is not in `Operation`.
"""

from __future__ import annotations

import contextlib
import struct
import threading
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import ClassVar, Protocol

from appliance.base.clock import SystemClock
from appliance.base.errors import HoldfastError
from appliance.base.process import Conversation

_REQUEST = struct.Struct("<4sHBBHHIII")
_REPLY = struct.Struct("<4sBBHIHHHHBBBBBBBxHxxQQ")
_PROBE = Path(__file__).with_name("holdfast-smart")
_HAS_REGISTERS, _HAS_INFORMATION = 1, 2
_MARGIN_S = 5.0
DATA_MAX_BYTES = 64 << 10
SENSE_MAX_BYTES = 252
TIMEOUT_S = 20.0
ALL_NAMESPACES = 0xFFFFFFFF


class Operation(IntEnum):
    """What a disk can be asked; the numbers of native/src/smart.h."""

    ATA_IDENTIFY = 1
    ATA_SMART_DATA = 2
    ATA_SMART_THRESHOLDS = 3
    ATA_SMART_STATUS = 4
    ATA_SMART_LOG = 5
    ATA_LOG_EXT = 6
    ATA_SELF_TEST = 7
    ATA_POWER_MODE = 8
    NVME_IDENTIFY_CONTROLLER = 16
    NVME_IDENTIFY_NAMESPACE = 17
    NVME_LOG = 18
    NVME_SELF_TEST = 19
    SCSI_INQUIRY = 32
    SCSI_VITAL_PAGE = 33
    SCSI_LOG = 34
    SCSI_SELF_TEST = 35
    SCSI_CAPACITY = 36
    SCSI_MODE = 37
    SCSI_DEFECTS = 38
    SCSI_READY = 39
    SCSI_SHORT_CAPACITY = 40


class Result(IntEnum):
    """What became of a command; the numbers of native/src/smart.h, and HUNG."""

    OK = 0
    BAD_REQUEST = 1
    UNSUPPORTED = 2
    GONE = 3
    TIMEOUT = 4
    NOT_READY = 5
    BUSY = 6
    DENIED = 7
    FAILED = 8
    HUNG = 255
    """No answer in time: the kernel holds the probe. The disk is asked nothing more."""


@dataclass(frozen=True)
class Command:
    """One request. `page` and `first` are what smart.h says for the operation."""

    operation: Operation
    page: int = 0
    subpage: int = 0
    first: int = 0
    nsid: int = 0
    length_bytes: int = 512
    timeout_s: float = TIMEOUT_S

    def encode(self) -> bytes:
        """The wire form."""
        return _REQUEST.pack(
            b"HFSQ",
            self.operation,
            self.page,
            self.subpage,
            self.first,
            0,
            self.nsid,
            self.length_bytes,
            round(self.timeout_s * 1000),
        )


@dataclass(frozen=True)
class Registers:
    """What an ATA disk leaves behind after a command."""

    status: int
    error: int
    device: int
    count: int
    lba: int


@dataclass(frozen=True)
class Reply:
    """What came back. `information` is the LBA that the sense names, where it names one."""

    result: Result
    data: bytes = b""
    sense: bytes = b""
    sense_key: int = 0
    asc: int = 0
    ascq: int = 0
    nvme_status: int = 0
    os_error: int = 0
    registers: Registers | None = None
    information: int | None = None


class Transport(Protocol):
    """How commands reach a disk: a probe, or a recording of one."""

    def send(self, command: Command) -> Reply:
        """Ask. Never raises: what went wrong is in the reply."""


class DiskProbe:
    """The transport to the device node `path`. One thread at a time."""

    # Probes that are stuck in the kernel: a second one would be stuck behind it.
    _stuck: ClassVar[dict[str, Conversation]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: str, *, program: Path = _PROBE) -> None:
        """Raises HoldfastError when the program is missing."""
        self._path = path
        self._conversation: Conversation | None = None
        self._final: Result | None = None
        with self._lock:
            stuck = self._stuck.get(path)
            if stuck is not None and stuck.is_running:
                self._final = Result.HUNG
                return
            self._stuck.pop(path, None)
        if not program.exists():
            raise HoldfastError(f"{program} is missing: run 'make setup'")
        self._conversation = Conversation([str(program), path])

    def send(self, command: Command) -> Reply:
        """Ask, and wait for `command.timeout_s` and a margin at most."""
        if self._conversation is None:
            return Reply(self._final if self._final is not None else Result.GONE)
        deadline_s = SystemClock().monotonic_s() + command.timeout_s + _MARGIN_S
        try:
            reply = self._ask(self._conversation, command, deadline_s)
        except TimeoutError:
            with self._lock:
                self._stuck[self._path] = self._conversation
            self._end(Result.HUNG)
            return Reply(Result.HUNG)
        except (EOFError, ValueError):
            self._end(Result.GONE)
            return Reply(Result.GONE)
        if reply.result in (Result.GONE, Result.DENIED):
            self._end(reply.result)  # it ends after that, and would seem to have vanished
        return reply

    @staticmethod
    def _ask(conversation: Conversation, command: Command, deadline_s: float) -> Reply:
        with contextlib.suppress(EOFError):  # it may have said why before it ended
            conversation.write(command.encode())
        header = conversation.read(_REPLY.size, deadline_s)
        reply, sense_bytes, data_bytes = decode_header(header)
        sense = conversation.read(sense_bytes, deadline_s)
        return replace(reply, sense=sense, data=conversation.read(data_bytes, deadline_s))

    def _end(self, final: Result) -> None:
        self._final = final
        self.close()

    def close(self) -> None:
        """Let go of the device, without waiting for it."""
        if self._conversation is not None:
            self._conversation.close()
            self._conversation = None

    def __enter__(self) -> DiskProbe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def decode_header(header: bytes) -> tuple[Reply, int, int]:
    """A reply without its bytes, and how many of sense and data follow. Raises ValueError."""
    fields = _REPLY.unpack(header)
    magic, result, flags, os_error, data_bytes, sense_bytes, nvme_status = fields[:7]
    _host, _driver, _scsi_status, key, asc, ascq, status, error, device, count = fields[7:17]
    lba, information = fields[17:]
    if magic != b"HFSR" or sense_bytes > SENSE_MAX_BYTES or data_bytes > DATA_MAX_BYTES:
        raise ValueError("not a reply")
    reply = Reply(
        result=Result(result),
        sense_key=key,
        asc=asc,
        ascq=ascq,
        nvme_status=nvme_status,
        os_error=os_error,
        registers=Registers(status, error, device, count, lba) if flags & _HAS_REGISTERS else None,
        information=information if flags & _HAS_INFORMATION else None,
    )
    return reply, sense_bytes, data_bytes
