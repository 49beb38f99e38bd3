"""Store descriptor, wraps and box key file."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.formats import keyfile
from appliance.formats.keyfile import ScryptCost, StoreDescriptor, Wrap
from tests.formats.examples import (
    BOX_KEY,
    DESCRIPTOR,
    assert_survives,
    example_wrap,
    read_golden,
)

salts = st.binary(min_size=32, max_size=32)
sealed = st.binary(min_size=48, max_size=48)
costs = st.builds(
    ScryptCost, st.integers(1, 20).map(lambda n: 2**n), st.integers(1, 16), st.integers(1, 4)
)
wraps = st.builds(Wrap, st.sampled_from(["recovery", "box"]), salts, st.none(), sealed) | st.builds(
    Wrap, st.just("passphrase"), salts, costs, sealed
)


@given(wraps)
def test_wraps_read_what_they_write(wrap: Wrap) -> None:
    assert keyfile.decode_wrap(keyfile.encode_wrap(wrap)) == wrap


def test_a_wrap_does_not_show_what_is_sealed() -> None:
    assert "sealed" not in repr(example_wrap("box"))


def test_the_golden_descriptor_and_box_key_hold_the_examples() -> None:
    assert keyfile.decode_descriptor(read_golden("store.json")) == DESCRIPTOR
    assert keyfile.encode_descriptor(DESCRIPTOR) == read_golden("store.json")
    assert keyfile.decode_box_key(read_golden("box.key")) == BOX_KEY
    assert keyfile.encode_box_key(BOX_KEY) == read_golden("box.key")


def changed(data: bytes, **members: object) -> bytes:
    return json.dumps({**json.loads(data), **members}).encode()


def test_unknown_members_are_ignored() -> None:
    data = changed(keyfile.encode_descriptor(DESCRIPTOR), later="x")
    assert keyfile.decode_descriptor(data) == DESCRIPTOR


def test_a_newer_store_asks_for_an_upgrade() -> None:
    data = changed(keyfile.encode_descriptor(DESCRIPTOR), format=3, created=None, store_id=0)
    with pytest.raises(HoldfastError, match=r"format 3.*upgrade") as caught:
        keyfile.decode_descriptor(data)
    assert not isinstance(caught.value, IntegrityError)


def test_a_store_of_an_older_format_is_refused_not_misread() -> None:
    data = changed(keyfile.encode_descriptor(DESCRIPTOR), format=1)
    with pytest.raises(HoldfastError, match=r"format 1 of before 1\.0") as caught:
        keyfile.decode_descriptor(data)
    assert not isinstance(caught.value, IntegrityError)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        *[("format", 0), ("format", "1"), ("format", True), ("store_id", "00"), ("store_id", None)],
        *[("store_id", "G" * 32), ("created", "yesterday"), ("created", 1)],
    ],
)
def test_a_damaged_descriptor_is_refused(member: str, value: object) -> None:
    with pytest.raises(IntegrityError, match=f"'{member}'"):
        keyfile.decode_descriptor(changed(keyfile.encode_descriptor(DESCRIPTOR), **{member: value}))


@pytest.mark.parametrize(
    "members",
    [
        *[{"format": 2}, {"kind": "tpm"}, {"kind": "box"}, {"salt": "00"}, {"sealed": "00" * 47}],
        *[{"kdf": None}, {"kdf": {"name": "hkdf-sha256"}}, {"kdf": {"name": "argon2"}}],
        *[{"kdf": {"name": "scrypt", "n": n, "r": 8, "p": 1}} for n in (0, 1, 3, -2, 2**21, 2.0)],
        *[{"kdf": {"name": "scrypt", "n": 2, "r": r, "p": 1}} for r in (0, 17, True)],
        *[{"kdf": {"name": "scrypt", "n": 2, "r": 1, "p": p}} for p in (0, 5, None)],
    ],
)
def test_a_wrap_beyond_the_limits_is_refused(members: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match=r"^key wrap: "):
        keyfile.decode_wrap(changed(keyfile.encode_wrap(example_wrap("passphrase")), **members))


def test_a_huge_key_file_is_refused() -> None:
    data = keyfile.encode_wrap(example_wrap("box")) + b" " * keyfile.FILE_MAX_BYTES
    with pytest.raises(IntegrityError, match="longer than"):
        keyfile.decode_wrap(data)


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 90, b"holdfast-box-key-v2:" + b"0" * 64, b"0" * 64, b"x" * 100000]
)
def test_a_damaged_box_key_is_refused_without_showing_it(data: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        keyfile.decode_box_key(data)
    assert "000" not in str(caught.value)


def test_a_box_key_may_lack_its_newline() -> None:
    assert keyfile.decode_box_key(keyfile.encode_box_key(BOX_KEY).strip()) == BOX_KEY


def test_mutated_key_files_raise_nothing_but_our_errors(seed: int) -> None:
    assert_survives(keyfile.decode_descriptor, keyfile.encode_descriptor(DESCRIPTOR), seed)
    for kind in keyfile.KINDS:
        assert_survives(keyfile.decode_wrap, keyfile.encode_wrap(example_wrap(kind)), seed)
    assert_survives(keyfile.decode_box_key, keyfile.encode_box_key(BOX_KEY), seed)


def test_a_descriptor_round_trips() -> None:
    other = StoreDescriptor(2, "ab" * 16, "2030-01-01T00:00:00Z")
    assert keyfile.decode_descriptor(keyfile.encode_descriptor(other)) == other
