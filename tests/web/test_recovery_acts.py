"""What is done with a point, for real: it is written back, exported, booted and typed into."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.command import Holdfast
from tests.web.browsing import Watched, open_page
from tests.web.served_box import PASSWORD, USER, ServedBox
from tests.web.speaking_disk import ALT, CONTROL, DELETE, PROMPT

VM = "typed-into"
FINISHED = re.compile("^Finished")


def choose(watched: Watched, way: str) -> Page:
    """The newest point of `web1`, and what is to become of it."""
    watched.show("/recover/web1")
    watched.page.get_by_role("button", name=re.compile(way)).click()
    return watched.page


def test_a_disk_is_written_back_bit_for_bit(
    browser: Browser, box: ServedBox, disk: Path, tmp_path: Path
) -> None:
    target = tmp_path / "back.raw"
    with open_page(browser, box) as watched:
        page = choose(watched, "Write a disk back")
        page.get_by_label("Onto which disk").fill(str(target))
        expect(page.get_by_text(f"16.0 MiB are written to {target}")).to_be_visible()
        page.get_by_role("button", name="Write it").click()
        expect(page.get_by_text(FINISHED)).to_be_visible()
        assert not watched.violations()
    assert target.read_bytes() == disk.read_bytes()


def test_what_is_there_is_overwritten_only_after_name_password_and_presence(
    browser: Browser, box: ServedBox, disk: Path, tmp_path: Path
) -> None:
    target = tmp_path / "in-use.raw"
    precious = b"somebody's".ljust(disk.stat().st_size)
    target.write_bytes(precious)
    with open_page(browser, box, is_signed_in=False) as watched:
        watched.sign_in()
        page = choose(watched, "Write a disk back")
        page.get_by_label("Onto which disk").fill(str(target))
        page.get_by_label("Overwrite what is there").check()
        page.get_by_role("button", name="Write it").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Write it").click()
        expect(dialog.get_by_role("textbox")).to_have_attribute("aria-invalid", "true")
        dialog.get_by_role("textbox").fill(str(target))
        dialog.get_by_role("button", name="Write it").click()
        expect(dialog.get_by_role("heading", name="Is it you?")).to_be_visible()
        assert target.read_bytes() == precious
        confirm_at_the_box(page, box)
        expect(page.get_by_text(FINISHED)).to_be_visible()
    assert target.read_bytes() == disk.read_bytes()


def confirm_at_the_box(page: Page, box: ServedBox) -> None:
    """A password alone overwrites nothing: the code is shown at the box."""
    page.fill("dialog[open] [name=password]", PASSWORD)
    page.keyboard.press("Enter")
    code = page.locator("dialog[open] [name=code]")
    code.wait_for()
    shown = Holdfast(box.state)("--json", "users", "presence", USER, expect=0).json()["code"]
    code.fill(shown)
    page.keyboard.press("Enter")


def test_an_image_for_another_hypervisor_holds_the_same_bytes(
    browser: Browser, box: ServedBox, disk: Path, tmp_path: Path
) -> None:
    target = tmp_path / "web1.qcow2"
    with open_page(browser, box, language="zh") as watched:
        page = choose(watched, "导出镜像")
        page.locator("[name=format]").select_option("qcow2")
        page.locator("[name=target]").fill(str(target))
        page.locator(".action button.is-main").click()
        shown = page.locator(".action .mono").inner_text()
        assert not watched.violations()
    assert hashlib.sha256(target.read_bytes()).hexdigest() in shown
    argv = ["qemu-img", "compare", "-f", "raw", "-F", "qcow2", str(disk), str(target)]
    subprocess.run(argv, check=True, capture_output=True)


# ---- a VM, its screen and its keyboard ----------------------------------------------------------


@pytest.fixture
def no_vm_left(box: ServedBox) -> Iterator[None]:
    """Whatever becomes of the test, its VM ends with it."""
    yield
    Holdfast(box.state)("stop", VM, "--discard")


@pytest.mark.usefixtures("no_vm_left")
def test_a_vm_is_booted_typed_into_filled_the_screen_with_and_thrown_away(
    browser: Browser, box: ServedBox
) -> None:
    with open_page(browser, box) as watched:
        page = choose(watched, "Boot it here")
        page.get_by_text("Name, memory, processors").click()
        page.get_by_label("Name of the VM").fill(VM)
        page.get_by_role("button", name="Boot it", exact=True).click()
        page.get_by_role("link", name="Open its screen").last.click()
        expect(page.locator(".screen-state")).to_contain_text("Connected")
        assert not watched.violations()
        serial = find_serial(box)
        watched.wait_for(lambda: PROMPT in serial.read_bytes(), "the guest says nothing")
        page.get_by_role("button", name="Ctrl-Alt-Del").click()
        watched.wait_for(lambda: is_restart(heard(serial)), "Ctrl-Alt-Del did not arrive")
        fill_the_screen(watched)
        throw_away(watched)
    assert not Path(serial).exists()


def find_serial(box: ServedBox) -> Path:
    vms = Holdfast(box.state)("--json", "vms", expect=0).json()["vms"]
    (found,) = [vm["serial_log"] for vm in vms if vm["name"] == VM]
    return Path(found)


def heard(serial: Path) -> bytes:
    """What the guest said: its prompt and then the codes of keys, after what the firmware said."""
    said = serial.read_bytes()
    return said[said.index(PROMPT) :]


def is_restart(said: bytes) -> bool:
    """Control and Alt go down, then Delete, and all are let go."""
    keys = said[len(PROMPT) :]
    order = [CONTROL, ALT, DELETE, DELETE | 0x80, ALT | 0x80, CONTROL | 0x80]
    return [key for key in keys if key != 0xE0] == order


def fill_the_screen(watched: Watched) -> None:
    page = watched.page
    full = page.get_by_role("button", name="Full screen")
    full.click()
    watched.wait_until("() => document.fullscreenElement?.matches('.vm-screen')")
    assert not watched.violations()
    full.click()
    watched.wait_until("() => !document.fullscreenElement")


def throw_away(watched: Watched) -> None:
    page = watched.page
    page.get_by_label("Throw away what it wrote").check()
    page.get_by_role("button", name="Stop and throw away").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop and throw away").click()
    expect(page.get_by_text("There is no such VM any more")).to_be_visible()
    assert not watched.violations()
