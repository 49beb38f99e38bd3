"""The sheet carries the key three times, and nothing foreign gets out of its place."""

from __future__ import annotations

import base64
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

from appliance.formats.recovery_key import parse_recovery_key
from appliance.formats.recovery_sheet import format_sheet
from tests.formats.examples import DESCRIPTOR, RECOVERY_KEY


def sheet(name: str = "00010203 (bank)") -> str:
    return format_sheet(
        RECOVERY_KEY,
        store_id=DESCRIPTOR.store_id,
        name=name,
        created=DESCRIPTOR.created,
        printed="2027-01-02T03:04:05Z",
    )


def test_a_camera_reads_the_key_from_the_image_of_the_sheet(tmp_path: Path) -> None:
    found = re.search(r'src="data:image/png;base64,([^"]+)"', sheet())
    assert found
    image = tmp_path / "code.png"
    image.write_bytes(base64.b64decode(found[1]))
    argv = ["zbarimg", "--quiet", "--raw", str(image)]
    read = subprocess.run(argv, capture_output=True, check=True).stdout.decode()
    assert parse_recovery_key(read) == RECOVERY_KEY


def test_the_words_and_the_line_of_the_sheet_are_the_key() -> None:
    rows = re.findall(r"<tr><td>(\d)</td>((?:<td>[a-z]+</td>){4})<td>(\d\d)</td></tr>", sheet())
    typed = [f"{n} {' '.join(re.findall('[a-z]{3,}', row))} {digits}" for n, row, digits in rows]
    assert len(typed) == 6
    assert parse_recovery_key("\n".join(typed)) == RECOVERY_KEY
    line = re.search("base32: [A-Z2-7-]+", sheet())
    assert line
    assert parse_recovery_key(line[0]) == RECOVERY_KEY


def test_the_sheet_says_what_it_opens() -> None:
    for said in (
        DESCRIPTOR.store_id,
        "00010203 (bank)",
        DESCRIPTOR.created,
        "2027-01-02T03:04:05Z",
    ):
        assert said in sheet()


class Tags(HTMLParser):
    """The tags of a page, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)


def test_a_label_cannot_add_anything_to_the_page() -> None:
    evil = sheet("</title><script>alert(1)</script><img src=x {store_id}>\"'")
    assert Tags(evil).found == Tags(sheet()).found
    assert "<script" not in evil
    assert "{store_id}" in evil


def test_the_sheet_loads_nothing() -> None:
    assert not re.findall(r"https?:|//|url\(", re.sub(r"base64,[^\"]+", "", sheet()))
