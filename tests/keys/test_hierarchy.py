"""Derived keys and sealed points, held against another crypto library."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance.base.errors import IntegrityError
from appliance.formats.point import decode_manifest, encode_manifest
from appliance.keys.hierarchy import MasterKey
from tests.formats.examples import (
    MANIFEST,
    MASTER_SECRET,
    STORE_ID,
    assert_survives,
    read_golden,
)

MASTER = MasterKey(MASTER_SECRET, STORE_ID)


def derive(salt: bytes, info: str) -> bytes:
    """The derivation of the format page, by another library."""
    return HKDF(SHA256(), 32, salt, info.encode()).derive(MASTER_SECRET)


def test_derived_keys_are_those_of_the_format_page() -> None:
    assert MASTER.chunk_id_key == derive(STORE_ID, "holdfast chunk id v1")
    assert MASTER.page_id_key == derive(STORE_ID, "holdfast page id v1")
    assert MASTER.cut_key == derive(STORE_ID, "holdfast cut v1")
    assert MASTER.extent_tag_key == derive(STORE_ID, "holdfast extent tag v1")
    assert MASTER.machine_key == derive(STORE_ID, "holdfast machine v1")
    assert MASTER.container_key(b"c" * 16) == derive(b"c" * 16, "holdfast container v1")
    assert MASTER.delta_key(b"c" * 16) == derive(b"c" * 16, "holdfast delta v1")
    assert MASTER.sketch_key == derive(STORE_ID, "holdfast sketch v1")


def test_a_machine_directory_is_keyed_and_the_same_for_equal_names() -> None:
    key = derive(STORE_ID, "holdfast machine v1")
    digest = hmac.digest(key, "B\u00fcro".encode(), hashlib.sha256)
    assert MASTER.machine_directory("B\u00fcro") == digest[:16].hex()
    assert MASTER.machine_directory("Bu\u0308ro") == MASTER.machine_directory("B\u00fcro")


def test_no_key_shows_in_the_repr() -> None:
    assert MASTER.chunk_id_key
    assert repr(MASTER) == f"MasterKey(store_id={STORE_ID!r})"


@pytest.mark.parametrize(("secret", "store_id"), [(b"", STORE_ID), (MASTER_SECRET, b"x")])
def test_a_master_key_of_another_size_is_a_mistake(secret: bytes, store_id: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        MasterKey(secret, store_id)


def test_a_sealed_point_opens_and_each_sealing_has_its_own_salt() -> None:
    plain = encode_manifest(MANIFEST)
    one, two = MASTER.seal_point(plain), MASTER.seal_point(plain)
    assert MASTER.open_point(one) == MASTER.open_point(two) == plain
    assert one[16:32] != two[16:32]
    assert one[32:] != two[32:]


def test_the_golden_point_opens_here_and_by_another_library() -> None:
    golden = read_golden("point.point")
    assert decode_manifest(MASTER.open_point(golden)) == MANIFEST
    key = derive(golden[16:32], "holdfast point v1")
    plain = AESGCM(key).decrypt(bytes(12), golden[32:], golden[:32])
    assert decode_manifest(plain) == MANIFEST


def test_every_flipped_bit_of_a_point_is_noticed() -> None:
    golden = bytearray(read_golden("point.point"))
    for at in range(len(golden)):
        golden[at] ^= 1 << at % 8
        with pytest.raises(IntegrityError, match=r"^point: "):
            MASTER.open_point(bytes(golden))
        golden[at] ^= 1 << at % 8


def test_a_point_of_another_store_or_key_is_refused() -> None:
    with pytest.raises(IntegrityError, match=r"^point: sealed bytes do not authenticate"):
        MasterKey(b"x" * 32, STORE_ID).open_point(read_golden("point.point"))


@pytest.mark.parametrize("length", [0, 31, 32, 47, 48])
def test_a_cut_point_is_refused(length: int) -> None:
    with pytest.raises(IntegrityError, match=r"^point: "):
        MASTER.open_point(read_golden("point.point")[:length])


def test_mutated_points_raise_nothing_but_our_errors(seed: int) -> None:
    assert_survives(MASTER.open_point, read_golden("point.point"), seed)


PLACE = "holds/0123-20261121T093000Z.hold"


def test_the_golden_record_opens_here_and_by_another_library() -> None:
    golden = read_golden("hold.record")
    assert MASTER.open_record(PLACE, golden) == read_golden("hold.json")
    key = derive(golden[16:32], "holdfast record v1")
    plain = AESGCM(key).decrypt(bytes(12), golden[32:], golden[:32] + PLACE.encode())
    assert plain == read_golden("hold.json")


def test_a_record_opens_only_at_its_place_and_unchanged() -> None:
    sealed = MASTER.seal_record(PLACE, b"plain")
    assert MASTER.open_record(PLACE, sealed) == b"plain"
    assert MASTER.seal_record(PLACE, b"plain")[16:32] != sealed[16:32]
    with pytest.raises(IntegrityError, match="do not authenticate"):
        MASTER.open_record(PLACE.replace("093000", "093001"), sealed)
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(IntegrityError):
            MASTER.open_record(PLACE, changed)
        with pytest.raises(IntegrityError):
            MASTER.open_record(PLACE, sealed[:at])
