"""A passkey in Chromium, with a device of the browser's own: made, to sign in, to confirm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.web.browsing import open_page
from tests.web.served_box import ServedBox


@pytest.fixture
def own_box(tmp_path: Path) -> Iterator[ServedBox]:
    """A box whose only session may end."""
    box = ServedBox(tmp_path / "state")
    try:
        box.set_up()
        yield box
    finally:
        box.close()


def add_device(page: Page) -> None:
    """What a phone or a key would be, inside the browser."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def test_a_passkey_is_made_and_lets_in_and_confirms(browser: Browser, own_box: ServedBox) -> None:
    with open_page(browser, own_box) as watched:
        page = watched.page
        add_device(page)
        watched.show("/settings/account")
        page.get_by_label("Name of the device").fill("Laptop <b>")
        page.get_by_role("button", name="Add a passkey").click()
        page.get_by_role("button", name="Remove Laptop <b>").wait_for()
        assert not watched.violations()

        watched.end_session()
        watched.reload()
        page.get_by_role("button", name="Sign in by passkey").click()
        watched.show("/settings/account")
        page.get_by_role("button", name="Remove Laptop <b>").click()
        page.get_by_role("button", name="Remove the passkey").click()
        page.get_by_role("button", name="Confirm by passkey").wait_for()
        assert not watched.violations()
        page.get_by_role("button", name="Confirm by passkey").click()
        page.get_by_role("button", name="Remove Laptop <b>").wait_for(state="detached")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_axe_finds_nothing_where_somebody_signs_in(
    browser: Browser, box: ServedBox, language: str
) -> None:
    with open_page(browser, box, language=language, is_signed_in=False) as watched:
        watched.page.locator("input[type=password]").wait_for()
        assert not watched.violations()


def test_where_the_page_was_opened_by_an_address_none_is_offered(
    browser: Browser, box: ServedBox
) -> None:
    with open_page(browser, box, is_signed_in=False) as watched:
        page = watched.page
        page.get_by_role("button", name="Sign in by passkey").wait_for()
        watched.open(f"https://127.0.0.1:{box.port}/")
        page.locator("input[type=password]").wait_for()
        assert not page.get_by_role("button", name="Sign in by passkey").count()
        watched.faults.clear()  # the address is not the one that is watched
