"""The list of a boot set and the note of a boot, byte for byte as docs/format/boots.md has them."""

from __future__ import annotations

import json

import pytest

from appliance.base.errors import IntegrityError
from appliance.formats.boot_set import BootSet, decode_boot_set, encode_boot_set
from appliance.formats.touched import ENTRIES_MAX, decode_touched, encode_touched

MACHINE = "0123456789abcdef0123456789abcdef"
GOLDEN = (
    b'{"format":1,"machine":"0123456789abcdef0123456789abcdef","point":"20261121T093000Z",'
    b'"containers":[{"name":"' + b"01" * 32 + b'","size_bytes":12345}]}'
)
EXAMPLE = BootSet(MACHINE, "20261121T093000Z", ((b"\1" * 32, 12345),))


def test_the_list_is_what_the_page_says() -> None:
    assert encode_boot_set(EXAMPLE) == GOLDEN
    assert decode_boot_set(GOLDEN, MACHINE) == EXAMPLE
    assert EXAMPLE.place == f"boots/{MACHINE}"


@pytest.mark.parametrize(
    "members",
    [
        {"format": 2},
        {"machine": "f" * 32},
        {"point": 5},
        {"containers": {}},
        {"containers": [7]},
        {"containers": [{"name": "01" * 32, "size_bytes": 0}]},
        {"containers": [{"name": "01" * 32, "size_bytes": (32 << 20) + 1}]},
        {"containers": [{"name": "xy" * 32, "size_bytes": 5}]},
        {"containers": [{"name": "01" * 32, "size_bytes": 5}] * 1025},
    ],
)
def test_a_list_that_is_not_one_is_refused(members: dict[str, object]) -> None:
    data = json.dumps({**json.loads(GOLDEN), **members}).encode()
    with pytest.raises(IntegrityError):
        decode_boot_set(data, MACHINE)


def test_garbage_is_refused() -> None:
    for data in (b"", b"[]", b"{", GOLDEN[:-1], b"\xff" * 100, b" " * (2 << 20)):
        with pytest.raises(IntegrityError):
            decode_boot_set(data, MACHINE)


def test_the_note_is_what_the_page_says() -> None:
    data = b"HFTOUCH1" + bytes.fromhex("0500000000000000" + "ffffffffffff0100")
    assert encode_touched([(0, 5), (1, 2**48 - 1)]) == data
    assert decode_touched(data) == [(0, 5), (1, 2**48 - 1)]


def test_a_note_is_bounded() -> None:
    data = encode_touched((0, block) for block in range(ENTRIES_MAX + 10))
    assert len(decode_touched(data)) == ENTRIES_MAX
