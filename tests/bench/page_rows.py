"""The page measured: what its first view weighs, and how soon it can be used.

Owns: the row `page` of `make bench-ui`. A real `holdfast serve` on a new state, Debian's Chromium
with a fresh profile for each run. Weight: bytes over the line, headers too, signed in. Usable: from
the address to the home page with its figures and its navigation; the first time, and again with
what the browser kept.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.web.browsing import open_page, start_browser
from tests.web.served_box import ServedBox

WEIGHT_BYTES = 200_000
USABLE_S = 1.0
RUNS = 7
# Told by the page itself: the moment at which the figures of the home page are there.
WATCH = """
new MutationObserver((_, observer) => {
  if (!document.querySelector('.standing h1') || !document.querySelector('nav a')) return;
  observer.disconnect();
  requestAnimationFrame(() => { window.usableAt = performance.now(); });
}).observe(document, {childList: true, subtree: true});
"""


def measure_weight(browser: Browser, box: ServedBox) -> dict[str, int]:
    """Bytes and requests of the first view, as the browser counted them."""
    with open_page(browser, box) as watched:
        session = watched.page.context.new_cdp_session(watched.page)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        sizes: list[float] = []
        session.on(
            "Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"])
        )
        watched.page.reload()
        watched.page.wait_for_selector(".standing")
        watched.page.wait_for_timeout(1000)
    return {"bytes": round(sum(sizes)), "requests": len(sizes)}


def measure_usable(browser: Browser, box: ServedBox, runs: int) -> dict[str, list[float]]:
    """Seconds until the page can be used: with nothing kept, and opened again."""
    times: dict[str, list[float]] = {"first": [], "again": []}
    for _ in range(runs):
        context = browser.new_context(ignore_https_errors=True)
        try:
            context.add_cookies([box.cookie])
            context.add_init_script(WATCH)
            page = context.new_page()
            for found in times.values():
                page.goto(f"{box.url}/")
                page.wait_for_selector(".standing")
                page.wait_for_timeout(100)
                found.append(page.evaluate("() => window.usableAt") / 1000)
        finally:
            context.close()
    return times


def measure_page(folder: Path, runs: int = RUNS) -> bool:
    """Weight and time to usable of a new box's page; whether both are within their bounds."""
    box = ServedBox(folder / "state")
    try:
        box.set_up()
        with sync_playwright() as playwright:
            browser = start_browser(playwright)
            weight = measure_weight(browser, box)
            times = measure_usable(browser, box, runs)
            browser.close()
    finally:
        box.close()
    print(f"\nThe page (targets: {WEIGHT_BYTES // 1000} KB, usable in {USABLE_S:.0f} s)")
    print(f"first view: {weight['bytes'] / 1000:.1f} KB in {weight['requests']} requests")
    for name, found in times.items():
        middle, worst = statistics.median(found), max(found)
        print(f"usable, {name}: median {middle:.2f} s, worst {worst:.2f} s of {runs}")
    is_soon = statistics.median(times["first"]) <= USABLE_S
    return weight["bytes"] <= WEIGHT_BYTES and is_soon
