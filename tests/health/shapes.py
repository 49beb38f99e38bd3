"""Disks of many shapes, written from the standards: pages out of readable descriptions.

Every entry of SHAPES makes the pages that one disk would give. `python -m tests.health.shapes`
lists them and writes the golden file anew.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.formats.disk_pages import DiskPages
from appliance.formats.disk_report import disk_to_json, parse_disk
from tests.health.ata_pages import (
    HEALTHY,
    SSD,
    Row,
    ata,
    change,
    error_log,
    extended_error_log,
    extended_self_tests,
    identify,
    sata_ssd,
    sealed_thresholds,
    self_tests,
    smart_data,
)
from tests.health.nvme_pages import controller, health, namespace, nvme, nvme_tests
from tests.health.scsi_pages import counters, inquiry, log_page, phys, sas, scan, scsi_tests


def without(pages: DiskPages, *names: str) -> DiskPages:
    """The disk refuses some pages."""
    kept = {name: page for name, page in pages.pages.items() if name not in names}
    return replace(pages, pages=kept, faults=dict.fromkeys(names, "unsupported"))


def spoil(page: bytes) -> bytes:
    """The same with a checksum that is wrong."""
    return page[:-1] + bytes((page[-1] ^ 0x55,))


GOLDEN = Path(__file__).parents[1] / "golden" / "disks.jsonl"


@dataclass(frozen=True)
class Shape:
    """A disk, and the rules that must speak of it in one reading without any history."""

    make: Callable[[], DiskPages]
    rules: tuple[str, ...] = ()


def _pending(count: int) -> tuple[Row, ...]:
    return change(HEALTHY, (197, 0x32, 200, 200, 0, count), (198, 0x30, 200, 200, 0, count))


def _ssd_errors() -> DiskPages:
    made = sata_ssd(change(SSD, (187, 0x32, 90, 90, 0, 3)))
    pages = {
        **made.pages,
        "gplog-03": extended_error_log(9),
        "gplog-07": extended_self_tests((2, 0x78, 8100, 0x1_0000_0001)),
    }
    return replace(made, pages=pages)


PACKED = change(
    HEALTHY,
    (3, 0x27, 178, 175, 21, 422 << 16 | 430),
    (5, 0x33, 200, 200, 140, 7 << 32 | 3 << 16 | 0),
    (9, 0x32, 81, 81, 0, 0x12_34 << 32 | 0x56 << 24 | 20123),
    (188, 0x32, 100, 99, 0, 5 << 32 | 5 << 16 | 0),
    (190, 0x22, 67, 50, 45, 0x2A14_0021),
    (194, 0x22, 33, 50, 0, 0x0000_0014_0000_0021),
)
MOVED = sealed_thresholds(tuple(reversed(HEALTHY)))
DEFECTS = bytes((0, 0x0C, 0, 1)) + struct.pack(">I", 8 * 143)

SHAPES: dict[str, Shape] = {
    "hdd-healthy": Shape(ata),
    "hdd-reallocated": Shape(
        lambda: ata(change(HEALTHY, (5, 0x33, 190, 190, 140, 211), (196, 0x32, 190, 190, 0, 40))),
        ("disk.reallocated-sectors",),
    ),
    "hdd-pending": Shape(
        lambda: ata(_pending(16), log_01=error_log(7)),
        ("disk.pending-sectors", "disk.uncorrectable-sectors"),
    ),
    "hdd-reported-uncorrect": Shape(
        lambda: ata(change(HEALTHY, (187, 0x32, 88, 88, 0, 12)), log_01=error_log(12)),
        ("disk.reported-errors",),
    ),
    "hdd-crc": Shape(
        lambda: ata(change(HEALTHY, (199, 0x32, 200, 150, 0, 4711))), ("disk.link-errors",)
    ),
    "hdd-timeouts": Shape(
        lambda: ata(change(HEALTHY, (188, 0x32, 100, 90, 0, 60 << 32 | 61 << 16 | 62))),
        ("disk.command-timeouts",),
    ),
    "hdd-threshold-now": Shape(
        lambda: ata(change(HEALTHY, (5, 0x33, 120, 120, 140, 1808)), passed=False),
        ("disk.reallocated-sectors", "disk.threshold", "disk.predicted-failure"),
    ),
    "hdd-threshold-past": Shape(
        lambda: ata(change(HEALTHY, (190, 0x22, 60, 40, 45, 40))), ("disk.threshold",)
    ),
    "hdd-zero-thresholds": Shape(
        lambda: ata(tuple((*row[:2], 1, 1, 0, row[5]) for row in HEALTHY)),
    ),
    "hdd-no-thresholds": Shape(lambda: without(ata(), "thresholds")),
    "hdd-thresholds-elsewhere": Shape(lambda: ata(thresholds=MOVED)),
    "hdd-no-status": Shape(
        lambda: without(ata(change(HEALTHY, (5, 0x33, 120, 120, 140, 1808))), "status"),
        ("disk.reallocated-sectors", "disk.threshold", "disk.predicted-failure"),
    ),
    "hdd-wrong-checksum": Shape(
        lambda: ata(data=spoil(smart_data(_pending(99)))), ("disk.spoiled-pages",)
    ),
    "hdd-packed-values": Shape(lambda: ata(PACKED)),
    "hdd-self-test-failed": Shape(
        lambda: ata(
            test_status=0x79,
            log_06=self_tests((1, 0x00, 13000, 0), (2, 0x79, 14000, 0x00AB_CDEF)),
        ),
        ("disk.self-test",),
    ),
    "hdd-self-test-outdated": Shape(
        lambda: ata(log_06=self_tests((1, 0x77, 9000, 4711), (2, 0x00, 14000, 0)))
    ),
    "hdd-self-test-running": Shape(
        lambda: ata(test_status=0xF4, log_06=self_tests((2, 0xF4, 14021, 0)))
    ),
    "hdd-short-log": Shape(
        lambda: ata(log_06=self_tests((2, 0x79, 14000, 5))[:100]), ("disk.spoiled-pages",)
    ),
    "hdd-hot": Shape(
        lambda: ata(change(HEALTHY, (194, 0x22, 90, 90, 0, 63))), ("disk.temperature",)
    ),
    "hdd-512n-old": Shape(
        lambda: ata(
            identify=identify(
                "HOLDFAST OLD HDD", exponent=0, rpm=0, words={80: 0x00F8, 81: 0x1B, 222: 0, 168: 0}
            )
        )
    ),
    "hdd-no-smart": Shape(lambda: DiskPages("ata", {"identify": identify(smart=False)})),
    "ssd-healthy": Shape(sata_ssd),
    "ssd-worn": Shape(lambda: sata_ssd(used_percent=97), ("disk.wear",)),
    "ssd-errors": Shape(
        _ssd_errors,
        ("disk.reported-errors", "disk.self-test"),
    ),
    "nvme-healthy": Shape(nvme),
    "nvme-spare-zero-threshold": Shape(lambda: nvme(log_02=health(spare=0, threshold=0))),
    "nvme-spare-at-threshold": Shape(lambda: nvme(log_02=health(spare=10, threshold=10))),
    "nvme-spare-low": Shape(
        lambda: nvme(log_02=health(spare=4, threshold=10, warning=1)),
        ("disk.spare",),
    ),
    "nvme-read-only": Shape(
        lambda: nvme(log_02=health(warning=0x0C, media_errors=91)),
        ("disk.read-only", "disk.reliability", "disk.media-errors"),
    ),
    "nvme-hot": Shape(
        lambda: nvme(log_02=health(warning=2, kelvin=273 + 87, warm=90, hot=12)),
        ("disk.temperature",),
    ),
    "nvme-backup-failed": Shape(
        lambda: nvme(log_02=health(warning=0x30)),
        ("disk.volatile-backup", "disk.persistent-memory"),
    ),
    "nvme-worn": Shape(lambda: nvme(log_02=health(used=118)), ("disk.wear",)),
    "nvme-no-namespace": Shape(lambda: without(nvme(0), "namespace")),
    "nvme-unattached-namespace": Shape(lambda: nvme(namespace=namespace(0))),
    "nvme-self-test-failed": Shape(
        lambda: nvme(log_06=nvme_tests((2, 7, 7700, 0x1000), (1, 0, 7600, None))),
        ("disk.self-test",),
    ),
    "nvme-short-health": Shape(lambda: nvme(log_02=health()[:200]), ("disk.spoiled-pages",)),
    "nvme-huge-counters": Shape(
        lambda: nvme(log_02=health(hours=2**70, data_read=2**128 - 1)),
    ),
    "nvme-old": Shape(
        lambda: without(
            nvme(controller=controller(version=0, warning=0, critical=0, oacs=0)),
            *("log-06", "log-03"),
        )
    ),
    "sas-healthy": Shape(sas),
    "sas-grown-defects": Shape(lambda: sas(defects=DEFECTS), ("disk.grown-defects",)),
    "sas-predicted": Shape(
        lambda: sas(log_2f=log_page(0x2F, (0, bytes((0x5D, 0x10, 31, 60))))),
        ("disk.predicted-failure",),
    ),
    "sas-uncorrected": Shape(
        lambda: sas(log_03=counters(0x03, 12, 3, 9, 24, 15, 91234567890123, 6)),
        ("disk.reported-errors",),
    ),
    "sas-self-test-failed": Shape(
        lambda: sas(log_10=scsi_tests((2, 7, 14000, 0x00AB_CDEF), (1, 0, 13000, None))),
        ("disk.self-test",),
    ),
    "sas-ssd-worn": Shape(
        lambda: sas(1, log_11=log_page(0x11, (1, bytes((0, 0, 0, 96))))), ("disk.wear",)
    ),
    "sas-scan-errors": Shape(
        lambda: sas(log_15=scan(841260, (840000, 0x1234), (841000, 0x99_0000_1234))),
        ("disk.scan-errors",),
    ),
    "sas-link": Shape(
        lambda: sas(log_18=phys((9000, 800, 30, 2), (0, 0, 0, 0))), ("disk.link-errors",)
    ),
    "sas-hot": Shape(
        lambda: sas(log_0d=log_page(0x0D, (0, bytes((0, 61))), (1, bytes((0, 60))))),
        ("disk.temperature",),
    ),
    "sas-subpages": Shape(
        lambda: sas(
            log_0d_01=log_page(
                0x0D,
                (0, bytes((0, 38, 51, 5, 44, 30, 0, 0))),
                (1, bytes((1, 0x80, 0xFB, 5, 44, 30, 60, 0xF6))),
                (0x100, bytes((1, 55, 72, 35, 55, 45, 90, 5))),
                subpage=1,
            ),
            log_15_01=log_page(0x15, (0, struct.pack(">I", 1)), subpage=1),
        ),
        ("disk.pending-sectors",),
    ),
    "scsi-bare": Shape(
        lambda: DiskPages(
            "scsi",
            {
                "inquiry": inquiry("QEMU", "QEMU HARDDISK", 5),
                "short-capacity": struct.pack(">II", 20479, 512),
            },
        )
    ),
}


def write_golden() -> str:
    """What the product says of every shape, one a line."""
    lines = [
        json.dumps([name, disk_to_json(parse_disk(shape.make()))], sort_keys=True)
        for name, shape in SHAPES.items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for name, shape in SHAPES.items():
        print(f"{name:28} {', '.join(shape.rules) or 'quiet'}")
    GOLDEN.write_text(write_golden())
