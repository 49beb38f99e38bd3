"""Boot sets: what a boot read lies together in the vault, follows newer points, and comes first."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.base.clock import SystemClock
from appliance.formats.touched import BLOCK_BYTES, decode_touched, encode_touched
from appliance.keys import keyring
from appliance.recovery.store_view import StoreView
from appliance.recovery.touch import TouchedView
from appliance.store.boot_notes import keep_boot_note, read_boot_note
from appliance.store.store import Store
from appliance.vault.boot_sets import BootFetching, read_boot
from appliance.vault.reading import VaultReading
from tests.vault.office import Office

MACHINE = "web1"
SIZE_MIB = 12


@pytest.fixture
def office(tmp_path: Path, seed: int) -> Iterator[Office]:
    made = Office(tmp_path, seed)
    yield made
    made.close()


def boot(office: Office, name: str, offsets: list[int]) -> None:
    """Read a point as the mount of a VM does, and note it as `boot` does."""
    store = Store(office.box.state, keyring.load_master_key(office.box.state, None))
    running = office.folder / "touched"
    with store.lease("reader") as lease:
        view = TouchedView(StoreView(store, lease), running)
        (entry,) = view.points(MACHINE)[-1:]
        disk = view.open_disk(MACHINE, entry.directory_time, 0)
        for offset in offsets:
            disk.read(offset, 4096)
        disk.close()
        view.close()
    assert keep_boot_note(office.box.state, MACHINE, running)


OFFSETS = [number * 700_000 for number in range(12)]


def read_like_a_boot(
    office: Office, other: Path, name: str, *, with_set: bool
) -> tuple[list[str], bytes]:
    """Read OFFSETS on an opened box; gives which objects were asked for, and the bytes."""
    master = keyring.load_master_key(other, None)
    reading = VaultReading(other, master, SystemClock())
    store = Store(other, master, None, reading.copy)
    try:
        with store.lease("reader") as lease:
            point = store.points.resolve(name)
            machine = store.points.file_of(point).folder
            if with_set:
                boot = read_boot(other / "vaults" / "vault", machine)
                assert boot is not None
                assert BootFetching(store, reading.copy).begin(machine, boot) > 0
            disk = store.disk_reader(store.open_point(point, lease), 0)
            data = b"".join(disk.read(offset, 4096) for offset in OFFSETS)
            disk.close()
    finally:
        reading.copy.close()
    cached = (other / "cache" / "containers").glob("*/*")
    return sorted(path.name for path in cached), data


def test_what_a_boot_reads_is_noted_once_and_in_order(tmp_path: Path) -> None:
    entries = [(0, 5), (1, 7), (0, 5), (0, 1)]
    data = encode_touched(entries)
    assert decode_touched(data) == [(0, 5), (1, 7), (0, 1)]
    assert decode_touched(data[:-3]) == [(0, 5), (1, 7)]
    assert decode_touched(b"nonsense") == []
    assert decode_touched(b"") == []
    assert read_boot_note(tmp_path, "nobody") == []


def test_a_boot_from_the_vault_reads_its_set_and_nothing_else(office: Office) -> None:
    name = office.back_up(MACHINE, size_mib=SIZE_MIB)
    boot(office, name, OFFSETS)
    office.add_vault()
    office.sync()
    boots = office.objects("boots")
    assert boots
    for path in boots:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    other = office.open("other").state
    asked, data = read_like_a_boot(office, other, name, with_set=True)
    image = office.images[name]
    assert data == b"".join(image[offset : offset + 4096] for offset in OFFSETS)
    assert set(asked) <= {path.name for path in boots}


def test_a_set_follows_newer_points_and_sends_only_what_is_new(office: Office) -> None:
    name = office.back_up(MACHINE, size_mib=SIZE_MIB)
    boot(office, name, OFFSETS)
    office.add_vault()
    office.sync()
    first = {path.name: path.stat().st_size for path in office.objects("boots")}
    image = bytearray(office.images[name])
    image[OFFSETS[3] : OFFSETS[3] + 4096] = b"\xa5" * 4096
    newer = office.back_up(MACHINE, image=bytes(image))
    office.sync()
    added = {
        path.name: path.stat().st_size for path in office.objects("boots") if path.name not in first
    }
    assert 0 < sum(added.values()) < sum(first.values()) / 2
    other = office.open("other").state
    asked, data = read_like_a_boot(office, other, newer, with_set=True)
    assert data == b"".join(image[offset : offset + 4096] for offset in OFFSETS)
    assert set(asked) <= {path.name for path in office.objects("boots")}


def test_a_sync_without_changes_to_the_set_sends_none(office: Office) -> None:
    name = office.back_up(MACHINE, size_mib=SIZE_MIB)
    boot(office, name, OFFSETS[:3])
    office.add_vault()
    office.sync()
    before = {path.name for path in office.objects("boots")}
    image = bytearray(office.images[name])
    image[-BLOCK_BYTES:] = b"\x5a" * BLOCK_BYTES
    office.back_up(MACHINE, image=bytes(image))
    office.sync()
    # The pages above what was read are new, and little; no chunk of data is sent again.
    added = [path for path in office.objects("boots") if path.name not in before]
    assert sum(path.stat().st_size for path in added) < BLOCK_BYTES


def test_a_lost_or_damaged_set_costs_speed_only(office: Office) -> None:
    name = office.back_up(MACHINE, size_mib=SIZE_MIB)
    boot(office, name, OFFSETS)
    office.add_vault()
    office.sync()
    for number, path in enumerate(office.objects("boots")):
        if number % 2:
            path.unlink()
        else:
            path.write_bytes(b"damaged" + path.read_bytes()[7:])
    office.check(office.open("other"), name)


def test_a_set_that_the_vault_lost_is_sent_again(office: Office) -> None:
    name = office.back_up(MACHINE, size_mib=SIZE_MIB)
    boot(office, name, OFFSETS)
    office.add_vault()
    office.sync()
    before = {path.name for path in office.objects("boots")}
    shutil.rmtree(office.vault)
    office.vault.mkdir()
    office.sync(expect=1)
    after = {path.name for path in office.objects("boots")}
    assert len(after) == len(before)
    other = office.open("other").state
    asked, _ = read_like_a_boot(office, other, name, with_set=True)
    assert set(asked) <= after


def test_the_note_of_a_running_boot_may_be_torn(tmp_path: Path) -> None:
    running = tmp_path / "touched"
    running.write_bytes(encode_touched([(0, 1), (0, 2)])[:-1])
    assert keep_boot_note(tmp_path, "m", running)
    assert read_boot_note(tmp_path, "m") == [(0, 1)]
    assert not keep_boot_note(tmp_path, "m", tmp_path / "missing")
    assert json.dumps(read_boot_note(tmp_path, "m"))
