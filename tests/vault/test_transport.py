"""Sockets and bodies: who may be connected to, and what goes over the wire."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from appliance.base.clock import SystemClock
from appliance.base.errors import IntegrityError, NotFoundError
from appliance.vault.bucket import FileRange
from appliance.vault.s3_calls import Patience
from appliance.vault.transport import AddressRefusedError, Guard, Outgoing, PacedPayload
from tests.vault.conftest import Connect, Run, new_name
from tests.vault.fault_proxy import FaultProxy, Forward, hang, respond
from tests.vault.gateway import Gateway
from tests.vault.test_bucket_contract import BODY, put, sha256

TCP = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")


# ---- the guard ----------------------------------------------------------------------------------


def test_only_the_endpoint_and_its_buckets_are_resolved() -> None:
    guard = Guard("vault.example")
    for name in ("vault.example", "VAULT.EXAMPLE.", "bucket.vault.example"):
        guard.check(name)
    for name in ("example", "evilvault.example", "vault.example.evil", "169.254.169.254", ""):
        with pytest.raises(AddressRefusedError):
            guard.check(name)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "::1", "169.254.169.254", "fe80::1%eth0", "0.0.0.0", "::", "224.0.0.1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "255.255.255.255"),
    ],
)
def test_a_name_on_the_network_never_leads_inside(address: str) -> None:
    with pytest.raises(AddressRefusedError, match="where no vault can be"):
        Guard("vault.example").admit("vault.example", address)


def test_an_address_of_ones_own_network_is_fine() -> None:
    guard = Guard("vault.example")
    for address in ("10.0.0.7", "192.168.1.9", "fd00::7", "203.0.113.5"):
        guard.admit("vault.example", address)


def test_a_socket_is_made_only_for_what_was_checked() -> None:
    guard = Guard("vault.example")
    with pytest.raises(AddressRefusedError):
        guard.make_socket((*TCP, ("10.0.0.7", 443)))
    guard.admit("vault.example", "10.0.0.7")
    guard.make_socket((*TCP, ("10.0.0.7", 443))).close()
    with pytest.raises(AddressRefusedError):
        guard.make_socket((*TCP, ("10.0.0.8", 443)))


def test_a_socket_uses_bbr_where_the_kernel_has_it() -> None:
    known = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    usual = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    with Guard("127.0.0.1").make_socket((*TCP, ("127.0.0.1", 443))) as made:
        used = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        assert used.rstrip(b"\0").decode() == ("bbr" if "bbr" in known else usual)
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


# ---- bodies -------------------------------------------------------------------------------------


def test_a_part_of_a_file_reads_like_a_file(tmp_path: Path) -> None:
    path = tmp_path / "container"
    path.write_bytes(bytes(range(100)))
    outgoing = Outgoing("a", FileRange(path, 80, 10), None, offset=5, size_bytes=20)
    assert outgoing.read(3) == bytes((15, 16, 17))
    assert outgoing.tell() == 3
    assert outgoing.read() == bytes(range(18, 35))
    assert outgoing.read() == b""
    assert outgoing.seek(-1, 2) == 19
    assert outgoing.read(9) == bytes((34,))
    outgoing.close()
    outgoing.close()


def test_a_file_that_is_gone_or_short_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="container"):
        Outgoing("a", FileRange(tmp_path / "container", 1), None)
    (tmp_path / "container").write_bytes(b"x")
    with pytest.raises(IntegrityError, match="only 1 bytes"):
        Outgoing("a", FileRange(tmp_path / "container", 2), None)


def test_a_line_that_takes_nothing_ends_in_time(run: Run) -> None:
    class Stuck:
        async def write(self, piece: bytes) -> None:
            await asyncio.Event().wait()

    writer: Any = Stuck()
    payload = PacedPayload(Outgoing("a", BODY, None), None, SystemClock(), 0.05)
    with pytest.raises(TimeoutError):
        run(payload.write(writer))


# ---- on the wire --------------------------------------------------------------------------------


def test_no_checksum_of_the_librarys_own_and_no_waiting_for_a_welcome(
    run: Run, connect: Connect, gateway: Gateway
) -> None:
    """The signed SHA-256 says it all; others would be refused by older servers."""
    seen: list[dict[str, str]] = []

    async def record(
        proxy: FaultProxy, request: web.Request, forward: Forward
    ) -> web.StreamResponse:
        seen.append({name.lower(): value for name, value in request.headers.items()})
        return respond(await forward(), request.method)

    with FaultProxy(gateway.endpoint) as proxy:
        bucket = connect(gateway.address(new_name(), endpoint=proxy.endpoint))
        proxy.fail(record, times=100)
        run(put(bucket, "a/b"))
        long = BODY * 80
        run(bucket.put("a/c", long, sha256(long), part_bytes=5 << 20))
        run(bucket.get("a/b"))
    assert seen[0]["x-amz-content-sha256"] == sha256(BODY).hex()
    names = {name for headers in seen for name in headers}
    assert not [name for name in names if "checksum" in name or name == "expect"]
    assert "x-amz-trailer" not in names


def test_a_read_that_hangs_is_overtaken_by_a_second(
    run: Run, connect: Connect, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.vault.hedge._FIRST_GUESS_S", 0.2)
    with FaultProxy(gateway.endpoint) as proxy:
        bucket = connect(
            gateway.address(new_name(), endpoint=proxy.endpoint),
            patience=Patience(attempts=1, connect_s=30, idle_s=60),
        )
        run(put(bucket, "a/b"))
        proxy.fail(hang, "get_object")
        assert run(bucket.get("a/b")).data == BODY
        assert proxy.seen["get_object"] == 2
