"""A box of real releases, updated on its page: it goes back by itself, and when it is told to."""

from __future__ import annotations

import http.client
import json
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from appliance.updates.releases import Releases
from tests.command import ROOT
from tests.updates.releasing import Builder, launch
from tests.web.browsing import Watched, open_page, start_browser
from tests.web.served_box import ServedBox

PATIENCE_MS = 300_000
WATCH = "appliance/daemon/release_watch.py"
BROKEN = {"appliance/daemon/box.py": "raise OSError('no box')\n"}


def build(builder: Builder, version: str, **changed: str) -> Path:
    """This checkout as a release that needs less time to prove itself."""
    quick = (ROOT / WATCH).read_text().replace("PROVE_S = 10.0", "PROVE_S = 0.5")
    assert "PROVE_S = 0.5" in quick
    return builder.build_real(version, {WATCH: quick, **changed})


@pytest.fixture
def releases(builder: Builder, tmp_path: Path, state: Path) -> Releases:
    return builder.make_box(tmp_path / "root", build(builder, "1.0.0"), state)


@pytest.fixture
def box(releases: Releases, state: Path) -> Iterator[ServedBox]:
    """A box whose daemon is started again when it ends."""
    supervised = (sys.executable, "-m", "tests.updates.supervise", *launch(releases.root))
    found = ServedBox(state, supervised)
    try:
        found.set_up()
        yield found
    finally:
        found.close()


def put(box: ServedBox, data: bytes, length: int | None = None) -> tuple[int, Any]:
    """Upload; `length` is what is said of it."""
    connection = http.client.HTTPSConnection(
        "localhost", box.port, context=ssl._create_unverified_context(), timeout=120
    )
    cookie = f"{box.cookie['name']}={box.cookie['value']}"
    headers = {"X-Holdfast": "1", "Cookie": cookie, "Content-Length": str(length or len(data))}
    connection.request("PUT", "/api/v1/updates/file", data, headers)
    if length is not None:
        connection.close()
        return 0, None
    answer = connection.getresponse()
    status, text = answer.status, answer.read()
    connection.close()
    return status, json.loads(text)


def send(watched: Watched, file: Path) -> Page:
    """Choose a file and upload it, by keyboard."""
    page = watched.page
    page.get_by_label("Update file").set_input_files(file)
    page.get_by_role("button", name="Upload and check").focus()
    page.keyboard.press("Enter")
    return page


def press(page: Page, name: str) -> None:
    """A button, and the same one of the dialog that asks."""
    page.get_by_role("button", name=name).focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name=name).press("Enter")


def test_a_box_is_updated_goes_back_by_itself_and_by_hand(
    box: ServedBox, builder: Builder, releases: Releases
) -> None:
    refuse_uploads(box, releases)
    with sync_playwright() as playwright, open_page(start_browser(playwright), box) as watched:
        # A box that starts anew says so in the console, and so does what asks it meanwhile.
        watched.expected = (*watched.expected, "Failed to", "Connection", "WebSocket")
        watched.show("/settings/updates")
        page = send(watched, builder.write("no.update", "not from us"))
        expect(page.get_by_role("alert")).to_contain_text("this is no update of Holdfast")
        send(watched, build(builder, "1.1.0", **BROKEN))
        page.get_by_role("button", name="Install 1.1.0").wait_for()
        expect(page.get_by_text("What is new in 1.1.0.")).to_be_visible()
        assert not watched.violations()
        press(page, "Install 1.1.0")
        back = "1.1.0 did not become ready: 1.0.0 runs again."
        expect(page.get_by_text(back)).to_be_visible(timeout=PATIENCE_MS)
        assert box.said().count("no box") == 3
        page.get_by_role("button", name="Load the page anew").click()

        send(watched, build(builder, "1.2.0"))
        press(page, "Install 1.2.0")
        expect(page.get_by_text("1.2.0 is ready.")).to_be_visible(timeout=PATIENCE_MS)
        watched.reload()
        watched.settle()
        expect(page.locator("dl.facts").first).to_contain_text("1.2.0")
        standing = box.must("GET", "/updates")
        assert (standing["version"], standing["previous"]) == ("1.2.0", "1.0.0")
        assert (standing["trial"], standing["uploaded_bytes"]) == (None, None)
        outcomes = [(one["version"], one["outcome"]) for one in standing["history"]]
        assert outcomes == [("1.2.0", "running"), ("1.1.0", "failed"), ("1.0.0", "running")]
        noted = box.must("GET", "/audit")["items"]
        assert [
            (one["action"], one["target"], one["outcome"])
            for one in noted
            if one["who"] == "box" and one["action"] == "update"
        ] == [("update", "1.2.0", "done"), ("update", "1.1.0", "failed")]
        asked = [one["action"] for one in noted if one["who"] != "box"]
        assert asked.count("update install") == 2

        press(page, "Go back to 1.0.0")
        watched.wait_for(lambda: releases.current() == "1.0.0", "it did not go back")
        assert not watched.overflow()


def refuse_uploads(box: ServedBox, releases: Releases) -> None:
    """What is too large or does not come whole leaves nothing."""
    assert put(box, b"x" * 100)[0] == 200
    assert releases.uploaded_bytes() == 100
    status, problem = put(box, b"")
    assert status == 422, problem
    put(box, b"y" * 1000, length=2000)
    status, problem = box.ask("POST", "/run/update/check", {})
    assert (status, problem["exit_code"]) == (200, 4), problem
    assert releases.uploaded_bytes() == 100
