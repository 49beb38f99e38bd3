"""Verdicts that the disk gives of itself: its status, its thresholds, its self-tests.

Owns how the disk's own words become findings, and what is said when it has none: pages that are
spoiled, and a disk that does not answer.
"""

from __future__ import annotations

from collections.abc import Iterator

from appliance.formats.ata_disk import AtaDisk
from appliance.formats.ata_logs import SelfTest, SelfTestLog
from appliance.formats.ata_names import SELF_TEST_LOG_STATUSES
from appliance.formats.finding import Evidence, Finding
from appliance.formats.nvme_disk import NvmeDisk
from appliance.formats.scsi_disk import ASC_IMPENDING_FAILURE, ScsiDisk
from appliance.formats.scsi_json import name_exception
from appliance.health.disk_exam import Exam

_NOW = "Replace it now: 'holdfast disks replace'."
_FALSE_PREDICTION = 0xFF
_EXTENDED = 2


def judge_status(exam: Exam) -> Iterator[Finding]:
    """What the disk says of itself as a whole."""
    disk = exam.disk
    if isinstance(disk, NvmeDisk):
        yield from _judge_bits(exam, disk)
        return
    if isinstance(disk, AtaDisk):
        is_bad = disk.has_passed is False and not {"data", "thresholds"} & set(disk.spoiled)
        evidence = exam.said("SMART status", "failed")
    else:
        asc, ascq = disk.exception or (0, 0)
        text = name_exception(asc, ascq) or ""
        is_bad = asc == ASC_IMPENDING_FAILURE and ascq != _FALSE_PREDICTION
        evidence = exam.said("informational exception", f"{text} [{asc:02X}h/{ascq:02X}h]")
        if text and not is_bad:
            yield exam.finding(
                "warning",
                "warning",
                f"it warns: {text.lower()}",
                (evidence,),
                consequence="By its own rules something is not as it should be.",
                action="See 'holdfast disks show' for its temperature, its tests and its counters.",
            )
    if is_bad:
        yield exam.finding(
            "predicted-failure",
            "critical",
            "it says that it is about to fail",
            (evidence,),
            consequence="Most disks that say so fail within days.",
            action=_NOW,
        )


# Bit of the critical warning -> rule, summary, consequence. Spare and temperature have rules.
_BITS = {
    0x04: (
        "reliability",
        "it says that it has become unreliable",
        "Reads or writes fail, or its inside has errors: what is on it may be lost at any moment.",
    ),
    0x08: (
        "read-only",
        "it has made itself read-only",
        "Nothing can be written any more: an array throws it out, a filesystem stops.",
    ),
    0x10: (
        "volatile-backup",
        "the backup power of its write cache has failed",
        "A power cut may lose what it said was written.",
    ),
    0x20: (
        "persistent-memory",
        "its persistent memory region is read-only or unreliable",
        "What is kept there may be lost.",
    ),
}


def _judge_bits(exam: Exam, disk: NvmeDisk) -> Iterator[Finding]:
    warning = disk.health.critical_warning if disk.health else 0
    for bit, (rule, summary, consequence) in _BITS.items():
        if warning & bit:
            evidence = exam.said("critical warning", f"0x{warning:02x}", limit=f"bit 0x{bit:02x}")
            yield exam.finding(
                rule, "critical", summary, (evidence,), consequence=consequence, action=_NOW
            )


def judge_thresholds(exam: Exam) -> Iterator[Finding]:
    """Attributes that fell to the threshold that the maker set."""
    disk = exam.disk
    if not isinstance(disk, AtaDisk) or disk.smart is None:
        return
    if {"data", "thresholds"} & set(disk.spoiled):
        return
    failed = [item for item in disk.smart.attributes if item.when_failed]
    if not failed:
        return
    is_now = [item for item in failed if item.when_failed == "now"]
    is_end = any(item.is_prefailure for item in is_now)
    names = ", ".join(f"{item.number} {item.name}" for item in is_now or failed)
    evidence = tuple(
        Evidence(
            f"attribute {item.number} {item.name}",
            ((exam.now, item.worst if item.when_failed == "past" else item.value),),
            limit=f"threshold {item.threshold}",
        )
        for item in failed
    )
    yield exam.finding(
        "threshold",
        "critical" if is_end else "warning" if is_now else "notice",
        f"{names} {'is' if is_now else 'was'} at the maker's limit",
        evidence,
        consequence="By its maker's rule it is about to fail."
        if is_end
        else "By its maker's rule it is past what it was made for.",
        action=_NOW if is_end else "Look at what it counts: age, temperature, starts.",
        measure=len(is_now),
    )


def judge_self_tests(exam: Exam) -> Iterator[Finding]:
    """The newest test that failed, unless a later long one passed."""
    disk = exam.disk
    if isinstance(disk, AtaDisk):
        found = _find_ata(disk)
    elif isinstance(disk, NvmeDisk):
        found = _find_nvme(disk)
    else:
        found = _find_scsi(disk)
    if found is None:
        return
    result, hours, lba = found
    evidence = [exam.said("self-test log", result), exam.said("at", hours, "power-on hours")]
    if lba is not None:
        evidence.append(exam.said("first error at LBA", lba))
    yield exam.finding(
        "self-test",
        "critical",
        f"it failed its self-test: {result}" + (f" at LBA {lba}" if lba is not None else ""),
        tuple(evidence),
        consequence="It cannot read all of itself: what lies there is lost unless an array or the"
        " vault has it too.",
        action="Let a scrub of the array rewrite it and run a long self-test again; if that fails"
        " too, replace the disk.",
        measure=hours,
    )


def _find_ata(disk: AtaDisk) -> tuple[str, int, int | None] | None:
    log = disk.self_tests
    if log is None or {"log-06", "gplog-07"} & set(disk.spoiled):
        return None
    failed = _find_failed(log)
    if failed is None:
        return None
    return SELF_TEST_LOG_STATUSES[failed.status >> 4].lower(), failed.hours, failed.lba


def _find_failed(log: SelfTestLog) -> SelfTest | None:
    for test in log.tests:
        if test.has_failed:
            return test
        if test.status >> 4 == 0 and test.kind & 0x7F == _EXTENDED:
            return None
    return None


def _find_nvme(disk: NvmeDisk) -> tuple[str, int, int | None] | None:
    for test in disk.tests.tests if disk.tests else ():
        if test.has_failed:
            return f"result {test.result}, segment {test.segment}", test.hours, test.lba
        if test.result == 0 and test.code == _EXTENDED:
            return None
    return None


def _find_scsi(disk: ScsiDisk) -> tuple[str, int, int | None] | None:
    for test in disk.tests or ():
        if test.has_failed:
            return f"result {test.result}, segment {test.segment}", test.hours, test.lba
        if test.result == 0 and test.code == _EXTENDED:
            return None
    return None


def judge_pages(exam: Exam) -> Iterator[Finding]:
    """What it said but nobody can believe."""
    disk = exam.disk
    spoiled = disk.spoiled if isinstance(disk, AtaDisk) else ()
    evidence = [exam.said(f"page {name}", "wrong checksum") for name in spoiled]
    evidence += [exam.said(f"page {name}", text) for name, text in disk.damaged.items()]
    if not evidence:
        return
    yield exam.finding(
        "spoiled-pages",
        "notice",
        f"{len(evidence)} of its health pages cannot be believed",
        tuple(evidence),
        consequence="Its health is judged by less than usual.",
        action="Compare with 'holdfast disks show'; a new firmware may mend it.",
        measure=len(evidence),
    )
