"""How the daemon begins, ends, and behaves while it runs."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from appliance.base.errors import AccessError, NotFoundError, UsageError
from appliance.cli import daemon_link
from appliance.cli.daemon_link import DaemonHangsError, DaemonLink
from appliance.sources.wire import bind_unix, connect_unix
from tests.command import Holdfast
from tests.daemon.conftest import Box, poll


def test_it_tells_systemd_when_it_is_ready_alive_and_ending(box: Box, tmp_path: Path) -> None:
    told: list[str] = []

    def listen() -> None:
        """All the time, as systemd does: whoever speaks waits where ten words are not heard."""
        with contextlib.suppress(TimeoutError):
            while "STOPPING=1" not in told:
                told.append(ear.recv(4096).decode())

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        address = f"\0holdfast-test-{os.getpid()}"
        ear.bind(address)
        ear.settimeout(60)
        listening = threading.Thread(target=listen)
        listening.start()
        box.start(NOTIFY_SOCKET=f"@{address[1:]}", WATCHDOG_USEC="300000")
        poll(lambda: len(told) > 3, "signs of life")
        box.stop()
        listening.join()
    assert (told[0], told[-1]) == ("READY=1", "STOPPING=1")
    assert all(word.startswith("WATCHDOG=1\nSTATUS=") for word in told[1:-1])


def test_it_ends_within_ten_seconds_whatever_its_workers_do(box: Box, tmp_path: Path) -> None:
    note = tmp_path / "note"
    box.start()
    job_id = box.submit("act once", seconds=600, deaf=True, note=str(note))
    poll(note.exists, "work")
    assert box.stop() < 10
    assert not (box.state / "run/sock").exists()
    box.start()
    assert box.wait_for(job_id)["state"] == "interrupted"


def test_a_second_daemon_on_a_state_is_refused(real_box: Box, holdfast: Holdfast) -> None:
    real_box.start()
    assert "a daemon runs on" in holdfast("serve", "--port", "0", expect=6).err
    assert real_box.ask("hello")["pid"] == real_box.process.pid  # type: ignore[union-attr]


def test_settings_are_read_again_and_wrong_ones_are_said(box: Box) -> None:
    box.start()
    fresh = box.state / "daemon.toml.new"

    def set_to(heavy: int) -> None:
        """At once: it might read a file that is half written."""
        fresh.write_text(f"heavy_jobs = {heavy}\n")
        fresh.rename(box.state / "daemon.toml")

    set_to(0)
    poll(lambda: "the settings stay as they were" in box.said(), "the refusal")
    assert "heavy_jobs" in box.said()
    set_to(1)
    poll(lambda: "the settings were read again" in box.said(), "the news")
    first, second = box.submit("act", seconds=600), box.submit("act", seconds=600)
    box.wait_for(first, "running")
    assert box.ask("get", id=second)["state"] == "queued"
    set_to(2)
    box.wait_for(second, "running")


def test_the_socket_is_private_and_requests_are_checked(box: Box) -> None:
    box.start()
    assert stat.S_IMODE((box.state / "run/sock").stat().st_mode) == 0o600
    wrong: list[tuple[str, dict[str, object], type[Exception]]] = [
        ("dance", {}, UsageError),
        ("get", {"id": "1"}, UsageError),
        ("get", {"id": 1}, NotFoundError),
        ("get", {"id": 1 << 70}, UsageError),
        ("submit", {"verb": "act", "arguments": [], "directory": "/"}, UsageError),
        ("submit", {"verb": "act", "arguments": {"colour": 1}, "directory": "/"}, UsageError),
        ("list", {"state": "happy"}, UsageError),
        ("follow", {"id": 7}, NotFoundError),
    ]
    for do, arguments, kind in wrong:
        with pytest.raises(kind):
            box.ask(do, **arguments)
    for line in (b"[]\n", b"{\n", b"\xff\n", b'{"do": {}}\n', b"[" * 100_000 + b"\n"):
        with connect_unix(box.state / "run/sock", 60.0) as connection:
            connection.sendall(line)
            assert b'"error"' in connection.makefile("rb").readline()
    with (
        connect_unix(box.state / "run/sock", 60.0) as connection,
        contextlib.suppress(OSError),  # cut off in the middle
    ):
        connection.sendall(b"x" * (3 << 20) + b"\n")
    assert box.ask("list")["items"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="not installable: only root can be somebody else")
def test_another_user_is_refused_even_where_the_file_would_let_him_in(box: Box) -> None:
    box.start()
    run = box.state / "run"
    run.chmod(0o711)
    (run / "sock").chmod(0o666)
    program = (
        "import contextlib, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "s.connect(f'/proc/self/fd/{sys.argv[1]}/sock')\n"
        "with contextlib.suppress(BrokenPipeError):  # it may have hung up by now\n"
        '    s.sendall(b\'{"do": "hello"}\\n\')\n'
        "print(s.makefile().readline())\n"
    )
    folder = os.open(run, os.O_PATH | os.O_DIRECTORY)
    try:
        done = subprocess.run(
            ["/usr/bin/python3", "-c", program, str(folder)],
            pass_fds=[folder],
            user=65534,
            group=65534,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        os.close(folder)
    assert '"AccessError"' in done.stdout, done
    assert sys.platform == "linux"


def test_a_daemon_that_says_nothing_is_noticed(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_link, "ANSWER_S", 0.2)
    (state / "run").mkdir(parents=True)
    with (
        bind_unix(state / "run/sock"),
        DaemonLink(state) as link,
        pytest.raises(DaemonHangsError, match="does not answer"),
    ):
        link.ask("hello")


def test_a_box_with_a_passphrase_is_unlocked_by_the_command_or_a_credential(
    real_box: Box, holdfast: Holdfast, tmp_path: Path
) -> None:
    passphrase = tmp_path / "holdfast-passphrase"
    passphrase.write_text("correct horse battery staple\n")
    holdfast("init", "--recovery-out", tmp_path / "key", "--passphrase-file", passphrase, expect=0)
    image = tmp_path / "disk.raw"
    image.write_bytes(os.urandom(1 << 20))
    real_box.start()
    try:
        assert "locked" in holdfast("backup", image, "--machine", "a", expect=8).err
        with pytest.raises(AccessError):
            real_box.ask("unlock", passphrase="wrong")
        holdfast("unlock", "--passphrase-file", passphrase, expect=0)
        holdfast("backup", image, "--machine", "a", expect=0)
        holdfast("lock", expect=0)
        real_box.stop()
        real_box.start(CREDENTIALS_DIRECTORY=str(tmp_path))
        assert "unlocked by its credential" in real_box.said()
        holdfast("verify", expect=0)
        assert holdfast("jobs", "list", "--json").json()["items"][0]["verb"] == "verify"
    finally:
        holdfast("lock", expect=0)
