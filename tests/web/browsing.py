"""Debian's Chromium, and a page that notes whatever a page of the box must never do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Error, Page, Playwright, ViewportSize

from tests.web.served_box import ServedBox

AXE = Path(__file__).resolve().parents[2] / "build/axe/axe.min.js"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
TIMEOUT_MS = 90_000
CRASH_CART: ViewportSize = {"width": 1024, "height": 768}
PHONE: ViewportSize = {"width": 360, "height": 740}
Theme = Literal["light", "dark"]
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def start_browser(playwright: Playwright) -> Browser:
    """A browser with a fresh profile."""
    return playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))


@dataclass
class Watched:
    """A page of the box, and what went wrong in it."""

    page: Page
    box: ServedBox
    faults: list[str] = field(default_factory=list)
    # The browser tells there of every answer that is no success: some of them are meant.
    expected: tuple[str, ...] = ("Failed to load resource",)

    def watch(self) -> None:
        """Note scripts that fail, broken policies, and every request that leaves the box."""
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("console", self._note_console)
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self._note_request(request.url))

    def _note_console(self, message: Any) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(self.expected):
            self.faults.append(f"console: {message.text}")

    def _note_request(self, url: str) -> None:
        if not url.startswith((self.box.url, "data:", "blob:")):
            self.faults.append(f"left the box: {url}")

    def show(self, path: str) -> None:
        """Go to a page by its address, and wait until it has what it shows."""
        self.page.evaluate("(path) => { location.hash = path }", path)
        self.wait_until(
            "(path) => decodeURI(location.hash) === decodeURI('#' + path)"
            " && document.querySelector('main h1') && !document.querySelector('.skeleton')",
            path,
        )

    def wait_until(self, script: str, argument: object = None) -> None:
        """Until `script` gives something true. A strict page lets Playwright's own wait not run."""
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while not self.page.evaluate(script, argument):
            assert time.monotonic() < deadline, f"still not: {script} {argument}"
            self.page.wait_for_timeout(20)

    def violations(self) -> list[str]:
        """What axe has against the page as it is now."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(AXE.read_text("utf-8"))
        found = self.page.evaluate(
            "(tags) => axe.run({runOnly: tags, resultTypes: ['violations']})", TAGS
        )
        return [
            f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        width = self.page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        return max(0, int(width))

    def check(self) -> None:
        """Fails with all that was noted."""
        assert not self.faults


def open_first(page: Page, url: str) -> None:
    """Open a page; a network interface that comes or goes on this host is no reason to fail."""
    for _ in range(5):
        try:
            page.goto(f"{url}/")
        except Error as error:
            if "ERR_NETWORK_CHANGED" not in str(error):
                raise
        else:
            return
    page.goto(f"{url}/")


@contextmanager
def open_page(
    browser: Browser,
    box: ServedBox,
    *,
    language: str = "en",
    theme: Theme = "light",
    is_signed_in: bool = True,
    size: ViewportSize | None = None,
) -> Iterator[Watched]:
    """A window of its own on the box, as somebody with these preferences opens it."""
    context = browser.new_context(
        ignore_https_errors=True,
        viewport=size or CRASH_CART,
        locale={"en": "en-GB", "zh": "zh-CN"}[language],
        color_scheme=theme,
        reduced_motion="reduce",
    )
    try:
        context.set_default_timeout(TIMEOUT_MS)
        if is_signed_in:
            context.add_cookies([box.cookie])
        watched = Watched(context.new_page(), box)
        watched.watch()
        open_first(watched.page, box.url)
        watched.page.wait_for_selector("h1")
        yield watched
        watched.check()
    finally:
        context.close()
