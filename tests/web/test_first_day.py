"""The first day of a box, in a browser: set up, protect a disk, boot it, type, get a file back.

One walk through the real thing: `holdfast serve`, Debian's Chromium, the demo's Debian in QEMU.
`make screens` runs it to renew the pictures of docs/screens.
"""

from __future__ import annotations

import itertools
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from image.debian_disk import open_cache, provide_first
from tests.command import Holdfast
from tests.web.browsing import Watched, open_page
from tests.web.screens import keep_screen
from tests.web.served_box import PASSWORD, USER, ServedBox

MACHINE = "web1"
BOOT_MS = 420_000  # without KVM, on a machine that is busy with other things
DEADLINE_S = 180.0
LIT_PIXELS = 500
SHIFTED = {"$": "Digit4", "(": "Digit9", ")": "Digit0", "*": "Digit8", ">": "Period"}
SCREEN: ViewportSize = {"width": 1280, "height": 832}


@pytest.fixture
def fresh_box(tmp_path: Path) -> Iterator[ServedBox]:
    """A box that nobody has set up; its VMs end with it."""
    box = ServedBox(tmp_path / "state")
    yield box
    command = Holdfast(box.state)
    for vm in list_vms(box):
        command("stop", vm["name"], "--discard")
    box.close()


@pytest.fixture
def images() -> Iterator[Path]:
    """A folder with a short name: it is read in a picture."""
    with TemporaryDirectory(prefix="images-") as folder:
        yield Path(folder)


def list_vms(box: ServedBox) -> list[dict[str, Any]]:
    """As the command at the box lists them."""
    found: list[dict[str, Any]] = Holdfast(box.state)("--json", "vms", expect=0).json()["vms"]
    return found


@pytest.mark.timeout(1500)  # a backup and a boot, each of which may take BOOT_MS
def test_a_person_protects_a_disk_boots_it_types_into_it_and_gets_a_file_back(
    browser: Browser, fresh_box: ServedBox, images: Path, tmp_path: Path
) -> None:
    disk = images / "web1.raw"
    disk.symlink_to(provide_first(open_cache()))
    with open_page(browser, fresh_box, is_signed_in=False, size=SCREEN) as watched:
        page = watched.page
        watched.expected += ("Canvas2D: Multiple readback",)  # it is the test that looks so often
        walk_through_wizard(watched, fresh_box)
        protect(page, disk)
        boot(page)
        type_into_guest(watched, fresh_box)
        get_file_back(page, tmp_path)
        get_folder_back(page, tmp_path)


def walk_through_wizard(watched: Watched, box: ServedBox) -> None:
    """From the code on the box's screen to the page that protects the first machine."""
    page = watched.page
    page.get_by_label("Setup code").fill(box.setup_code)
    keep_screen(page, "setup")
    watched.go_on()
    page.get_by_label("Name", exact=True).fill(USER)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Once more").fill(PASSWORD)
    watched.go_on()
    for step in ("time", "network", "disks"):
        expect(page.locator("h1")).to_contain_text(re.compile(step, re.IGNORECASE))
        watched.go_on()
    page.get_by_role("button", name="Make the store").click()
    rows = read_recovery_key(page)
    page.get_by_role("button", name="I have it on paper").click()
    for number, words in rows.items():
        row = page.get_by_label(f"Row {number}", exact=True)
        if row.count():
            row.fill(words)
    watched.go_on()
    # The vault, and whatever else can wait.
    skip = page.get_by_role("button", name="Skip this step")
    end = page.get_by_role("button", name="Protect a machine")
    expect(skip.or_(end)).to_be_visible()
    while not end.is_visible():
        before = page.locator("h1").inner_text()
        watched.settle()
        skip.click()
        expect(page.locator("h1")).not_to_have_text(before)
    end.click()


def read_recovery_key(page: Page) -> dict[int, str]:
    """The rows of words as they stand on the paper, by number."""
    text = page.locator(".paper").inner_text()
    found = re.findall(r"^\s*(\d+)\s+((?:[a-z]+ +)+?)\s*\d\d\s*$", text, re.MULTILINE)
    assert found, text
    return {int(number): words.strip() for number, words in found}


def protect(page: Page, disk: Path) -> None:
    """The disk of a machine, by its path; then the first backup to its end."""
    page.get_by_text("Disk images or other devices").click()
    page.get_by_label("Paths").fill(str(disk))
    page.get_by_label("Name of the machine").fill(MACHINE)
    page.get_by_text("Office server").click()
    keep_screen(page, "protect")
    page.get_by_role("button", name="Protect it now").click()
    expect(page.locator(".job-progress")).to_be_visible()
    expect(page.get_by_text(re.compile("^Finished"))).to_be_visible(timeout=BOOT_MS)
    page.get_by_role("link", name="Recover from it").click()


