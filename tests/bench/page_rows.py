"""The page measured: its weight, how soon it can be used, and how long requests take under load.

Owns: what `make bench-ui` measures and prints. Never does: judge, but for naming the bound beside
the figure. A real `holdfast serve` on a new state, Debian's Chromium with a fresh profile for each.

    python -m tests.bench.ui_bench [--runs N] [--rows weight,usable,load]

    weight  bytes that the first view brings over the line, headers too, signed in; bound 200 KB
    usable  from the address to the home page with its figures and a navigation that answers: the
            first time, and again with what the browser kept; median and worst; bound 1 s
    load    p50, p99 and longest answer of the GETs that pages ask, one after the other, at rest and
            while two backups and an upload run; bound 100 ms for the p99

`build/bench/ui.json`: all figures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from image.workbench import say
from tests.command import ROOT
from tests.web.browsing import open_page, start_browser
from tests.web.served_box import ServedBox

WEIGHT_BYTES = 200_000
USABLE_S = 1.0
LOAD_S = 0.1
LOADED_S = 20.0
DISK_BYTES = 1 << 30
PATHS = (
    *("/box", "/session", "/machines", "/machines/load1/points", "/jobs", "/disks", "/findings"),
    *("/vaults", "/drills", "/users", "/audit", "/policies"),
)
# Told by the page itself: the moment at which the figures of the home page are there.
WATCH = """
new MutationObserver((_, observer) => {
  if (!document.querySelector('.standing h1') || !document.querySelector('nav a')) return;
  observer.disconnect();
  requestAnimationFrame(() => { window.usableAt = performance.now(); });
}).observe(document, {childList: true, subtree: true});
"""


def measure_weight(browser: Browser, box: ServedBox) -> dict[str, Any]:
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
    times: dict[str, list[float]] = {"first_s": [], "again_s": []}
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


def measure_load(box: ServedBox, folder: Path) -> dict[str, dict[str, float]]:
    """Answers of GETs at rest and under load."""
    disks = [make_disk(folder / f"load{number}.raw") for number in (1, 2)]
    assert box.run("backup", sources=[str(disks[0])], machine="load1")["state"] == "done"
    (folder / "vault").mkdir()
    box.run("vault add", url=f"file://{folder / 'vault'}", name="bench")
    found = {"at rest": time_requests(box, LOADED_S / 4)}
    jobs = [
        box.must("POST", "/run/backup", {"sources": [str(disk)], "machine": f"load{number}"})
        for number, disk in enumerate([make_disk(folder / "load3.raw"), disks[1]], 2)
    ]
    jobs.append(box.must("POST", "/run/vault/sync", {"name": "bench"}))
    found["under load"] = time_requests(box, LOADED_S)
    ran = [box.must("GET", f"/jobs/{job['id']}")["state"] for job in jobs]
    say(f"jobs meanwhile: {', '.join(ran)}")
    return found


def make_disk(path: Path) -> Path:
    """A disk that nothing compresses."""
    with path.open("wb") as file:
        for _ in range(DISK_BYTES >> 24):
            file.write(os.urandom(1 << 24))
    return path


def time_requests(box: ServedBox, seconds: float) -> dict[str, float]:
    """p50, p99 and longest of one request after the other, over and over."""
    times: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for path in PATHS:
            began = time.perf_counter()
            box.must("GET", path)
            times.append(time.perf_counter() - began)
    times.sort()
    return {
        "requests": len(times),
        "p50_s": statistics.median(times),
        "p99_s": times[min(len(times) - 1, int(len(times) * 0.99))],
        "longest_s": times[-1],
    }


def describe(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = []
    if weight := report.get("weight"):
        lines.append(
            f"weight  {weight['bytes'] / 1000:.1f} KB in {weight['requests']} requests"
            f"  (bound {WEIGHT_BYTES // 1000} KB)"
        )
    for name, times in report.get("usable", {}).items():
        lines.append(
            f"usable  {name.removesuffix('_s'):<10} median {statistics.median(times):.2f} s,"
            f" worst {max(times):.2f} s  (bound {USABLE_S:.0f} s)"
        )
    for name, load in report.get("load", {}).items():
        lines.append(
            f"load    {name:<10} p50 {load['p50_s'] * 1000:.0f} ms,"
            f" p99 {load['p99_s'] * 1000:.0f} ms (bound {LOAD_S * 1000:.0f}),"
            f" longest {load['longest_s'] * 1000:.0f} ms of {load['requests']} GETs,"
            " each with a connection of its own"
        )
    return "\n".join(lines)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="The page measured")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--rows", default="weight,usable,load")
    options = parser.parse_args()
    rows = options.rows.split(",")
    report: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-ui-") as name,
        sync_playwright() as playwright,
    ):
        box = ServedBox(Path(name) / "state")
        try:
            box.set_up()
            browser = start_browser(playwright)
            if "weight" in rows:
                report["weight"] = measure_weight(browser, box)
            if "usable" in rows:
                report["usable"] = measure_usable(browser, box, options.runs)
            browser.close()
            if "load" in rows:
                report["load"] = measure_load(box, Path(name))
        finally:
            box.close()
    target = ROOT / "build/bench/ui.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(report, indent=2) + "\n")
    print(describe(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
