"""What is said of a disk, by one reading and by its history; and when nothing is said."""

from __future__ import annotations

from datetime import timedelta

import pytest

from appliance.formats.disk_pages import DiskPages
from appliance.formats.finding import Finding, decode_finding
from appliance.health.disk_examination import DiskExaminer
from appliance.native.smart import DiskProbe
from tests.clocks import HandClock
from tests.health.ata_pages import HEALTHY, ata, change
from tests.health.exams import START, SUBJECT, PlainHistory, examine_days, find
from tests.health.nvme_pages import health, nvme
from tests.health.recorded import RecordedDisk
from tests.health.scsi_pages import sas
from tests.health.shapes import SHAPES


def with_attribute(number: int, raw: int) -> DiskPages:
    return ata(change(HEALTHY, (number, 0x32, 100, 100, 0, raw)))


def grow(number: int, *values: int, every_days: float = 1) -> list[Finding]:
    return examine_days(
        (day * every_days, with_attribute(number, raw)) for day, raw in enumerate(values)
    )


@pytest.mark.parametrize("name", SHAPES)
def test_one_reading_of_each_shape_says_what_it_must_and_no_more(name: str) -> None:
    shape = SHAPES[name]
    findings = examine_days([(0, shape.make())])
    assert sorted(finding.rule for finding in findings) == sorted(shape.rules)
    for finding in findings:
        assert finding.evidence
        assert all(evidence.values for evidence in finding.evidence)
        assert finding.summary
        assert finding.consequence.endswith(".")
        assert finding.action.endswith(".")
        assert decode_finding(finding.to_json()) == finding


@pytest.mark.parametrize("name", SHAPES)
def test_the_same_reading_again_and_again_never_gets_worse(name: str) -> None:
    pages = SHAPES[name].make()
    first = {finding.rule: finding for finding in examine_days([(0, pages)])}
    later = examine_days((day, pages) for day in range(0, 120, 3))
    assert {finding.rule for finding in later} <= first.keys()
    for finding in later:
        before = first[finding.rule]
        assert not finding.is_worse_than(before.severity, before.measure)


# ---- counters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "values", "severity"),
    [
        (5, [3], "notice"),
        (5, [3] * 60, "notice"),
        (5, [3] * 40 + [4], "warning"),
        (5, [12], "warning"),
        (5, [0, 20, 60, 90], "critical"),
        (5, [1000], "critical"),
        (197, [1], "warning"),
        (197, [1, 4, 12], "critical"),
        (197, [64], "critical"),
        (198, [2], "warning"),
        (187, [1], "warning"),
        (187, [1, 2, 7], "critical"),
    ],
)
def test_a_counter_is_judged_by_its_height_and_its_growth(
    number: int, values: list[int], severity: str
) -> None:
    rules = {5: "reallocated", 197: "pending", 198: "uncorrectable"}
    rule = f"disk.{rules[number]}-sectors" if number in rules else "disk.reported-errors"
    finding = find(grow(number, *values), rule)
    assert finding.severity == severity
    assert finding.measure == values[-1]


def test_evidence_shows_the_values_over_time() -> None:
    evidence = find(grow(197, 0, 0, 0, 8, 8, 16), "disk.pending-sectors").evidence[0]
    assert evidence.what == "attribute 197 Current_Pending_Sector"
    assert [value for _, value in evidence.values] == [0, 8, 16]
    assert evidence.values[1][0] == START + timedelta(days=3)


def test_pending_sectors_that_were_rewritten_are_no_finding() -> None:
    assert grow(197, 8, 8, 0) == []


def test_link_errors_are_the_cable_and_old_ones_are_quiet() -> None:
    grown = find(grow(199, 0, 10, 40, 90), "disk.link-errors")
    assert (grown.severity, "cable" in grown.action) == ("warning", True)
    assert find(grow(199, 90), "disk.link-errors").severity == "notice"
    assert grow(199, *[90] * 40) == []
    assert find(grow(199, *[90] * 40, 91), "disk.link-errors").severity == "notice"


def test_a_trickle_of_link_errors_is_not_worse_every_day() -> None:
    measures = [find(grow(199, *range(70, n)), "disk.link-errors").measure for n in (80, 90, 120)]
    assert len(set(measures)) == 1


def test_time_outs_of_a_restart_are_quiet_and_a_stream_of_them_is_not() -> None:
    assert grow(188, 2, 3, 4) == []
    assert find(grow(188, 2, 20, 60), "disk.command-timeouts").severity == "warning"


def test_packed_raw_values_are_taken_apart() -> None:
    assert examine_days([(0, with_attribute(188, 5 << 32 | 5 << 16))]) == []
    assert find(grow(188, 0, 20 | 20 << 16, 60 | 60 << 32), "disk.command-timeouts").evidence[
        0
    ].values[-1] == (START + timedelta(days=2), 60)


def test_defects_of_a_sas_disk_that_grow_are_worse_than_old_ones() -> None:
    def defects(count: int) -> DiskPages:
        return sas(defects=bytes((0, 0x0C, 0, 1)) + (8 * count).to_bytes(4, "big"))

    assert find(examine_days([(0, defects(7))]), "disk.grown-defects").severity == "notice"
    grown = examine_days([(0, defects(7)), (10, defects(9))])
    assert find(grown, "disk.grown-defects").severity == "warning"
    fast = examine_days([(0, defects(7)), (2, defects(90))])
    assert find(fast, "disk.grown-defects").severity == "critical"


# ---- limits -------------------------------------------------------------------------------------


