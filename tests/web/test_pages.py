"""Every page: nobody is shut out, nothing leaves the box, everything fits the window."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.web.browsing import CRASH_CART, OF_COLOURS, PHONE, Theme, open_page
from tests.web.served_box import ServedBox

ROUTES = Path(__file__).resolve().parents[2] / "appliance/web/js/routes.js"
THEMES: tuple[Theme, ...] = ("dark", "light")
TABS = (
    *("account", "users", "tokens", "certificates"),
    *("notices", "box", "host", "updates", "support", "audit"),
)


def list_pages(box: ServedBox) -> list[str]:
    """Every address of the page, with names that exist; VMs and drills have tests of their own."""
    point = box.must("GET", "/machines/web1/points")["items"][0]
    jobs = box.must("GET", "/jobs")["items"]
    known = {"machine": ["web1"], "time": [point["time"]], "tab": list(TABS)}
    known["id"] = [str(job["id"]) for job in jobs][:2]
    known["disk"] = [disk["name"] for disk in box.must("GET", "/disks")["items"]][:1]
    pages = ["/nowhere"]
    for path in re.findall(r'path: "([^"]+)", nav', ROUTES.read_text()):
        names = re.findall(r":(\w+)", path)
        if any(not known.get(name) for name in names):
            continue
        for at in range(max((len(known[name]) for name in names), default=1)):
            page = path
            for name in names:
                page = page.replace(f":{name}", known[name][min(at, len(known[name]) - 1)])
            pages.append(page)
    return pages


def choose(known: dict[str, Sequence[str]], at: int, found: re.Match[str]) -> str:
    """The name number `at` of a kind, or its last."""
    names = known[found[1]]
    return names[min(at, len(names) - 1)]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_axe_finds_nothing_on_any_page_and_none_is_wider_than_its_window(
    browser: Browser, box: ServedBox, language: str
) -> None:
    """Light and dark, and on a phone or a crash cart: a page is opened once for all of it.

    In each theme all rules are asked in one of the languages.
    """
    whole = THEMES[language == "en"]
    found: dict[str, object] = {}
    with open_page(browser, box, language=language) as watched:
        for path in list_pages(box):
            watched.show(path)
            for theme in THEMES:
                watched.page.emulate_media(color_scheme=theme)
                if violations := watched.violations(*(() if theme == whole else OF_COLOURS)):
                    found[f"{path} {theme}"] = violations
            for size in (PHONE, CRASH_CART):
                watched.page.set_viewport_size(size)
                if wide := watched.overflow():
                    found[f"{path} at {size['width']}"] = wide
    assert not found


def test_the_menu_opens_on_a_phone(browser: Browser, box: ServedBox) -> None:
    with open_page(browser, box, size=PHONE) as watched:
        page = watched.page
        assert not page.is_visible("nav a[href='#/jobs']")
        page.click("button[aria-controls=menu]")
        assert not watched.violations()
        page.click("nav a[href='#/jobs']")
        page.wait_for_selector("h1:text-is('Jobs')")
        assert not page.is_visible("nav a[href='#/jobs']")


def test_what_is_measured_can_be_found(browser: Browser, box: ServedBox) -> None:
    with open_page(browser, box) as watched:
        watched.page.evaluate(
            "() => document.querySelector('main').append(document.createElement('img'))"
        )
        assert any(one.startswith("image-alt") for one in watched.violations())
        watched.page.evaluate("() => { document.querySelector('main').style.width = '3000px' }")
        assert watched.overflow() > 1000
        watched.page.evaluate("() => fetch('https://elsewhere.test/').catch(() => 0)")
        for told in ("elsewhere.test", "Content Security Policy"):
            watched.wait_for(lambda told=told: told in str(watched.faults), told)  # type: ignore[misc]
        watched.faults.clear()
