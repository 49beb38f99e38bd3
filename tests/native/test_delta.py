"""Sketches and deltas through the library's door."""

from __future__ import annotations

import random

from appliance.native import Delta

KEY = bytes(range(32))
CHUNK = bytes(byte & 0x0F for byte in random.Random(3).randbytes(64 << 10))
ALIKE = CHUNK[:30_000] + b"inserted" + CHUNK[30_000:]


def test_what_is_alike_shares_a_feature() -> None:
    delta = Delta(KEY, 6)
    other = bytes(byte & 0x0F for byte in random.Random(4).randbytes(64 << 10))
    assert len(delta.sketch(CHUNK)) == 6
    assert set(delta.sketch(CHUNK)) & set(delta.sketch(ALIKE))
    assert not set(delta.sketch(CHUNK)) & set(delta.sketch(other))
    assert all(-(2**63) <= feature < 2**63 for feature in delta.sketch(CHUNK))


def test_a_delta_takes_little_and_says_when_it_does_not_fit() -> None:
    delta = Delta(KEY, 6)
    alone = delta.pack(ALIKE, None, len(ALIKE))
    assert alone is not None
    assert len(alone) > len(ALIKE) // 3
    for _ in range(2):  # what did not fit leaves nothing behind
        assert delta.pack(ALIKE, CHUNK, 10) is None
        packed = delta.pack(ALIKE, CHUNK, 1000)
        assert packed is not None
        assert len(packed) < 200
