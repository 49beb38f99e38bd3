"""Connecting to a QEMU that has something else to say first, or nobody's time."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from appliance.recovery.accelerator import QEMU
from appliance.recovery.monitor import SOCKETS, Monitor, MonitorError, query_run_state
from appliance.recovery.runtime import poll

GREETING = {"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": []}}
EVENT = {"event": "JOB_STATUS_CHANGE", "data": {}, "timestamp": {"seconds": 1, "microseconds": 0}}


def _say(connection: socket.socket, value: object) -> None:
    connection.sendall(json.dumps(value).encode() + b"\n")


def tells_first(connection: socket.socket) -> None:
    _say(connection, EVENT)
    _say(connection, GREETING)
    connection.recv(1)


def turns_away(_: socket.socket) -> None:
    """It hangs up."""


def ends_after_its_greeting(connection: socket.socket) -> None:
    _say(connection, GREETING)
    asked = json.loads(connection.recv(1 << 16))
    _say(connection, {"return": {}, **({"id": asked["id"]} if "id" in asked else {})})


def answers(connection: socket.socket) -> None:
    _say(connection, GREETING)
    while said := connection.recv(1 << 16):  # one question at a time, as Monitor asks them
        asked = json.loads(said)
        answer = {"status": "running"} if asked["execute"] == "query-status" else {}
        _say(connection, {"return": answer, **({"id": asked["id"]} if "id" in asked else {})})


@contextmanager
def served(folder: Path, *behaviours: Callable[[socket.socket], None]) -> Iterator[None]:
    """Somebody who behaves so towards one client after the other, and then is gone."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / SOCKETS[0]))
    listener.listen()

    def serve() -> None:
        with listener:
            for behave in behaviours:
                connection, _ = listener.accept()
                with connection, suppress(OSError):  # a client that has heard enough hangs up
                    behave(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield
    thread.join()


def test_a_connection_that_begins_badly_is_tried_again(tmp_path: Path) -> None:
    with served(tmp_path, tells_first, turns_away, answers), Monitor(tmp_path) as monitor:
        assert monitor.run_state() == "running"


def test_a_qemu_that_is_gone_is_not_waited_for(tmp_path: Path) -> None:
    with served(tmp_path, turns_away), pytest.raises(MonitorError), Monitor(tmp_path, 600.0):
        pass
    with pytest.raises(MonitorError), Monitor(tmp_path, 600.0):
        pass


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[Path]:
    """A QEMU without a machine; gives its folder."""
    argv = [QEMU, "-machine", "none", "-nodefaults", "-display", "none"]
    for name in SOCKETS:
        argv += ["-qmp", f"unix:{tmp_path / name},server=on,wait=off"]
    with subprocess.Popen(argv) as process:
        assert poll(lambda: query_run_state(tmp_path) is not None, 60)
        yield tmp_path
        process.kill()


def test_many_clients_of_a_qemu_that_serves_one_all_get_their_answer(qemu: Path) -> None:
    def ask(_: int) -> str:
        with Monitor(qemu, 60.0) as monitor:
            return monitor.run_state()

    with ThreadPoolExecutor(6) as threads:
        assert set(threads.map(ask, range(60))) == {"running"}


@contextmanager
def held(*paths: Path) -> Iterator[None]:
    """Clients that were greeted and then say nothing."""
    with ExitStack() as stack:
        for path in paths:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(path))
            assert b"QMP" in client.recv(1 << 16)
        yield


def test_a_client_that_hangs_holds_up_nobody_else(qemu: Path) -> None:
    for count in (1, 2):
        hanging = [qemu / name for name in SOCKETS[:count]]
        with held(*hanging), Monitor(qemu, 60.0) as monitor:
            assert monitor.run_state() == "running"


def test_where_all_who_are_served_hang_it_is_said_what_to_do(qemu: Path) -> None:
    with (
        held(*(qemu / name for name in SOCKETS)),
        pytest.raises(MonitorError, match=f"holdfast stop {qemu.name}"),
        Monitor(qemu, 1.0),
    ):
        pass
    assert query_run_state(qemu, 60.0) == "running"


def test_a_qemu_that_ends_right_after_its_greeting_does_not_answer(tmp_path: Path) -> None:
    times = 40  # where it is noticed is chance
    with served(tmp_path, *[ends_after_its_greeting] * times):
        for _ in range(times):
            assert query_run_state(tmp_path, 30.0) is None