def test_wear_is_forecast_from_its_pace() -> None:
    worn = examine_days((day, nvme(log_02=health(used=40 + day // 2))) for day in range(0, 61, 2))
    finding = find(worn, "disk.wear")
    assert finding.severity == "notice"
    # 70 % after 60 days at half a per cent a day: 60 days are left.
    assert "2026-09-2" in finding.summary or "2026-09-3" in finding.summary


def test_wear_that_is_slow_says_nothing_until_it_is_high() -> None:
    slow = [(float(day), nvme(log_02=health(used=40 + day // 100))) for day in range(0, 301, 10)]
    assert examine_days(slow) == []
    severities = [
        [item.severity for item in examine_days([(0, nvme(log_02=health(used=used)))])]
        for used in (79, 80, 90, 100, 255)
    ]
    assert severities == [[], ["notice"], ["warning"], ["critical"], ["critical"]]


def test_wear_without_history_is_forecast_from_its_whole_life() -> None:
    finding = find(examine_days([(0, nvme(log_02=health(used=80, hours=8000)))]), "disk.wear")
    # 2,000 hours are left.
    assert "2026-08-23" in finding.summary


@pytest.mark.parametrize(
    ("spare", "threshold", "bits", "is_found"),
    [
        (0, 0, 0, False),
        (10, 10, 0, False),
        (9, 10, 0, True),
        (100, 10, 1, True),
        (100, 10, 0, False),
    ],
)
def test_spare_is_compared_strictly(spare: int, threshold: int, bits: int, is_found: bool) -> None:
    pages = nvme(log_02=health(spare=spare, threshold=threshold, warning=bits))
    found = [finding.rule for finding in examine_days([(0, pages)])]
    assert found == (["disk.spare"] if is_found else [])


def test_spare_that_falls_is_forecast() -> None:
    falling = [(float(d), nvme(log_02=health(spare=100 - d, threshold=10))) for d in range(30)]
    finding = find(examine_days(falling), "disk.spare")
    assert finding.severity == "warning"
    assert "2026-08-" in finding.summary


@pytest.mark.parametrize("bit", [1, 2, 4, 8, 16, 32])
def test_every_critical_bit_is_a_finding_of_its_own(bit: int) -> None:
    findings = examine_days([(0, nvme(log_02=health(warning=bit)))])
    rules = {
        1: "spare",
        2: "temperature",
        4: "reliability",
        8: "read-only",
        16: "volatile-backup",
        32: "persistent-memory",
    }
    assert [finding.rule for finding in findings] == [f"disk.{rules[bit]}"]
    assert f"0x{bit:02x}" in str(findings[0].evidence)


@pytest.mark.parametrize(
    ("celsius", "severity"), [(79, None), (80, "warning"), (84, "warning"), (85, "critical")]
)
def test_temperature_is_held_against_the_makers_limits(celsius: int, severity: str | None) -> None:
    findings = examine_days([(0, nvme(log_02=health(kelvin=273 + celsius)))])
    assert [finding.severity for finding in findings] == ([severity] if severity else [])


# ---- the disk's own words -----------------------------------------------------------------------


def test_a_failed_test_is_outdated_by_a_long_one_that_passed() -> None:
    assert SHAPES["hdd-self-test-outdated"].rules == ()
    failed = find(examine_days([(0, SHAPES["hdd-self-test-failed"].make())]), "disk.self-test")
    assert "LBA 11259375" in failed.summary


def test_what_has_a_wrong_checksum_is_not_believed() -> None:
    findings = examine_days([(0, SHAPES["hdd-wrong-checksum"].make())])
    assert [finding.rule for finding in findings] == ["disk.spoiled-pages"]


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("hung", "disk.hung"),
        ("timeout", "disk.hung"),
        ("gone", "disk.gone"),
        ("unsupported", None),
    ],
)
def test_a_disk_that_does_not_answer_is_a_finding(fault: str, rule: str | None) -> None:
    findings = examine_days([(0, DiskPages("nvme", {}, {"controller": fault}))])
    assert [finding.rule for finding in findings] == ([rule] if rule else [])


# ---- asking -------------------------------------------------------------------------------------


class OpenRecording(RecordedDisk):
    def close(self) -> None:
        pass

    def __enter__(self) -> OpenRecording:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("shape", "transport"),
    [("nvme-healthy", "nvme"), ("hdd-healthy", "sata"), ("hdd-healthy", "usb"), ("sas-hot", "sas")],
)
def test_a_disk_is_asked_by_its_own_commands(
    shape: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = SHAPES[shape].make()
    examiner = DiskExaminer(PlainHistory(), HandClock(), lambda _: OpenRecording(pages))  # type: ignore[arg-type, return-value]
    examination = examiner.examine("/dev/nvme0n1", transport, SUBJECT)
    assert examination.pages is not None
    assert examination.pages.protocol == pages.protocol
    assert [item.rule for item in examination.findings] == list(SHAPES[shape].rules)
    assert examination.to_json()["temperature"]


def test_a_sleeping_disk_has_no_findings() -> None:
    asleep = OpenRecording(SHAPES["hdd-pending"].make(), power_mode=0)
    examiner = DiskExaminer(PlainHistory(), HandClock(), lambda _: asleep)  # type: ignore[arg-type, return-value]
    assert examiner.examine("/dev/sda", "sata", SUBJECT).is_asleep


def test_what_is_no_disk_has_no_findings() -> None:
    examiner = DiskExaminer(PlainHistory(), HandClock(), DiskProbe)
    examination = examiner.examine("/dev/null", "virtio", SUBJECT)
    assert (examination.findings, examination.to_json()) == ([], {})
