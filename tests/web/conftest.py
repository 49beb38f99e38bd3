"""A box that somebody has used, and a browser: made once for all tests of the page."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.web.browsing import start_browser
from tests.web.hostile_names import HOSTILE_NAMES
from tests.web.served_box import ServedBox


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = start_browser(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def new_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedBox]:
    """A box that nobody has set up."""
    box = ServedBox(tmp_path_factory.mktemp("new") / "state")
    yield box
    box.close()


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedBox]:
    """A box with a machine, two points, jobs that went well and one that did not."""
    folder = tmp_path_factory.mktemp("box")
    disk = make_disk(folder)
    box = ServedBox(folder / "state")
    try:
        box.set_up()
        for _ in range(2):
            done = box.run("backup", sources=[str(disk)], machine="web1")
            assert done["state"] == "done", done
        box.run("backup", sources=[str(folder / HOSTILE_NAMES[0])], machine="lost")
        wait_for_points(box)
        yield box
    finally:
        box.close()


def wait_for_points(box: ServedBox) -> None:
    """Until the list has learned both, in the background."""
    deadline_s = time.monotonic() + 60
    while len(box.must("GET", "/machines/web1/points")["items"]) < 2:
        assert time.monotonic() < deadline_s, "the points are not listed"
        time.sleep(0.1)


def make_disk(folder: Path) -> Path:
    """A small ext4 disk full of files whose names are attacks."""
    tree, disk = folder / "tree", folder / "disk.raw"
    (tree / "names").mkdir(parents=True)
    for name in HOSTILE_NAMES:
        (tree / "names" / os.fsdecode(name.encode())).write_bytes(b"x")
    with disk.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-d", tree, disk], check=True)
    return disk
