"""A box that was lost comes back in the wizard: from its vault, or from its own data disks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.web.browsing import Watched, open_page
from tests.web.served_box import PASSWORD, ServedBox

OPENED = "This box is the old one now"


@contextmanager
def open_heir(browser: Browser, state: Path) -> Iterator[Watched]:
    """A box that nobody has set up, in the browser."""
    heir = ServedBox(state)
    try:
        with open_page(browser, heir, is_signed_in=False) as watched:
            yield watched
    finally:
        heir.close()


def walk_to_old_box(watched: Watched, key: str = "") -> None:
    """The first steps, for a box that is to become an old one."""
    page = watched.page
    page.get_by_text("A box that was lost").click()
    page.get_by_label("Setup code").fill(watched.box.setup_code)
    watched.go_on()
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Once more").fill(PASSWORD)
    if key:
        page.get_by_label("Recovery key").fill("these are no words of a key")
        watched.go_on()
        expect(page.get_by_text("This is not the recovery key of this box")).to_be_visible()
        page.get_by_label("Recovery key").fill(key)
    watched.go_on()
    for step in ("time", "network", "disks"):
        expect(page.locator("h1")).to_contain_text(re.compile(step, re.IGNORECASE))
        watched.go_on()
    expect(page.locator("h1")).to_have_text("Become the old box")


def leave_wizard(watched: Watched) -> None:
    page = watched.page
    watched.go_on()
    watched.settle()
    page.get_by_role("button", name="Skip this step").click()
    page.get_by_role("button", name="To the home page").click()
    expect(page.locator(".standing h1")).to_be_visible()
    assert not watched.violations()


def test_a_lost_box_comes_back_from_its_vault_and_the_key_on_paper(
    browser: Browser, box: ServedBox, tmp_path: Path
) -> None:
    vault = tmp_path / "vault"
    shutil.copytree(box.state.with_name("vault"), vault)
    with open_heir(browser, tmp_path / "state") as watched:
        page = watched.page
        walk_to_old_box(watched)
        page.get_by_text("A directory", exact=True).click()
        page.get_by_label("Directory on the box").fill(str(vault))
        page.get_by_label("Recovery key").fill("these are no words of a key")
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.get_by_label("Directory on the box")).to_have_value(str(vault))
        assert not watched.violations()
        page.get_by_label("Recovery key").fill(box.recovery_key)
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_text(OPENED)).to_be_visible()
        assert not watched.violations()
        leave_wizard(watched)
        watched.show("/recover/web1")
        expect(page.get_by_role("slider")).to_have_attribute(
            "aria-valuetext", re.compile("Vault vault")
        )


def test_data_disks_that_were_put_into_a_new_box_are_opened_by_the_key(
    browser: Browser, box: ServedBox, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    shutil.copytree(box.state / "store", state / "store")
    with open_heir(browser, state) as watched:
        page = watched.page
        walk_to_old_box(watched, key=box.recovery_key)
        page.get_by_text("From its data disks").click()
        page.get_by_label("Recovery key").fill(box.recovery_key)
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_text(OPENED)).to_be_visible()
        leave_wizard(watched)
        watched.show("/machines/web1")
        expect(page.get_by_role("slider")).to_have_attribute("aria-valuemax", "2")