def boot(page: Page) -> None:
    """The newest point as a VM, until it asks for a login."""
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuetext", re.compile("On the box"))
    page.get_by_role("button", name="Boot it here").click()
    expect(page.get_by_text("What will happen")).to_be_visible()
    keep_screen(page, "recover", whole=True)
    page.get_by_role("button", name="Boot it", exact=True).click()
    # It could be watched while it starts; a person types when it is ready.
    expect(page.get_by_text(re.compile("^Finished"))).to_be_visible(timeout=BOOT_MS)
    page.get_by_role("link", name="Open its screen").last.click()


def type_into_guest(watched: Watched, box: ServedBox) -> None:
    """Log in by the keyboard, as a person does; the guest says on its serial line what it did."""
    page = watched.page
    expect(page.locator(".screen-state")).to_contain_text("Connected")
    canvas = page.locator(".screen-place canvas")
    expect(canvas).to_be_visible()
    wait_for(lambda: count_lit(page) > LIT_PIXELS, "the screen stays dark")
    assert watched.violations() == []
    (vm,) = list_vms(box)
    serial = Path(vm["serial_log"])
    canvas.click()

    pauses_ms = itertools.chain((2000, 3000, 4500, 7000, 10_000), itertools.repeat(15_000))

    def has_said() -> bool:
        # A slow guest may ask for the password late: then all of it is typed again, and slower.
        pause_ms = next(pauses_ms)
        for line in ("root", "demo", "echo keys-$((6*7)) > /dev/ttyS0"):
            type_line(page, line)
            page.wait_for_timeout(pause_ms)
        return "keys-42" in serial.read_text(errors="replace")

    wait_for(has_said, "nothing that was typed arrived")
    page.get_by_label("Type a whole line").fill("echo line-$((6*7)) > /dev/ttyS0")
    page.get_by_role("button", name="Type it").click()
    wait_for(
        lambda: "line-42" in serial.read_text(errors="replace"), "the line that was sent is lost"
    )
    canvas.click()
    type_line(page, "cat /etc/os-release")
    page.wait_for_timeout(1500)
    keep_screen(page, "vm")
    leave_by_keyboard(page)


def type_line(page: Page, line: str) -> None:
    """As fingers do it: with Shift where a keyboard needs it."""
    for letter in line:
        key = SHIFTED.get(letter) or (f"Key{letter}" if letter.isupper() else "")
        page.keyboard.press(f"Shift+{key}" if key else letter, delay=20)
    page.keyboard.press("Enter")


def leave_by_keyboard(page: Page) -> None:
    """Nobody is caught in the screen: Control and Alt together give the keyboard back."""
    assert page.evaluate("document.activeElement.tagName") == "CANVAS"
    page.keyboard.down("Control")
    page.keyboard.down("Alt")
    page.keyboard.up("Alt")
    page.keyboard.up("Control")
    assert page.evaluate("document.activeElement.tagName") == "BUTTON"


def count_lit(page: Page) -> int:
    """Pixels of the VM's screen that are not dark."""
    found = page.evaluate(
        """() => {
          const canvas = document.querySelector(".screen-place canvas");
          const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let lit = 0;
          for (let at = 0; at < data.length; at += 4) lit += data[at] + data[at + 1] > 200;
          return lit;
        }"""
    )
    return int(found)


def get_file_back(page: Page, place: Path) -> None:
    """One file out of the point, by a click."""
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Recover").click()
    page.get_by_role("link", name=re.compile(f"^{MACHINE}")).click()
    page.get_by_role("link", name=re.compile("Get files back")).click()
    page.get_by_role("link", name="etc", exact=True).click(timeout=BOOT_MS)
    page.get_by_placeholder("Find in this folder").fill("hostname")
    keep_screen(page, "files")
    with page.expect_download() as download:
        page.get_by_role("link", name="File hostname", exact=True).click()
    target = place / "hostname"
    download.value.save_as(target)
    assert target.read_text() == f"{MACHINE}\n"


def get_folder_back(page: Page, place: Path) -> None:
    """A folder as a zip."""
    page.get_by_placeholder("Find in this folder").fill("systemd")
    with page.expect_download() as download:
        page.get_by_role("link", name="As zip systemd", exact=True).click()
    target = place / "systemd.zip"
    download.value.save_as(target)
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert any(name.startswith("systemd/") for name in archive.namelist())


def wait_for(condition: Callable[[], bool], otherwise: str) -> None:
    """Until it holds; fails with `otherwise` after a deadline that a busy machine meets."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, otherwise
        time.sleep(0.2)
