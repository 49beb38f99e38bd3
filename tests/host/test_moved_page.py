"""The wizard moves the box to another address, under the feet of who does it.

Daemon, browser and networkd are real and run in one house.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.host.house import DEADLINE_S, FIRST, House, running_house, wait_for
from tests.web.browsing import FLAGS
from tests.web.served_box import CODE, PASSWORD, USER

SECOND = "10.9.0.7"
PORT = 8443


@contextmanager
def serving(house: House, folder: Path) -> Iterator[str]:
    """The box inside; gives its setup code."""
    words = [sys.executable, "-m", "appliance.cli.main", "--state", str(folder / "state"), "serve"]
    said = folder / "serve.log"
    with said.open("wb") as file:
        process = subprocess.Popen(
            house.argv(*words, "--port", str(PORT)), stdout=file, stderr=file
        )
    try:
        wait_for(lambda: "ready\n" in said.read_text(), "the box does not start")
        found = CODE.search(said.read_text())
        assert found
        yield found[0]
    finally:
        for child in psutil.Process(process.pid).children():
            child.terminate()  # nsenter passes no signal on
        process.wait(DEADLINE_S)


def write_browser(house: House, folder: Path) -> Path:
    """A program that is the browser inside; whoever starts it speaks to it through pipes."""
    program = folder / "browser"
    program.write_text(f'#!/bin/sh\nexec {" ".join(house.argv("/usr/bin/chromium"))} "$@"\n')
    program.chmod(0o755)
    return program


def walk_to_network(page: Page, code: str) -> None:
    """The first steps of the wizard."""
    page.goto(f"https://{FIRST}:{PORT}/")
    go_on = page.get_by_role("button", name="Continue")
    page.get_by_label("Setup code").fill(code)
    go_on.click()
    page.locator("[name=user]").fill(USER)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Once more").fill(PASSWORD)
    go_on.click()
    expect(page.locator("h1")).to_have_text("Is the time right?")
    go_on.click()
    expect(page.locator("h1")).to_have_text("The network")


@pytest.mark.slow
def test_who_moves_the_box_in_the_wizard_finds_it_at_its_new_address(tmp_path: Path) -> None:
    with (
        running_house(tmp_path) as house,
        serving(house, tmp_path) as code,
        sync_playwright() as playwright,
    ):
        program = write_browser(house, tmp_path)
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        page = browser.new_page(ignore_https_errors=True)
        page.set_default_timeout(180_000)
        walk_to_network(page, code)
        page.get_by_label("Address and prefix").fill(f"{SECOND}/24")
        page.get_by_role("button", name="Try it").click()
        there = page.get_by_role("link", name=re.compile(re.escape(SECOND)))
        wait_for(lambda: house.addresses() == {SECOND}, "not on trial")
        there.click()
        expect(page).to_have_url(re.compile(re.escape(SECOND)))
        page.locator("[name=user]").fill(USER)
        page.locator("[name=password]").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Keep them").click()
        expect(page.get_by_text("The new addresses are kept.")).to_be_visible()
        expect(page.get_by_text("on trial")).to_be_hidden()
        browser.close()
        house.run("test", "-f", "/etc/systemd/network/01-holdfast-eth0.network")
        assert house.addresses() == {SECOND}
