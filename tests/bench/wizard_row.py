"""From `make run` to the wizard in the browser, in a checkout that is installed.

Owns: the row `wizard` of `make bench-ui`. Counted is everything after `make setup`: what make
itself looks for, the start of the box on a new state, and Chromium's first view of the wizard, with
the setup code that was printed typed in. The browser runs already, as a person's does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.ports import free_port
from tests.web.browsing import start_browser
from tests.web.served_box import CODE, ROOT

TARGET_S = 120.0


def measure_wizard(folder: Path) -> bool:
    """Print the seconds to the address, to the wizard, and past its first step."""
    port = free_port()
    argv = ["make", "run", f"STATE={folder / 'state'}"]
    argv.append(f"ARGS=--listen 127.0.0.1 --port {port}")
    with sync_playwright() as playwright:
        browser = start_browser(playwright)
        began_s = time.monotonic()
        made = subprocess.Popen(
            argv,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            code = _read_code(made)
            said_s = time.monotonic() - began_s
            page = browser.new_context(ignore_https_errors=True).new_page()
            page.goto(f"https://localhost:{port}/")
            page.get_by_label("Setup code").fill(code)
            shown_s = time.monotonic() - began_s
            page.get_by_role("button", name="Continue").click()
            page.get_by_label("Password", exact=True).wait_for()
            open_s = time.monotonic() - began_s
        finally:
            os.killpg(made.pid, signal.SIGTERM)
            made.wait(60)
            browser.close()
    print(f"\nFrom 'make run' in an installed checkout (target: {TARGET_S:.0f} s)")
    print(f"code printed {said_s:.1f} s, wizard shown {shown_s:.1f} s, first step {open_s:.1f} s")
    return shown_s <= TARGET_S


def _read_code(made: subprocess.Popen[str]) -> str:
    """The code as the box prints it. Raises RuntimeError when it ends before."""
    assert made.stdout is not None
    said = []
    for line in made.stdout:
        said.append(line)
        if found := CODE.search(line):
            return found[0]
    raise RuntimeError(f"'make run' ended: {''.join(said)}")
