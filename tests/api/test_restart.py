"""What outlives the process, what is resumed, and what a worker that hangs cannot hold up."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from tests.api.box import DEADLINE_S, Box, Client
from tests.command import ROOT


@pytest.fixture
def other(tmp_path: Path) -> Box:
    """A box of the test's own, not started yet."""
    return Box(tmp_path / "state")


def test_a_killed_box_remembers_sessions_keys_and_jobs(other: Box) -> None:
    other.start()
    try:
        client = other.set_up()
        key = {"Idempotency-Key": "once"}
        first = client.ask("POST", "/run/collect", {}, headers=key)
        name = {"Idempotency-Key": "name"}
        made = client.ask("POST", "/users", {"name": "eve", "role": "viewer"}, headers=name)
        assert (first.status, made.status) == (202, 201)
        other.stop(signal.SIGKILL)
        other.start()
        assert client.get("/session")["name"] == "ann"
        again = client.ask("POST", "/run/collect", {}, headers=key)
        assert again.json()["id"] == first.json()["id"]
        told = client.ask("POST", "/users", {"name": "eve", "role": "viewer"}, headers=name)
        assert (told.status, told.code) == (409, "already-done")
        client.wait_for(f"/jobs/{first.json()['id']}", lambda job: job["ended_at"] is not None)
    finally:
        other.stop()


def test_events_go_on_where_the_line_broke(admin: Client) -> None:
    first, _, _ = next(iter(admin.listen("none")))  # what comes from here on is kept
    job = admin.ask("POST", "/run/collect", {}).json()
    last = None
    for number, _, data in admin.listen(first):
        last = number
        if data["kind"] == "job" and data["job"]["id"] == job["id"]:
            break
    assert last is not None
    done = admin.run("collect")
    seen = []
    for number, _, data in admin.listen(last):
        assert number != last
        if data["kind"] == "job" and data["job"]["id"] == done["id"]:
            seen.append(data["job"]["state"])
            if data["job"]["ended_at"] is not None:
                break
    assert seen[-1] == "done"


@pytest.mark.parametrize("last", ["0000-1", "x", "-", "\u00e9", "9" * 40])
def test_a_number_of_another_run_starts_anew(admin: Client, last: str) -> None:
    _, kind, data = next(iter(admin.listen(last)))
    assert (kind, data["kind"]) == ("reset", "reset")


def test_events_end_with_the_session(box: Box, admin: Client) -> None:
    made = admin.post("/tokens", {"name": "short", "role": "viewer"}, expect=201)
    client = Client(box.port, admin.authority, token=made["secret"])
    begun, ended = threading.Event(), threading.Event()

    def listen() -> None:
        for _ in client.listen("none"):  # which is told at once that it starts anew
            begun.set()
        ended.set()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert begun.wait(DEADLINE_S)
    assert admin.ask("DELETE", f"/tokens/{made['token']['id']}").status == 200
    assert ended.wait(DEADLINE_S)
    thread.join(DEADLINE_S)


_HANG = """
import sys, time
if {"disks", "health", "vms", "learn"} & set(sys.orig_argv):
    time.sleep(10**6)
"""


def test_workers_that_hang_hold_up_no_get(other: Box, tmp_path: Path) -> None:
    """As when a disk does not answer: whoever looks at it never comes back."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_HANG)
    other.start({"PYTHONPATH": f"{site}:{ROOT}"})
    try:
        client = other.set_up()
        cookie = client.cookie

        def ask_for_disks() -> None:
            with suppress(OSError, http.client.HTTPException):  # the box ends first
                Client(other.port, client.authority, cookie).ask("POST", "/run/disks", {})

        asking = threading.Thread(target=ask_for_disks, daemon=True)
        asking.start()
        times_s = []
        for _ in range(5):
            for path in ("/box", "/machines", "/jobs", "/disks", "/findings", "/session"):
                began_s = time.monotonic()
                assert client.ask("GET", path).status == 200
                times_s.append(time.monotonic() - began_s)
        assert asking.is_alive()
        assert client.get("/disks")["as_of"] is None
        assert max(times_s) < 30.0  # and not the minute that a worker is given
    finally:
        other.stop()
    asking.join(DEADLINE_S)


async def open_screen(
    client: Client, path: str, headers: Mapping[str, str]
) -> tuple[int, bytes, bytes]:
    """Status of the handshake, the greeting of RFB, and the answer to ours."""
    context = ssl.create_default_context(cafile=client.authority)
    url = f"wss://127.0.0.1:{client.port}/api/v1{path}"
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(
                url, ssl=context, protocols=("binary",), headers=client.head(headers)
            ) as socket:
                assert socket.protocol == "binary"
                greeting = await socket.receive_bytes(timeout=DEADLINE_S)
                await socket.send_bytes(greeting)
                return 101, greeting, await socket.receive_bytes(timeout=DEADLINE_S)
        except aiohttp.WSServerHandshakeError as error:
            return error.status, b"", b""
        finally:
            await session.close()
            await asyncio.sleep(0.25)  # TLS ends after the session does; the loop must see it


def test_the_screen_of_a_vm_is_carried_both_ways(admin: Client, tokens: dict[str, Client]) -> None:
    admin.run("boot", {"point": "web1@latest", "name": "vm1", "wait": "none", "memory": 64})
    try:
        admin.wait_for("/vms", lambda page: any(vm["has_screen"] for vm in page["items"]))
        text = json.dumps(admin.get("/vms"))
        key = admin.get("/vms/vm1/screen/key")["password"]
        assert len(key) == 8
        assert key not in text
        path = "/vms/vm1/screen"
        own = {"Origin": f"https://127.0.0.1:{admin.port}"}
        status, greeting, security = asyncio.run(open_screen(admin, path, own))
        assert (status, greeting) == (101, b"RFB 003.008\n")
        assert security == b"\x01\x02"  # one kind of security: RFB's password
        assert asyncio.run(open_screen(tokens["operator"], path, {}))[0] == 101
        for client, headers in (
            (tokens["viewer"], {}),
            (admin, {"Origin": "https://evil.example"}),
            (admin, {}),  # a cookie alone may come from any page
        ):
            assert asyncio.run(open_screen(client, path, headers))[0] == 403
        assert asyncio.run(open_screen(admin, "/vms/none/screen", own))[0] == 404
    finally:
        admin.run("stop", {"name": "vm1", "discard": False, "grace": 0.0})
