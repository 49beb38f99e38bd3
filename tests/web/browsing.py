"""Debian's Chromium, and a page that notes whatever a page of the box must never do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import (
    Browser,
    Error,
    Page,
    Playwright,
    Request,
    ViewportSize,
    expect,
)

from tests.web.served_box import PASSWORD, USER, ServedBox

AXE = Path(__file__).resolve().parents[2] / "build/axe/axe.min.js"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
TIMEOUT_MS = 90_000
OPENINGS_MAX = 6
SHOWN_MAX_CHARACTERS = 1000
# What the browser says to a request while an interface or an address of this host comes or goes.
LINE_CHANGED = "ERR_NETWORK_CHANGED"
# Streams have no end.
ENDLESS = {"eventsource", "websocket"}
# Preact draws, then runs what wants to know that it was drawn, which may ask for more.
DRAWN = """() => new Promise((done) =>
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"""
CRASH_CART: ViewportSize = {"width": 1024, "height": 768}
PHONE: ViewportSize = {"width": 360, "height": 740}
Theme = Literal["light", "dark"]

expect.set_options(timeout=TIMEOUT_MS)
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
# What another theme may change.
OF_COLOURS = ("color-contrast", "link-in-text-block")


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

    _asked: set[Request] = field(default_factory=set)
    _asks: int = 0
    _asks_when_settled: int = -1
    _is_line_changed: bool = False

    def watch(self) -> None:
        """Note scripts that fail, broken policies, and every request that leaves the box."""
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("console", self._note_console)
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        self.page.on("request", self._note_request)
        self.page.on("requestfinished", self._note_end)
        self.page.on("requestfailed", self._note_failure)

    def _note_console(self, message: Any) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(self.expected):
            self.faults.append(f"console: {message.text}")

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((self.box.url, "data:", "blob:")):
            self.faults.append(f"left the box: {request.url}")
        if request.is_navigation_request():
            self._asked.clear()  # of the page before: nobody hears how they end
        if request.resource_type not in ENDLESS:
            self._asked.add(request)
            self._asks += 1

    def _note_end(self, request: Request) -> None:
        self._asked.discard(request)

    def _note_failure(self, request: Request) -> None:
        self._note_end(request)
        self._is_line_changed |= LINE_CHANGED in (request.failure or "")

    def open(self, url: str | None = None) -> None:
        """Open the page, or another address, and wait until something is shown."""
        self._begin(lambda: self.page.goto(url or f"{self.box.url}/"))

    def reload(self) -> None:
        """Open the same address anew."""
        self._begin(self.page.reload)

    def _begin(self, load: Callable[[], object]) -> None:
        """A line of this host that changes meanwhile is no fault of the page."""
        for _ in range(OPENINGS_MAX):
            self._is_line_changed = False
            try:
                load()
            except Error as error:
                if LINE_CHANGED not in str(error):
                    raise
                continue
            if self._has_begun():
                return
        raise AssertionError("the network of this host does not come to rest")

    def _has_begun(self) -> bool:
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while not self.page.locator("h1").count():
            if self._is_line_changed:
                return False
            assert time.monotonic() < deadline, f"nothing is shown: {self.faults}"
            self.page.wait_for_timeout(20)
        return True

    def show(self, path: str) -> None:
        """Go to a page by its address, and wait until it has what it shows."""
        self.page.evaluate("(path) => { location.hash = path }", path)
        self.wait_until(
            "(path) => decodeURIComponent(document.querySelector('main[data-page]')"
            "?.dataset.page ?? '') === decodeURIComponent('#' + path)",
            path,
        )
        self.settle()

    def settle(self, looks: int = 2) -> None:
        """Wait until nothing is asked of the box, and what it answered is drawn.

        It is when so many looks one after the other find it so.
        """
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        quiet = 0
        while quiet < looks:
            self.page.evaluate(DRAWN)
            is_waiting = self._asked or self.page.locator(".skeleton").count()
            quiet = 0 if is_waiting else quiet + 1
            assert time.monotonic() < deadline, [one.url for one in self._asked]
        self._asks_when_settled = self._asks

    def _settle_again(self) -> None:
        """Where nothing was asked since, only what changes by itself may have to be drawn."""
        self.settle(1 if self._asks == self._asks_when_settled else 2)

    def go_on(self) -> None:
        """To the next step of the wizard. What still comes in above a button moves it away."""
        self.settle()
        self.page.get_by_role("button", name="Continue").click()

    def sign_in(self) -> None:
        """Through the form, into a session of one's own."""
        self.page.fill("[name=user]", USER)
        self.page.fill("[name=password]", PASSWORD)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("main[data-page]")
        self.settle()

    def end_session(self) -> None:
        """As if it had been ended elsewhere: the page does not know of it."""
        status = self.page.evaluate(
            "() => fetch('/api/v1/session', {method: 'DELETE', headers: {'X-Holdfast': '1'}})"
            ".then((answer) => answer.status)"
        )
        assert status == 204, status

    def wait_until(self, script: str, argument: object = None) -> None:
        """Until `script` gives something true. A strict page lets Playwright's own wait not run."""
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while not self.page.evaluate(script, argument):
            assert time.monotonic() < deadline, f"still not: {script} {argument}"
            self.page.wait_for_timeout(20)

    def wait_for(self, holds: Callable[[], bool], otherwise: str) -> None:
        """Until it holds; fails with `otherwise` after a deadline that a busy machine meets."""
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while not holds():
            assert time.monotonic() < deadline, otherwise
            self.page.wait_for_timeout(50)

    def violations(self, *rules: str) -> list[str]:
        """What axe has against the page when it is drawn: by all rules, or only by these."""
        self._settle_again()
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(AXE.read_text("utf-8"))
        only = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": TAGS}
        found = self.page.evaluate(
            "(only) => axe.run({runOnly: only, resultTypes: ['violations']})", only
        )
        return [
            f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        self._settle_again()
        width = self.page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        return max(0, int(width))

    def tell(self) -> str:
        """What a failed test is to say of the page: nobody can look at it later."""
        waiting = [request.url for request in self._asked]
        try:
            shown = self.page.inner_text("body", timeout=5_000)[:SHOWN_MAX_CHARACTERS]
        except Error as error:
            shown = f"not to be read: {error}"
        return f"at {self.page.url}, waiting for {waiting}, noted {self.faults}, shown: {shown!r}"

    def check(self) -> None:
        """Fails with all that was noted."""
        assert not self.faults


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
        watched.open()
        try:
            yield watched
        except Exception as error:
            error.add_note(watched.tell())
            raise
        watched.check()
    finally:
        context.close()
