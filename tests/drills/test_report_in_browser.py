"""The report as somebody sees and prints it: Chromium lays it out, and its pages are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from appliance.base.process import find_program, run
from appliance.drills.gbt20988_elements import ELEMENTS
from appliance.drills.report import OffSite, Subject, render_report
from tests.drills.test_report import HOSTILE, NOW, example_subject

PATIENCE_S = 300.0
XHTML = "{http://www.w3.org/1999/xhtml}"
# A4 with the margins of the page's style, in points.
WIDTH_PT, HEIGHT_PT = 595.3, 841.9
MARGIN_PT = 16 / 25.4 * 72
COLUMNS = ("Full copies", "Off-site copy", "Replication", "Standby equipment", "RTO", "RPO")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-pdf-header-footer",
         "--host-resolver-rules=MAP * ~NOTFOUND")  # fmt: skip


@dataclass(frozen=True)
class Word:
    """A word of a printed page and its box, in points from the upper left corner."""

    text: str
    left: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Print:
    """What came out of the printer."""

    text: str
    pages: tuple[tuple[Word, ...], ...]


def print_page(folder: Path, html: str) -> Print:
    """Print a page by Chromium and read the paper."""
    (folder / "report.html").write_text(html)
    pdf = folder / "report.pdf"
    browser = find_program("chromium", "chromium")
    profile = f"--user-data-dir={folder / 'profile'}"
    argv = [browser, *FLAGS, profile, f"--print-to-pdf={pdf}", f"file://{folder}/report.html"]
    run(argv, timeout_s=PATIENCE_S)
    reader = find_program("pdftotext", "poppler-utils")
    boxes = run([reader, "-bbox", str(pdf), "-"], timeout_s=PATIENCE_S)
    pages = []
    for page in ElementTree.fromstring(boxes).iter(f"{XHTML}page"):
        assert float(page.attrib["width"]) == pytest.approx(WIDTH_PT, abs=1.5)
        assert float(page.attrib["height"]) == pytest.approx(HEIGHT_PT, abs=1.5)
        pages.append(tuple(_read_word(word) for word in page.iter(f"{XHTML}word")))
    return Print(" ".join(word.text for page in pages for word in page), tuple(pages))


def _read_word(word: ElementTree.Element) -> Word:
    left, right, bottom = (float(word.attrib[key]) for key in ("xMin", "xMax", "yMax"))
    return Word(word.text or "", left, right, bottom)


def subjects(folder: Path) -> list[Subject]:
    """A machine that is off site, one that is not and failed, and one with a hostile name."""
    first = example_subject(folder)
    second = example_subject(folder, "db", passed=False)
    third = example_subject(folder, HOSTILE * 3)
    far = OffSite([NOW - timedelta(hours=hours) for hours in range(1, 200, 3)], "batches")
    return [
        Subject("web1", first.record, first.result, folder, first.points, far, first.trend),
        second,
        third,
    ]


def test_the_printed_report_reads_well_to_somebody_who_signs_it(tmp_path: Path) -> None:
    html = render_report(subjects(tmp_path), NOW, "Branch office Lyon")
    paper = print_page(tmp_path, html)
    for words in (
        "Recovery drill report",
        "Branch office Lyon",
        "GB/T 20988-2007: its seven elements, RTO and RPO",
        "To be declared and signed",
        "Date and signature",
        "GB/T 20988-2025 was issued on 2025-06-30",
    ):
        assert words in paper.text, words
    for column in COLUMNS:  # once for each machine
        assert len(re.findall(rf"\b{re.escape(column)}\b", paper.text)) >= 3, column
    for element in ELEMENTS:
        assert paper.text.count(element.name) >= 4
    assert "Without an off-site copy there is no level" in paper.text
    assert "What keeps it from level 1: off-site copy." in paper.text
    # Nothing is cut off at the right or falls off the foot of a page, however long a name is.
    for page in paper.pages:
        assert page, "an empty page"
        for word in page:
            assert word.left >= MARGIN_PT - 2, word
            assert word.right <= WIDTH_PT - MARGIN_PT + 2, word
            assert word.bottom <= HEIGHT_PT, word
    assert 4 <= len(paper.pages) <= 8
