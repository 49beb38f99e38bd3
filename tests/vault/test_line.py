"""The line of the tests is as fast, as long and as unreliable as it says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.vault.line import Line

MIB = 1 << 20


@pytest.fixture
def echo() -> Iterator[int]:
    """A port that sends back what comes."""

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=copy, args=(client,), daemon=True).start()

    def copy(client: socket.socket) -> None:
        with client:
            try:
                while data := client.recv(65536):
                    client.sendall(data)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def exchange(port: int, data: bytes) -> bytes:
    """Send `data`, and read until the other side ends."""
    with socket.create_connection(("127.0.0.1", port), 60) as client:

        def send() -> None:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        received = bytearray()
        while piece := client.recv(65536):
            received += piece
        sender.join()
        return bytes(received)


def test_bytes_pass_unchanged_and_are_counted(echo: int) -> None:
    data = bytes(range(256)) * 8192
    with Line(echo) as line:
        assert exchange(line.port, data) == data
        assert (line.sent_bytes, line.received_bytes) == (len(data), len(data))


def test_a_line_is_no_faster_than_its_rate(echo: int) -> None:
    data = bytes(2 * MIB)
    with Line(echo, bytes_per_s=4 * MIB) as line:
        began_s = time.monotonic()
        assert exchange(line.port, data) == data
        assert time.monotonic() - began_s > 0.45


def test_a_line_is_as_long_as_its_delay(echo: int) -> None:
    with Line(echo, delay_s=0.05) as line:
        began_s = time.monotonic()
        assert exchange(line.port, b"ping") == b"ping"
        assert time.monotonic() - began_s > 0.19  # the handshake, and there and back


def test_connections_are_cut(echo: int) -> None:
    with Line(echo, cut_share_per_s=5.0) as line:

        def talk() -> None:
            with socket.create_connection(("127.0.0.1", line.port), 60) as client:
                client.sendall(b"x")
                while client.recv(100):
                    pass

        with pytest.raises(ConnectionResetError):  # in whichever call it shows
            talk()
        assert line.cuts == 1


def test_a_line_that_is_down_takes_nothing(echo: int) -> None:
    with Line(echo) as line:
        line.is_up = False
        with (
            pytest.raises(ConnectionResetError),  # at once where the reset is there before we look
            socket.create_connection(("127.0.0.1", line.port), 60) as client,
        ):
            client.recv(1)
        assert line.sent_bytes == 0
