"""The NBD server: asked by our client and by programs of others, and by clients that lie."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.base.errors import (
    BusyError,
    Cancelled,
    HoldfastError,
    IntegrityError,
    NotFoundError,
    UsageError,
)
from appliance.base.progress import Progress
from appliance.formats import nbd
from appliance.recovery.nbd_listen import Address, listen_tcp, listen_unix
from appliance.recovery.nbd_server import NbdServer
from appliance.sources.nbd import NbdAddress, NbdClient, NbdSource, list_exports
from appliance.sources.wire import connect_unix, receive
from tests.conftest import SEED

BLOCK = 4096
SIZE = 40 * BLOCK + 100
DAMAGED_AT = 30 * BLOCK


class Disk:
    """Random blocks, every second one zeros; one block is damaged."""

    def __init__(self, seed: int, size_bytes: int = SIZE) -> None:
        chooser = random.Random(seed)
        blocks = [chooser.randbytes(BLOCK) if number % 2 else bytes(BLOCK) for number in range(41)]
        self.data = b"".join(blocks)[:size_bytes]
        self.size_bytes = size_bytes

    def read(self, offset: int, length: int) -> bytes:
        if offset <= DAMAGED_AT < offset + length and self.size_bytes > DAMAGED_AT:
            raise IntegrityError("web1 disk0: a chunk is damaged")
        return self.data[offset : offset + length]

    def runs(self, offset: int, length: int) -> list[tuple[int, bool]]:
        runs = []
        end = min(offset + length, self.size_bytes)
        while offset < end:
            count = min(BLOCK - offset % BLOCK, end - offset)
            runs.append((count, bool(offset // BLOCK % 2)))
            offset += count
        return runs

    def close(self) -> None:
        """Nothing to let go of."""


@contextmanager
def served(path: Path, disks: dict[str, Disk]) -> Iterator[None]:
    progress = Progress()
    listener = listen_unix(path)

    def serve() -> None:
        with pytest.raises(Cancelled):
            NbdServer(disks).serve(listener, progress)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        progress.cancel()
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def disk() -> Disk:
    return Disk(SEED)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, disk: Disk) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("nbd") / ("long" * 30) / "disks.sock"
    place.parent.mkdir()
    with served(place, {"disk0": disk, "disk1": Disk(1, 1000), "disk2": Disk(2, 0)}):
        yield place


def size_of(path: Path, name: str = "disk0") -> int:
    with NbdClient(NbdAddress(name, path)) as client:
        return client.size_bytes


def read(client: NbdClient, offset: int, length: int) -> bytes:
    out = bytearray(length)
    client.read_into(offset, memoryview(out))
    return bytes(out)


@pytest.fixture
def client(path: Path) -> Iterator[NbdClient]:
    with NbdClient(NbdAddress("disk0", path), [nbd.BASE_ALLOCATION]) as made:
        yield made


def test_a_disk_is_read_as_it_is(client: NbdClient, disk: Disk) -> None:
    assert client.size_bytes == SIZE
    for offset, length in ((0, 1), (5, 9000), (BLOCK, BLOCK), (SIZE - 7, 7)):
        assert read(client, offset, length) == disk.data[offset : offset + length]


def test_every_disk_has_its_name_and_the_first_needs_none(path: Path) -> None:
    assert list_exports(NbdAddress(unix=path)) == ["disk0", "disk1", "disk2"]
    for name, size_bytes in (("", SIZE), ("disk1", 1000), ("disk2", 0)):
        assert size_of(path, name) == size_bytes
    with pytest.raises(NotFoundError, match="no such disk"):
        NbdClient(NbdAddress("disk3", path))


def test_what_cannot_be_read_fails_alone(client: NbdClient, disk: Disk) -> None:
    with pytest.raises(HoldfastError, match="damaged"):
        read(client, DAMAGED_AT - 10, 100)
    with pytest.raises(HoldfastError, match="not on the disk"):
        read(client, SIZE - 10, 11)
    assert read(client, BLOCK, 8) == disk.data[BLOCK : BLOCK + 8]


def test_nothing_can_be_written(client: NbdClient, disk: Disk) -> None:
    assert client.flags & nbd.READ_ONLY
    with pytest.raises(HoldfastError, match="read-only"):
        client.write(0, memoryview(b"x" * 5000))
    client.flush()
    assert read(client, BLOCK, 8) == disk.data[BLOCK : BLOCK + 8]


def test_zeros_are_known_without_reading(client: NbdClient, disk: Disk) -> None:
    assert list(client.context_ids.values()) == [nbd.BASE_ALLOCATION]
    at, found = 100, []
    while at < SIZE:
        for length, state in client.statuses(at, SIZE - at):
            found.append((length, state == 0))
            at += length
    assert found == disk.runs(100, SIZE)


def test_many_read_at_once(path: Path, disk: Disk) -> None:
    source = NbdSource(NbdAddress("disk0", path), "a disk")
    wrong: list[int] = []

    def check(number: int) -> None:
        chooser = random.Random(number)
        for _ in range(30):
            offset = chooser.randrange(DAMAGED_AT - 10)
            out = bytearray(chooser.randrange(1, DAMAGED_AT - offset))
            source.read(offset, memoryview(out))
            if out != disk.data[offset : offset + len(out)]:
                wrong.append(offset)

    threads = [threading.Thread(target=check, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    source.close()
    assert not wrong


def greet(path: Path, said: bytes = b"\0\0\0\x03") -> socket.socket:
    connection = connect_unix(path, 60)
    receive(connection, 18)
    connection.sendall(said)
    return connection


def hangs_up(connection: socket.socket) -> bool:
    try:
        while connection.recv(4096):
            continue
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize(
    "said",
    [
        b"\0" * 4,
        b"\0\0\0\3" + b"GARBAGE!" * 3,
        b"\0\0\0\3" + nbd.OPTION.pack(nbd.OPTION_MAGIC, nbd.OPT_LIST, 1 << 31),
        b"\0\0\0\3" + nbd.encode_option(nbd.OPT_EXPORT_NAME, b"nothing"),
        b"\0\0\0\3" + nbd.encode_option(nbd.OPT_LIST) * 300,
        b"\0\0\0\3" + nbd.encode_option(nbd.OPT_EXPORT_NAME, b"disk0") + b"x" * 28,
        b"\0\0\0\3"
        + nbd.encode_option(nbd.OPT_EXPORT_NAME)
        + nbd.encode_request(nbd.Request(0, nbd.CMD_WRITE, 1, 0, 1 << 31)),
    ],
)
def test_who_does_not_keep_to_the_protocol_is_cut_off(path: Path, said: bytes) -> None:
    connection = connect_unix(path, 60)
    receive(connection, 18)
    connection.sendall(said)
    with connection:
        assert hangs_up(connection)
    assert size_of(path) == SIZE


@pytest.mark.parametrize(
    ("option", "data", "answer"),
    [
        (77, b"", nbd.REP_ERR_UNSUP),
        (nbd.OPT_STARTTLS, b"", nbd.REP_ERR_UNSUP),
        (nbd.OPT_LIST, b"x", nbd.REP_ERR_INVALID),
        (nbd.OPT_GO, b"", nbd.REP_ERR_INVALID),
        (nbd.OPT_GO, b"\0\0\0\xff", nbd.REP_ERR_INVALID),
        (nbd.OPT_GO, b"\0\0\0\1\xff\0\0", nbd.REP_ERR_INVALID),
        (nbd.OPT_INFO, nbd.encode_name("x") + b"\0\0", nbd.REP_ERR_UNKNOWN),
        (nbd.OPT_SET_META_CONTEXT, nbd.encode_meta_query("", []), nbd.REP_ERR_INVALID),
        (nbd.OPT_LIST_META_CONTEXT, nbd.encode_name("") + b"\xff" * 4, nbd.REP_ERR_INVALID),
    ],
)
def test_an_option_that_cannot_be_is_refused(
    path: Path, option: int, data: bytes, answer: int
) -> None:
    connection = greet(path)
    connection.sendall(nbd.encode_option(option, data))
    magic, about, kind, length = nbd.OPTION_REPLY.unpack(receive(connection, 20))
    assert (magic, about, kind) == (nbd.OPTION_REPLY_MAGIC, option, answer)
    receive(connection, length)
    connection.sendall(nbd.encode_option(nbd.OPT_ABORT))
    with connection:
        assert hangs_up(connection)


def test_garbage_at_random_ends_connections_only(path: Path, seed: int) -> None:
    chooser = random.Random(seed)
    for _ in range(60):
        connection = greet(path)
        options = [
            nbd.encode_option(chooser.randrange(12), chooser.randbytes(chooser.randrange(20)))
            for _ in range(chooser.randrange(4))
        ]
        with connection:
            connection.settimeout(0.05)
            try:
                connection.sendall(b"".join(options) + chooser.randbytes(chooser.randrange(60)))
                while connection.recv(4096):
                    continue
            except OSError:
                continue
    assert size_of(path) == SIZE


def test_an_old_client_gets_its_disk_by_name(path: Path, disk: Disk) -> None:
    connection = greet(path, b"\0\0\0\1")
    connection.sendall(nbd.encode_option(nbd.OPT_EXPORT_NAME, b"disk0"))
    size_bytes, flags = nbd.EXPORT.unpack(receive(connection, nbd.EXPORT.size))
    assert (size_bytes, flags & nbd.READ_ONLY) == (SIZE, nbd.READ_ONLY)
    assert not any(receive(connection, 124))
    connection.sendall(nbd.encode_request(nbd.Request(0, nbd.CMD_READ, 9, BLOCK, 10)))
    assert nbd.SIMPLE_REPLY.unpack(receive(connection, 16)) == (nbd.SIMPLE_REPLY_MAGIC, 0, 9)
    assert receive(connection, 10) == disk.data[BLOCK : BLOCK + 10]
    connection.close()


def test_a_server_that_lies_is_found_out(tmp_path: Path) -> None:
    listener = listen_unix(tmp_path / "sock")
    answers = [
        b"HTTP/1.1 400 Bad Request\r\n",
        nbd.GREETING + b"\0\3" + struct.pack(">QIII", 5, 8, 1, 0),
        nbd.GREETING + b"\0\3" + nbd.encode_option_reply(nbd.OPT_STRUCTURED_REPLY, nbd.REP_ERR),
        nbd.GREETING + b"\0\3" + struct.pack(">QIII", nbd.OPTION_REPLY_MAGIC, 8, 1, 1 << 30),
    ]

    def answer() -> None:
        for said in answers:
            connection, _ = listener.accept()
            connection.sendall(said)
            connection.close()

    thread = threading.Thread(target=answer)
    thread.start()
    for _ in answers:
        with pytest.raises(HoldfastError, match="sock"):
            NbdClient(NbdAddress("", tmp_path / "sock"))
    thread.join()
    listener.close()


def test_a_socket_is_taken_over_only_from_the_dead(tmp_path: Path, path: Path) -> None:
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(BusyError, match="another process"):
        listen_unix(path)
    dead = tmp_path / "dead.sock"
    listen_unix(dead).close()
    listen_unix(dead).close()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="no socket"):
        listen_unix(tmp_path / "file")


def test_plain_tcp_stays_at_home() -> None:
    with pytest.raises(UsageError, match="--tls-certificates"):
        listen_tcp(Address.parse("0.0.0.0:0"), None)
    listen_tcp(Address.parse("127.0.0.1:0"), None).close()


def test_addresses_are_read() -> None:
    assert Address.parse("box") == Address("box", 10809)
    assert Address.parse("[::1]:99") == Address("::1", 99)
    assert Address.parse("[::1]") == Address("::1", 10809)
    for text in ("", ":1", "a:b", "a:70000"):
        with pytest.raises(UsageError):
            Address.parse(text)
    assert NbdAddress.parse("/dev/sdb") is None
    over_tls = NbdAddress.parse("nbds://box:7/disk1?tls-certificates=/etc/pki")
    assert over_tls == NbdAddress("disk1", None, "box", 7, Path("/etc/pki"), is_tls=True)
    assert NbdAddress.parse("nbd+unix:///d?socket=/a b") == NbdAddress("d", Path("/a b"))
    for text in ("nbd://a:x/", "nbd+unix:///d"):
        with pytest.raises(UsageError):
            NbdAddress.parse(text)
