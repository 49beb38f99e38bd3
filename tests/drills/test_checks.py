"""Checks against real servers: what passes, what fails, and what it then says."""

from __future__ import annotations

import http.server
import random
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from appliance.base.clock import SystemClock
from appliance.base.errors import Cancelled, HoldfastError
from appliance.base.progress import Progress
from appliance.drills.checks import Target, probe, run_check
from appliance.drills.plan import (
    AnyCheck,
    HttpCheck,
    Machine,
    ScriptCheck,
    SqlCheck,
    SshCheck,
    TcpCheck,
)
from appliance.drills.vm import Vm
from appliance.recovery.runtime import Runtime
from tests.clocks import HandClock
from tests.drills.servers import PASSWORD, serve_mariadb, serve_postgresql, serve_ssh
from tests.ports import HOST, free_port

PATIENCE_S = 60.0


class AliveVm(Vm):
    """Stands for a VM whose guest is this machine."""

    def is_alive(self) -> bool:
        return True


def target(tmp_path: Path) -> Target:
    vm = AliveVm(Runtime(tmp_path), "vm", lambda *_: [], SystemClock())
    return Target(Machine(name="web1"), vm, None)


def ask(check: AnyCheck, tmp_path: Path) -> str:
    """What one try sees. Raises what it fails with."""
    return probe(check, target(tmp_path), PATIENCE_S)


# ---- HTTP and TCP -------------------------------------------------------------------------------


class Shop(http.server.BaseHTTPRequestHandler):
    """Answers with orders, and names the host it was asked for."""

    def do_GET(self) -> None:
        status = 200 if self.path == "/orders" else 404
        body = f"orders of {self.headers['Host']}".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serve_http(context: ssl.SSLContext | None = None) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer((HOST, 0), Shop)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_http_passes_by_status_and_text(tmp_path: Path) -> None:
    with serve_http() as port:
        check = HttpCheck(port=port, path="/orders", host="www.example.org", contains="orders of")
        assert ask(check, tmp_path) == "status 200, 25 bytes"
        ask(HttpCheck(port=port, status=404), tmp_path)
        with pytest.raises(HoldfastError, match="status 404"):
            ask(HttpCheck(port=port), tmp_path)
        with pytest.raises(HoldfastError, match="but not 'invoices'"):
            ask(HttpCheck(port=port, path="/orders", contains="invoices"), tmp_path)


