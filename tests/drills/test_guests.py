"""Drills of a small Linux: every check that goes into a guest, and that nothing comes out."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.formats.drill import CheckResult, DrillRecord
from tests.drills.conftest import Rehearsal
from tests.drills.linux_guest import build_disk, build_initrd
from tests.ports import HOST

# A busy machine emulates slowly.
LONG = "timeout_s = 600"


class Guests:
    """Disks of the small Linux, and the key of its root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kernel, self.initrd, self.key = build_initrd(folder)

    def disk(self, words: str) -> bytes:
        return build_disk(self.folder, self.kernel, self.initrd, words)

    def ssh(self, command: str, expect: str) -> str:
        """A check by SSH, in TOML."""
        return (
            f"{{kind = 'ssh', user = 'root', key_file = '{self.key}', command = '''{command}''', "
            f"expect = '{expect}', {LONG}}}"
        )


@pytest.fixture(scope="module")
def guests(tmp_path_factory: pytest.TempPathFactory) -> Guests:
    return Guests(tmp_path_factory.mktemp("linux"))


@pytest.fixture
def office() -> Iterator[int]:
    """A page in production: a server on this machine that must not be asked; gives its port."""
    asked = []

    class Page(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()
    assert not asked


def get(host: str, port: int) -> str:
    """A command that asks for a page from inside a guest, and fails when nobody answers."""
    request = 'printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3'
    return f"busybox timeout 8 bash -c 'exec 3<>/dev/tcp/{host}/{port} && {{ {request}; }}'"


def checks_of(record: DrillRecord, name: str) -> list[CheckResult]:
    return list(next(each for each in record.machines if each.name == name).checks)


def describe(record: DrillRecord) -> str:
    return "\n".join(
        f"{each.name} {each.error} {each.phases}\n{each.checks}" for each in record.machines
    )


def test_every_kind_of_check_reaches_a_guest_and_the_guest_reaches_nothing(
    rehearsal: Rehearsal, guests: Guests, office: int
) -> None:
    rehearsal.add("web1", guests.disk("page=shop"))
    gateway = f"{get('10.0.2.2', office)} || echo closed"
    record = rehearsal.run(
        f"network = 'apart'\n[[machines]]\nname = 'web1'\nmemory_mib = 256\n{LONG}\nchecks = [\n"
        f"{{kind = 'tcp', port = 80, {LONG}}},\n"
        f"{{kind = 'tcp', port = 22, banner = 'SSH-2.0', {LONG}}},\n"
        f"{{kind = 'http', contains = 'this is shop', {LONG}}},\n"
        f"{{kind = 'agent', {LONG}}},\n"
        f"{guests.ssh('uname -s', 'Linux')},\n"
        f"{guests.ssh(gateway, 'closed')},\n"
        f"{{kind = 'script', argv = ['/usr/bin/curl', '-s', 'http://{{host}}:{{port:80}}/'], "
        f"ports = [80], {LONG}}},\n"
        "{kind = 'tcp', port = 81, timeout_s = 4}]"
    )
    assert record.machines[0].checks, describe(record)
    *passed, closed = checks_of(record, "web1")
    assert all(check.passed for check in passed), describe(record)
    assert not closed.passed
    assert "nothing takes connections on port 81" in closed.detail
    names = [phase.name for phase in record.machines[0].phases]
    assert names == ["point opened", "VM started", "firmware", "kernel", "ready"]
    assert record.machines[0].read_bytes > 20 << 20


def test_guests_on_a_shared_network_reach_each_other_under_their_own_addresses(
    rehearsal: Rehearsal, guests: Guests, office: int
) -> None:
    rehearsal.add("db", guests.disk("page=data address=192.0.2.10/24"))
    rehearsal.add("web1", guests.disk("page=shop address=192.0.2.11/24"))
    fetch = get("192.0.2.10", 80)
    leave = f"{get('192.0.2.254', office)} || echo closed"
    record = rehearsal.run(
        "network = 'shared'\n"
        f"[[machines]]\nname = 'db'\nmemory_mib = 256\naddress = '192.0.2.10/24'\n{LONG}\n"
        f"checks = [{{kind = 'http', contains = 'this is data', {LONG}}}]\n"
        f"[[machines]]\nname = 'web1'\nmemory_mib = 256\naddress = '192.0.2.11/24'\n{LONG}\n"
        f"checks = [{{kind = 'http', contains = 'this is shop', {LONG}}},\n"
        f"{guests.ssh(fetch, 'this is data')}, {guests.ssh(leave, 'closed')},\n"
        "{kind = 'tcp', port = 81, timeout_s = 4}]"
    )
    *passed, closed = checks_of(record, "web1")
    assert all(check.passed for check in (*passed, *checks_of(record, "db"))), describe(record)
    assert not closed.passed
    assert HOST == "127.0.0.1"
