"""What the kernel's log says about disks: which sectors could not be read or written.

Owns the reading of its lines (block/blk-core.c, blk_status; drivers/scsi/sd.c and their like for
disks that come) and the verdict on them. Never opens the log: lines come in, and lines of programs
are not believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from appliance.formats.finding import Evidence, Finding

Kind = Literal["medium", "io"]
_SECTORS_SHOWN = 10
_DEVICE = r"(?P<device>[a-z][a-z0-9]{1,31})"
# The kernel's facility is 0: records of /dev/kmsg begin with priority,sequence,time,flags;
_RECORD = re.compile(r"(?P<priority>\d{1,4}),\d+,\d+,[^;]*;(?P<text>.*)", re.DOTALL)
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (
        "medium",
        re.compile(rf"critical medium error, dev {_DEVICE}, sector (?P<sector>\d{{1,20}})"),
    ),
    ("io", re.compile(rf"I/O error, dev {_DEVICE}, sector (?P<sector>\d{{1,20}})")),
)
# What sd and virtio_blk say of a disk before they read from it, and nvme of a controller.
_ARRIVAL = re.compile(
    r"\[((?:sd|vd)[a-z]{1,8})\] \d+ \d+-byte logical blocks|^nvme (nvme\d{1,6}): pci function"
)


@dataclass(frozen=True)
class KernelError:
    """One error. `sector` counts 512 bytes."""

    device: str
    kind: Kind
    sector: int


@dataclass(frozen=True)
class KernelArrival:
    """A disk came: what was said before of that name was said of another one.

    Attributes:
        device: the disk, or the NVMe controller whose namespaces follow.
    """

    device: str

    def names(self, device: str) -> bool:
        """Whether `device` is what came."""
        return device == self.device or device.startswith(f"{self.device}n")


def parse_kernel_line(line: str) -> KernelError | KernelArrival | None:
    """What one record of /dev/kmsg, or one line of its text, says of a disk; None: nothing."""
    record = _RECORD.match(line)
    if record is not None:
        if int(record["priority"]) >> 3 != 0:
            return None  # written by a program: anybody may write there
        line = record["text"]
    for kind, pattern in _PATTERNS:
        found = pattern.search(line)
        if found is not None:
            return KernelError(found["device"], kind, int(found["sector"]))
    arrived = _ARRIVAL.search(line)
    return None if arrived is None else KernelArrival(arrived[1] or arrived[2])


def judge_kernel_errors(
    subject: str, errors: Iterable[KernelError], now: datetime
) -> Iterator[Finding]:
    """The errors of one disk since it came, or since the kernel's log begins."""
    found = list(errors)
    medium = [error for error in found if error.kind == "medium"]
    other = [error for error in found if error.kind == "io"]
    if medium:
        sectors, shown = _list_sectors(medium)
        yield Finding(
            subject,
            "disk.medium-errors",
            "critical" if len(sectors) >= _SECTORS_SHOWN else "warning",
            f"the kernel could not read {len(sectors)} of its sectors: LBA {shown}",
            _show(shown, medium, now),
            consequence="What lies there is lost unless an array or the vault has it too.",
            action="Let a scrub of the array rewrite them and run a long self-test.",
            measure=len(sectors),
        )
    elif other:
        sectors, shown = _list_sectors(other)
        yield Finding(
            subject,
            "disk.transfer-errors",
            "warning",
            f"{len(other)} requests of the kernel failed: LBA {shown}",
            _show(shown, other, now),
            consequence="Reads or writes were lost on the way or in the disk.",
            action="Check its power and its cable; run a long self-test.",
            measure=len(sectors),
        )


def _list_sectors(errors: list[KernelError]) -> tuple[list[int], str]:
    sectors = sorted({error.sector for error in errors})
    more = f" and {len(sectors) - _SECTORS_SHOWN} more" if len(sectors) > _SECTORS_SHOWN else ""
    return sectors, ", ".join(str(sector) for sector in sectors[:_SECTORS_SHOWN]) + more


def _show(shown: str, errors: list[KernelError], now: datetime) -> tuple[Evidence, ...]:
    return (
        Evidence("kernel log: LBA (512 bytes)", ((now, shown),)),
        Evidence("kernel log: errors", ((now, len(errors)),)),
    )
