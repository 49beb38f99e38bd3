"""The layout of NBD messages, byte for byte, and garbage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import IntegrityError
from appliance.formats import nbd


def test_a_conversation_is_what_the_protocol_says() -> None:
    assert nbd.GREETING.hex() == "4e42444d4147494349484156454f5054"
    assert (
        nbd.encode_option(nbd.OPT_GO, nbd.encode_name("disk0") + bytes(2)).hex()
        == "49484156454f5054000000070000000b000000056469736b300000"
    )
    assert (
        nbd.encode_option_reply(nbd.OPT_GO, nbd.REP_INFO, nbd.encode_export_info(1 << 20, 0x107))
        .hex()
        .startswith("0003e889045565a900000007000000030000000c0000000000000010")
    )
    assert nbd.encode_block_size_info(65536).hex() == "0003000000010001000002000000"
    request = nbd.Request(0, nbd.CMD_READ, 0x0102030405060708, 0x200, 0x1000)
    assert (
        nbd.encode_request(request).hex()
        == "25609513000000000102030405060708000000000000020000001000"
    )
    assert (
        nbd.encode_chunk(nbd.CHUNK_DONE, nbd.CHUNK_DATA, 7, bytes(8) + b"x").hex()
        == "668e33ef00010001000000000000000700000009000000000000000078"
    )
    assert nbd.encode_statuses(1, [nbd.Status(4096, 3)]).hex() == "000000010000100000000003"


def test_what_is_written_is_read() -> None:
    request = nbd.Request(1, 7, 99, 1 << 40, 1 << 31)
    assert nbd.decode_request(nbd.encode_request(request)) == request
    assert nbd.decode_export_info(nbd.encode_export_info(5, 3)) == (5, 3)
    assert nbd.decode_export_info(nbd.encode_block_size_info(4096)) is None
    assert nbd.decode_meta_query(nbd.encode_meta_query("d", ["a:b", "c"])) == ("d", ["a:b", "c"])
    statuses = [nbd.Status(1, 0), nbd.Status(5, 3)]
    assert nbd.decode_statuses(nbd.encode_statuses(9, statuses)) == (9, statuses)


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0\1", b"\0\0\0\1" + bytes(8), b"\0\0\0\1" + bytes(7), bytes(13)]
)
def test_states_that_cannot_be_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        nbd.decode_statuses(data)


@given(st.binary(max_size=64))
def test_garbage_is_never_anything_but_refused(data: bytes) -> None:
    for decode in (nbd.decode_name, nbd.decode_meta_query, nbd.decode_statuses):
        try:
            decode(data)
        except IntegrityError:
            continue
    with pytest.raises(IntegrityError):
        nbd.decode_request(data[:28].ljust(28, b"\0"))
