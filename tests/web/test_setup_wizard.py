"""A new box is set up with the keyboard alone; what a step cannot do here, it says."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page

from tests.web.browsing import PHONE, Watched, open_page
from tests.web.served_box import PASSWORD, USER, ServedBox

TABS_MAX = 60


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the focus is on what `selector` finds."""
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        if page.evaluate("(one) => document.activeElement.matches(one)", selector):
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


def press(page: Page, selector: str) -> None:
    """Press a button as the keyboard does, which needs it to be ready."""
    tab_to(page, selector)
    page.keyboard.press("Enter")


def fill(page: Page, name: str, text: str) -> None:
    tab_to(page, f"[name={name}]")
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def arrive(watched: Watched, title: str) -> None:
    watched.page.wait_for_selector(f"h1:text-is('{title}')")
    assert watched.page.evaluate("() => document.activeElement.tagName") in ("H1", "BODY")
    assert not watched.violations(), title


def rows_of(sheet: str) -> dict[str, str]:
    """Row number -> words, as they stand on paper."""
    rows = re.findall(r"^(\d)\s+((?:[a-z]+ +)+?)\s*\d\d$", sheet, re.MULTILINE)
    return {number: words.strip() for number, words in rows}


def test_the_keyboard_leads_from_the_code_to_the_home_page(
    browser: Browser, new_box: ServedBox
) -> None:
    with open_page(browser, new_box, is_signed_in=False) as watched:
        page, main = watched.page, "main .is-main:not([aria-pressed])"
        arrive(watched, "Welcome to Holdfast")
        fill(page, "code", "WRONG-WRONG-WRONG-WRONG")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=alert]")
        assert page.input_value("[name=code]") == "WRONG-WRONG-WRONG-WRONG"
        page.focus("h1")
        fill(page, "code", new_box.setup_code)
        page.keyboard.press("Enter")
        arrive(watched, "The first administrator")
        fill(page, "user", USER)
        fill(page, "password", PASSWORD)
        fill(page, "again", PASSWORD)
        press(page, main)
        arrive(watched, "Is the time right?")
        page.wait_for_selector("text=The same as on this computer")
        press(page, main)
        arrive(watched, "The network")
        press(page, main)
        arrive(watched, "Disks")
        press(page, main)
        arrive(watched, "The recovery key")
        press(page, main)
        sheet = page.text_content(".paper pre", timeout=120_000) or ""
        assert not watched.violations()
        page.focus("h1")
        press(page, main)
        arrive(watched, "Read it back")
        rows = rows_of(sheet)
        assert len(rows) == 6, sheet
        fill(page, "first", "these are other words")
        page.wait_for_selector("text=This is not what the row says")
        page.focus("h1")
        for name in ("first", "second"):
            label = page.text_content(f"label[for={page.get_attribute(f'[name={name}]', 'id')}]")
            number = re.search(r"\d", label or "")
            assert number
            fill(page, name, rows[number[0]])
        press(page, main)
        arrive(watched, "The vault")
        press(page, "main .wizard-actions .button:first-child")
        arrive(watched, "Who is told?")
        press(page, "main .wizard-actions .button:first-child")
        arrive(watched, "Protect the first machine")
        press(page, "main .actions .button:last-child")
        page.wait_for_selector("h1:text-is('No machine is protected yet.')")
        assert not watched.violations()
    assert new_box.ask("GET", "/setup")[1]["state"] == "done"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_somebody_who_is_not_signed_in_sees_the_door(
    browser: Browser, box: ServedBox, language: str
) -> None:
    with open_page(browser, box, is_signed_in=False, language=language, size=PHONE) as watched:
        page = watched.page
        assert not watched.violations()
        assert not watched.overflow()
        page.fill("[name=user]", "nobody")
        page.fill("[name=password]", "not the password")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=alert]")
        assert not watched.violations()
        page.fill("[name=user]", USER)
        page.fill("[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector(".standing h1")
