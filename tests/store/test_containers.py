"""Containers on the disk: opened, cached, listed, compared with their names."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError, IntegrityError, NotFoundError
from appliance.keys.hierarchy import MasterKey
from appliance.native import Reader
from appliance.store.containers import (
    Container,
    ContainerCache,
    check_name,
    container_name,
    list_names,
    store_container,
)
from appliance.store.layout import Layout
from tests.store.stores import KEYS, add_container, chunks_of, load_index, make_store

CHUNKS = chunks_of(1, 30)


@pytest.fixture
def layout(state: Path) -> Layout:
    return make_store(state).layout


@pytest.fixture
def name(layout: Layout) -> bytes:
    made, _ = add_container(layout, load_index(layout), CHUNKS)
    return made


def test_a_container_is_named_by_its_bytes_and_lies_in_its_folder(
    layout: Layout, name: bytes
) -> None:
    path = layout.container(name)
    assert path.parent.name == name.hex()[:2]
    assert hashlib.sha256(path.read_bytes()).digest() == name
    assert path.stat().st_mode & 0o777 == 0o600
    check_name(layout, name)
    assert os.listdir(layout.incoming) == []


def test_an_opened_container_lists_its_chunks(layout: Layout, name: bytes) -> None:
    container = Container(layout, KEYS, name)
    assert container.directory.chunks == len(CHUNKS)
    assert container.size_bytes == layout.container(name).stat().st_size
    assert Reader().verify(container.directory, container.descriptor, KEYS.chunk_id_key) == []
    container.close()
    container.close()


def test_a_missing_container_is_not_found(layout: Layout) -> None:
    for use in (lambda: Container(layout, KEYS, bytes(32)), lambda: check_name(layout, bytes(32))):
        with pytest.raises(NotFoundError, match=r"container 0000.* is missing"):
            use()


def test_another_key_does_not_open_it(layout: Layout, name: bytes) -> None:
    with pytest.raises(IntegrityError, match=f"container {name.hex()}: "):
        Container(layout, MasterKey(b"x" * 32, bytes(16)), name)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "header and trailer": lambda data: data[:64] + data[-32:],
    "cut": lambda data: data[:-1],
    "half": lambda data: data[: len(data) // 2],
    "longer": lambda data: data + b"\0",
    "garbage": lambda data: b"\xa5" * len(data),
    "zeros": lambda data: bytes(len(data)),
    "magic": lambda data: b"X" + data[1:],
    "kind": lambda data: data[:10] + b"\2" + data[11:],
    "container id": lambda data: data[:16] + b"XXXX" + data[20:],
    "directory": lambda data: data[:-100] + b"XXXX" + data[-96:],
    "trailer magic": lambda data: data[:-16] + b"X" + data[-15:],
    "offset 0": lambda data: data[:-32] + bytes(8) + data[-24:],
    "offset far": lambda data: data[:-32] + b"\xff" * 8 + data[-24:],
    "length 0": lambda data: data[:-24] + bytes(8) + data[-16:],
    "length far": lambda data: data[:-24] + b"\xff" * 8 + data[-16:],
    "all is directory": lambda data: (
        data[:-32] + bytes(8) + (len(data) - 32).to_bytes(8, "little") + data[-16:]
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_an_integrity_error_that_names_the_container(
    layout: Layout, name: bytes, damage: str
) -> None:
    path = layout.container(name)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(IntegrityError, match=f"^container {name.hex()}") as caught:
        Container(layout, KEYS, name)
    assert len(str(caught.value).splitlines()) == 1
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(IntegrityError, match="is not what was written"):
        check_name(layout, name)


def test_a_container_of_many_gigabytes_is_not_read(layout: Layout, name: bytes) -> None:
    os.truncate(layout.container(name), 1 << 40)
    with pytest.raises(IntegrityError, match="impossible size"):
        Container(layout, KEYS, name)


def put_folder(path: Path) -> None:
    path.mkdir()


def put_endless_link(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("put", [put_folder, put_endless_link])
def test_what_is_no_file_is_an_error_of_ours(layout: Layout, put: Callable[[Path], None]) -> None:
    put(layout.container(bytes(32)))
    with pytest.raises(HoldfastError, match="0" * 64):
        Container(layout, KEYS, bytes(32))


def test_a_swapped_container_is_damage(layout: Layout, name: bytes) -> None:
    """Its directory authenticates, but it is another one: only the name tells."""
    other, _ = add_container(layout, load_index(layout), chunks_of(2, 5))
    layout.container(name).write_bytes(layout.container(other).read_bytes())
    with pytest.raises(IntegrityError, match=f"container {name.hex()} is not what was written"):
        check_name(layout, name)
    assert Container(layout, KEYS, name).directory.chunks == 5


# ---- names --------------------------------------------------------------------------------------


def test_names_are_64_lower_case_hex_digits() -> None:
    assert container_name("ab" * 32) == b"\xab" * 32
    for text in ("", "ab" * 31, "ab" * 33, "AB" * 32, "zz" * 32, " " + "ab" * 31 + "a", "é" * 64):
        assert container_name(text) is None


def test_only_containers_are_listed(layout: Layout, name: bytes) -> None:
    folder = layout.containers / "ab"
    for foreign in ("note.txt", "cd" * 32, "AB" * 32, ".tmp-1", "ab" * 31):
        (folder / foreign).write_bytes(b"")
    (layout.containers / "note.txt").write_bytes(b"")
    (layout.containers / "lost+found").mkdir()
    assert list(list_names(layout)) == [name]


def test_a_container_is_stored_although_its_folder_is_gone(layout: Layout) -> None:
    name = hashlib.sha256(b"bytes").digest()
    layout.container(name).parent.rmdir()
    assert store_container(layout, name, memoryview(b"bytes")).read_bytes() == b"bytes"


# ---- the cache ----------------------------------------------------------------------------------


def test_a_container_is_opened_once_and_stays_usable_when_dropped(layout: Layout) -> None:
    index = load_index(layout)
    names = [add_container(layout, index, chunks_of(number, 3))[0] for number in range(5)]
    cache = ContainerCache(layout, KEYS, capacity=2)
    first = cache.get(names[0])
    assert cache.get(names[0]) is first
    for other in names[1:]:
        cache.get(other)
    assert Reader().verify(first.directory, first.descriptor, KEYS.chunk_id_key) == []
    assert cache.get(names[0]) is not first
    assert cache.get(names[0]).directory.ids() == first.directory.ids()


def test_the_cache_keeps_few_files_open(layout: Layout) -> None:
    index = load_index(layout)
    names = [add_container(layout, index, chunks_of(number, 3))[0] for number in range(12)]
    before = len(os.listdir("/proc/self/fd"))
    cache = ContainerCache(layout, KEYS, capacity=3)

    def use() -> None:
        for made in names * 5:
            assert cache.get(made).directory.chunks == 3

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(os.listdir("/proc/self/fd")) == before + 3


def test_a_container_that_was_unlinked_is_served_while_it_is_open(
    layout: Layout, name: bytes
) -> None:
    cache = ContainerCache(layout, KEYS)
    cache.get(name)
    layout.container(name).unlink()
    assert cache.get(name).directory.chunks == len(CHUNKS)
    with pytest.raises(NotFoundError):
        ContainerCache(layout, KEYS).get(name)
