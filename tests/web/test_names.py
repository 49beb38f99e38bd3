"""Names are attacks: three hundred of them are shown as text, and nothing of them happens."""

from __future__ import annotations

from playwright.sync_api import Browser

from tests.web.browsing import open_page
from tests.web.hostile_names import HOSTILE_NAMES
from tests.web.served_box import ServedBox


def test_there_are_three_hundred_names() -> None:
    assert len(set(HOSTILE_NAMES)) == 300


def test_files_with_hostile_names_are_listed_as_text(browser: Browser, box: ServedBox) -> None:
    point = box.must("GET", "/machines/web1/points")["items"][0]["time"]
    with open_page(browser, box) as watched:
        page = watched.page
        page.evaluate("(path) => { location.hash = path }", f"/files/web1/{point}?path=%2Fnames")
        watched.wait_until("() => document.body.textContent.includes('__proto__')")
        watched.settle()
        while page.locator("main .more button").count():
            page.click("main .more button")
            watched.settle()  # with its last click it goes away
        shown = page.evaluate("() => document.querySelector('main').textContent")
        missing = [name for name in HOSTILE_NAMES if name.isprintable() and name not in shown]
        assert not missing
        assert page.locator("main script, main iframe, main base, main style").count() == 0
        assert page.evaluate("() => document.querySelectorAll('main img[src=x]').length") == 0
        assert not watched.violations()
        assert not watched.overflow()


def test_a_job_and_its_error_show_hostile_names_as_text(browser: Browser, box: ServedBox) -> None:
    with open_page(browser, box) as watched:
        watched.show("/jobs")
        watched.page.click("main a:has-text('lost')")
        watched.wait_until("() => document.querySelector('main .error-text')")
        text = watched.page.text_content("main .error-text") or ""
        assert "<img src=x onerror=alert(1)>" in text
        assert watched.page.locator("main img").count() == 0
