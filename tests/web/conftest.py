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
from tests.web.served_box import DEADLINE_S, ServedBox
from tests.web.speaking_disk import teach_to_speak


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
    """A box with a machine, two points, a vault, a drill, and jobs that went well or did not."""
    folder = tmp_path_factory.mktemp("box")
    disk = make_disk(folder)
    box = ServedBox(folder / "state")
    try:
        box.set_up()
        for _ in range(2):
            must(box, "backup", sources=[str(disk)], machine="web1")
        box.run("backup", sources=[str(folder / HOSTILE_NAMES[0])], machine="lost")
        must(box, "vault add", url=f"file://{folder / 'vault'}", name="office")
        must(box, "vault sync", name="office")
        must(box, "drill run", what="web1")
        wait_for_lists(box)
        yield box
    finally:
        box.close()


def must(box: ServedBox, verb: str, **values: object) -> None:
    """A job that has to go well."""
    done = box.run(verb, **values)
    assert done["state"] == "done", done


@pytest.fixture(scope="session")
def disk(box: ServedBox) -> Path:
    """What `web1` was backed up from."""
    return box.state.with_name("disk.raw")


def wait_for_lists(box: ServedBox) -> None:
    """Until what was made is listed, which is learned in the background."""
    deadline_s = time.monotonic() + DEADLINE_S
    wanted = {"/machines/web1/points": 2, "/vaults": 1, "/drills": 1}
    for path, count in wanted.items():
        while len(box.must("GET", path)["items"]) < count:
            assert time.monotonic() < deadline_s, f"{path} lacks what was made"
            time.sleep(0.1)


def make_disk(folder: Path) -> Path:
    """A small ext4 disk that boots, full of files whose names are attacks."""
    tree, disk = folder / "tree", folder / "disk.raw"
    (tree / "names").mkdir(parents=True)
    for name in HOSTILE_NAMES:
        (tree / "names" / os.fsdecode(name.encode())).write_bytes(b"x")
    with disk.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-d", tree, disk], check=True)
    teach_to_speak(disk)
    return disk