def test_https_passes_whatever_its_certificate_says(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    make += ["-nodes", "-subj", "/CN=elsewhere", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(make, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serve_http(context) as port:
        ask(HttpCheck(port=port, tls=True, path="/orders"), tmp_path)
        with pytest.raises((HoldfastError, OSError)):
            ask(HttpCheck(port=port, path="/orders"), tmp_path)


@contextmanager
def say(words: bytes) -> Iterator[int]:
    """A server that says `words` to the first who connects."""
    with socket.create_server((HOST, 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):  # who has heard enough hangs up
                connection.sendall(words)

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_a_banner_must_be_said(tmp_path: Path) -> None:
    with say(b"220 mail.example.org\r\n") as port:
        assert ask(TcpCheck(port=port, banner="220 "), tmp_path) == "it says '220 mail.example.org'"
    with say(b"554 go away \x1b[31m\r\n") as port, pytest.raises(HoldfastError, match="554"):
        ask(TcpCheck(port=port, banner="220 "), tmp_path)
    with say(b"x" * 100_000) as port, pytest.raises(HoldfastError):
        ask(TcpCheck(port=port, banner="220 "), tmp_path)


def test_nobody_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="refused"):
        ask(TcpCheck(port=free_port()), tmp_path)


# ---- databases ----------------------------------------------------------------------------------


def assert_sql(check: Callable[..., SqlCheck], tmp_path: Path) -> None:
    assert ask(check(expect="3"), tmp_path) == "the answer is '3'"
    assert ask(check(), tmp_path) == "the answer is '3'"
    with pytest.raises(HoldfastError, match="the answer is '3'"):
        ask(check(expect="4"), tmp_path)
    with pytest.raises(HoldfastError, match="nothing_like_it"):
        ask(check(query="SELECT * FROM nothing_like_it"), tmp_path)
    with pytest.raises(HoldfastError, match=r"(?i)access denied|authentication failed"):
        ask(check(password_file=None), tmp_path)


def test_mariadb_answers(tmp_path: Path, write_secret: Callable[[str], Path]) -> None:
    secret = str(write_secret(PASSWORD))

    def check(**more: object) -> SqlCheck:
        fields = {"query": "SELECT count(*) FROM orders", "password_file": secret} | more
        return SqlCheck(engine="mariadb", user="drill", database="shop", port=port, **fields)  # type: ignore[arg-type]

    folder = tmp_path / "mariadb"
    folder.mkdir()
    with serve_mariadb(folder) as port:
        assert_sql(check, tmp_path)
    with pytest.raises((HoldfastError, OSError), match="refused"):
        ask(check(), tmp_path)


def test_postgresql_answers(tmp_path: Path, write_secret: Callable[[str], Path]) -> None:
    secret = str(write_secret(PASSWORD))

    def check(**more: object) -> SqlCheck:
        fields = {"query": "SELECT count(*) FROM orders", "password_file": secret} | more
        return SqlCheck(engine="postgresql", user="drill", database="shop", port=port, **fields)  # type: ignore[arg-type]

    with serve_postgresql() as port:
        assert_sql(check, tmp_path)
    with pytest.raises((HoldfastError, OSError)):
        ask(check(), tmp_path)


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ("mariadb", b""),
        ("mariadb", b"\x05\0\0\0\x0a5.5\0"),
        ("mariadb", b"\x01\0\0\0\xff"),
        ("postgresql", b""),
        ("postgresql", b"R\0\0\0\x06\0\0"),
        ("postgresql", b"T\0\0\0\x06\0\x09"),
        ("postgresql", b"K\0\0\0\x05\0"),
    ],
)
def test_garbage_instead_of_a_database_is_a_failed_check(
    engine: str, words: bytes, tmp_path: Path, seed: int
) -> None:
    garbage = words or random.Random(seed).randbytes(200)
    with say(garbage) as port, pytest.raises((HoldfastError, OSError)):
        ask(SqlCheck(engine=engine, user="drill", port=port, timeout_s=3), tmp_path)  # type: ignore[arg-type]


# ---- SSH and scripts ----------------------------------------------------------------------------


def test_a_command_over_ssh(tmp_path: Path) -> None:
    folder = tmp_path / "ssh"
    folder.mkdir()
    with serve_ssh(folder) as (port, key, host_key):

        def check(command: str, **more: object) -> SshCheck:
            fields = {"user": "root", "key_file": str(key), "host_key": host_key} | more
            return SshCheck(command=command, port=port, **fields)  # type: ignore[arg-type]

        assert ask(check("echo up $((20 + 1))", expect="up 21"), tmp_path) == "it printed 'up 21'"
        ask(check("true", host_key=None), tmp_path)
        with pytest.raises(HoldfastError, match="ended with 3: 'not well'"):
            ask(check("echo not well >&2; exit 3"), tmp_path)
        with pytest.raises(HoldfastError, match="it printed 'down'"):
            ask(check("echo down", expect="up"), tmp_path)
        with pytest.raises(HoldfastError, match="more than 1 MiB"):
            ask(check("yes"), tmp_path)
        other = host_key.split()[0] + " " + (folder / "user.pub").read_text().split()[1]
        with pytest.raises(HoldfastError, match="SSH"):
            ask(check("true", host_key=other), tmp_path)
        with pytest.raises(HoldfastError, match="SSH"):
            ask(check("true", key_file=None), tmp_path)


def write_script(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return str(path)


def test_a_script_gets_fixed_words(tmp_path: Path) -> None:
    script = write_script(tmp_path / "ask", 'for word in "$@"; do echo "<$word>"; done')
    check = ScriptCheck(
        argv=(script, "{machine}", "{host}:{port:80}", "$(id) {other}"), ports=(80,)
    )
    seen = ask(check, tmp_path)
    assert seen == "it printed '<web1>\n<127.0.0.1:80>\n<$(id) {other}>'"


def test_a_script_that_fails_or_may_be_changed_by_others_fails(tmp_path: Path) -> None:
    script = write_script(tmp_path / "fails", "echo no luck >&2; exit 7")
    with pytest.raises(HoldfastError, match="no luck"):
        ask(ScriptCheck(argv=(script,)), tmp_path)
    open_to_all = write_script(tmp_path / "open", "true", 0o777)
    with pytest.raises(HoldfastError, match="chmod go-w"):
        ask(ScriptCheck(argv=(open_to_all,)), tmp_path)
    with pytest.raises(HoldfastError, match="No such file"):
        ask(ScriptCheck(argv=(str(tmp_path / "none"),)), tmp_path)


# ---- trying again -------------------------------------------------------------------------------


def test_a_check_is_tried_until_it_passes(tmp_path: Path) -> None:
    counter = tmp_path / "count"
    script = write_script(
        tmp_path / "third", f'echo x >> {counter}; test "$(wc -l < {counter})" -ge 3'
    )
    clock = HandClock()
    began_s = clock.monotonic_s()
    result = run_check(ScriptCheck(argv=(script,)), target(tmp_path), began_s, clock, Progress())
    assert (result.passed, result.tries) == (True, 3)
    assert result.at_s == pytest.approx(1.0)


def test_a_check_gives_up_in_time_and_hears_a_cancellation(tmp_path: Path) -> None:
    script = write_script(tmp_path / "never", "exit 1")
    check = ScriptCheck(argv=(script,), timeout_s=3)
    clock = HandClock()
    result = run_check(check, target(tmp_path), clock.monotonic_s(), clock, Progress())
    assert not result.passed
    assert 2 <= result.at_s <= 3
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        run_check(check, target(tmp_path), 0.0, clock, progress)


def test_a_check_of_a_vm_that_has_ended_is_not_tried_again(tmp_path: Path) -> None:
    vm = Vm(Runtime(tmp_path), "gone", lambda *_: [], SystemClock())
    gone = Target(Machine(name="web1"), vm, None)
    result = run_check(TcpCheck(port=free_port()), gone, 0.0, SystemClock(), Progress())
    assert result.tries == 1
    assert result.detail.startswith("the VM has ended")
