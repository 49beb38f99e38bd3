"""Strays: bills that the box keeps say where chunks lie, and damaged ones say nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

from appliance.formats.bill import Bill, Need, Stray, encode_bill, encode_strays
from appliance.vault.strays import FOLDER, Strays
from tests.store.stores import KEYS

POINT = hashlib.sha256(b"point").digest()
NEEDS = (Need(b"\1" * 32, 5000), Need(b"\2" * 32, 6000))
CHUNKS = [bytes([number]) * 32 for number in range(3)]


def keep_bill(folder: Path, strays: list[Stray], needs: tuple[Need, ...] = NEEDS) -> Path:
    bill = Bill(POINT, needs)
    sealed = KEYS.seal_record(bill.place, encode_strays(strays)) if strays else b""
    data = encode_bill(Bill(POINT, needs, sealed))
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    path = folder / FOLDER / hashlib.sha256(data).hexdigest()
    path.write_bytes(data)
    return path


def test_a_stray_is_found_and_others_are_not(tmp_path: Path) -> None:
    keep_bill(tmp_path, [Stray(CHUNKS[0], 1, 7), Stray(CHUNKS[1], 0, 9)])
    strays = Strays([tmp_path], KEYS)
    assert strays.find(CHUNKS[0]) == (b"\2" * 32, 7)
    assert strays.find(CHUNKS[1]) == (b"\1" * 32, 9)
    assert strays.find(CHUNKS[2]) is None


def test_a_box_without_bills_knows_of_none(tmp_path: Path) -> None:
    assert Strays([tmp_path / "nothing"], KEYS).find(CHUNKS[0]) is None


def test_the_first_vault_goes_first(tmp_path: Path) -> None:
    keep_bill(tmp_path / "a", [Stray(CHUNKS[0], 0, 1)])
    keep_bill(tmp_path / "b", [Stray(CHUNKS[0], 1, 2), Stray(CHUNKS[1], 1, 3)])
    strays = Strays([tmp_path / "a", tmp_path / "b"], KEYS)
    assert strays.find(CHUNKS[0]) == (b"\1" * 32, 1)
    assert strays.find(CHUNKS[1]) == (b"\2" * 32, 3)


def test_a_damaged_bill_says_nothing_and_the_others_serve(tmp_path: Path) -> None:
    damaged = keep_bill(tmp_path, [Stray(CHUNKS[0], 0, 1)])
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    # Renamed to fit, its seal still does not open.
    forged = damaged.with_name(hashlib.sha256(data).hexdigest())
    forged.write_bytes(data)
    keep_bill(tmp_path, [Stray(CHUNKS[1], 0, 2)])
    strays = Strays([tmp_path], KEYS)
    assert strays.find(CHUNKS[0]) is None
    assert strays.find(CHUNKS[1]) == (b"\1" * 32, 2)
