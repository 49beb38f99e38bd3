"""The report: what it says, that it loads nothing, and that names of guests stay text."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

from appliance.drills.gbt20988_elements import ELEMENTS
from appliance.drills.records import summarize
from appliance.drills.report import OffSite, Subject, render_report
from appliance.formats.drill import CheckResult, DrillRecord, Evidence, MachineResult, Phase

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d4944415478da63fccff0bf1e000582027fd7c2a1b60000000049454e44ae426082"
)
HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m&{{7*7}}"


def example_subject(folder: Path, name: str = "web1", *, passed: bool = True) -> Subject:
    screen = folder / "1-screen.png"
    screen.write_bytes(PIXEL)
    result = MachineResult(
        name=name,
        point="web1@2026-11-21T08:00:00Z",
        order=1,
        memory_mib=1024,
        verdict="passed" if passed else "failed",
        began_s=0.1,
        rpo_s=5400.0,
        rto_s=41.2 if passed else None,
        error="" if passed else "VM 'x' was not ready",
        accelerator="tcg",
        phases=(Phase("point opened", 0.4), Phase("VM started", 0.9), Phase("ready", 33.0)),
        checks=(CheckResult("http", "HTTP / on port 80 says 200", passed, 41.2, 3, "status 200"),),
        evidence=(Evidence("1-screen.png", len(PIXEL), hashlib.sha256(PIXEL).hexdigest()),),
    )
    record = DrillRecord(
        format=1,
        id="20261121T091500Z",
        plan="office",
        plan_sha256="00" * 32,
        network="apart",
        began="2026-11-21T09:15:00Z",
        ended="2026-11-21T09:16:00Z",
        verdict="passed" if passed else "failed",
        program="holdfast",
        rto_s=41.2 if passed else None,
        machines=(result,),
    )
    summary = summarize(record)
    points = [NOW - timedelta(hours=hours) for hours in range(1, 200, 3)]
    trend = [(summary, summary.machines[0])] * 3
    return Subject(name, record, result, folder, points, OffSite(), trend)


class Page(HTMLParser):
    """Text and links of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(html)
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_it_says_what_was_measured_and_what_is_missing(tmp_path: Path) -> None:
    page = Page(render_report([example_subject(tmp_path)], NOW, "Branch office Lyon"))
    assert "Branch office Lyon" in page.words
    assert "1 machine tried, and every check passed." in page.words
    assert "41.2 s" in page.words
    assert "1 h 30 min" in page.words
    assert "What keeps it from level 1: off-site copy." in page.words
    assert "Needed: an off-site copy every week." in page.words
    assert "GB/T 20988-2025" in page.words
    assert len(ELEMENTS) == 7
    for element in ELEMENTS:
        assert element.name in page.words
        assert element.statement in page.words
    assert "rules for media, and copies that are regularly shown to be valid" in page.words
    assert "Date and signature" in page.words


def test_with_an_off_site_copy_there_is_a_level(tmp_path: Path) -> None:
    subject = example_subject(tmp_path)
    subject = replace(subject, off_site=OffSite(subject.points, "batches"))
    page = Page(render_report([subject], NOW))
    assert "Level 4" in page.words
    assert "What keeps it from level 5: replication." in page.words
    assert "switching that is automatic or done from one place" in page.words


def test_a_failed_machine_is_said_to_have_failed(tmp_path: Path) -> None:
    page = Page(render_report([example_subject(tmp_path, passed=False)], NOW))
    assert "1 machine tried, and none recovered." in page.words
    assert "not reached" in page.words
    assert "VM 'x' was not ready" in page.words


def test_it_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    html = render_report([example_subject(tmp_path)], NOW)
    page = Page(html)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert "default-src 'none'" in html
    assert not re.search(r"url\(|@import|https?:", html)


def test_names_stay_text(tmp_path: Path) -> None:
    subject = example_subject(tmp_path)
    check = CheckResult("http", HOSTILE, False, 1.0, 1, HOSTILE)
    result = MachineResult(
        name=HOSTILE,
        point=HOSTILE,
        order=1,
        memory_mib=1,
        verdict="failed",
        began_s=0,
        rpo_s=0,
        error=HOSTILE,
        checks=(check,),
    )
    html = render_report([replace(subject, name=HOSTILE, result=result)], NOW, HOSTILE)
    assert "<script" not in html
    assert "\u202e" not in html
    assert "\x1b" not in html
    assert "{{7*7}}" in Page(html).words


def test_a_screenshot_that_was_replaced_is_not_shown(tmp_path: Path) -> None:
    subject = example_subject(tmp_path)
    assert "data:image" in render_report([subject], NOW)
    (tmp_path / "1-screen.png").write_bytes(PIXEL + b"\0")
    assert "data:image" not in render_report([subject], NOW)
    (tmp_path / "1-screen.png").unlink()
    assert "data:image" not in render_report([subject], NOW)
