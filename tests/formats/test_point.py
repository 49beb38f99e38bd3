"""Manifest and header of a recovery point."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import IntegrityError
from appliance.formats import point
from appliance.formats.page import EXTENT_BYTES, Reference, extent_count, root_level
from appliance.formats.point import Disk
from tests.formats.examples import ID_A, ID_C, MANIFEST, assert_survives, read_golden

numbers = st.integers(0, 2**63 - 1)
ids = st.binary(min_size=32, max_size=32)


@st.composite
def disks(draw: st.DrawFn) -> Disk:
    size_bytes = draw(numbers)
    starts = draw(st.lists(st.integers(0, size_bytes - 1), max_size=4)) if size_bytes else []
    return Disk(
        size_bytes,
        root_level(extent_count(size_bytes)),
        draw(st.none() | st.builds(Reference, ids, ids, st.integers(0, 2**32 - 1))),
        draw(st.text()),
        draw(st.sampled_from(point.DISK_KINDS)),
        draw(st.booleans()),
        tuple((start, draw(st.integers(1, size_bytes - start))) for start in starts),
    )


@given(st.lists(disks(), max_size=3), numbers, st.floats(0, 1e9), st.text())
def test_manifests_read_what_they_write(
    found: list[Disk], number: int, seconds: float, program: str
) -> None:
    manifest = replace(
        MANIFEST,
        disks=tuple(found),
        new_bytes=number,
        seconds=seconds,
        program=program,
        base=None,
    )
    assert point.decode_manifest(point.encode_manifest(manifest)) == manifest


def test_the_golden_manifest_holds_the_example() -> None:
    golden = read_golden("manifest.json.zst")
    assert point.decode_manifest(golden) == MANIFEST
    # Another zstd may compress to other bytes; the JSON inside is fixed.
    ours = point.encode_manifest(MANIFEST)
    assert zstandard.decompress(ours) == zstandard.decompress(golden)


def test_a_manifest_states_its_size() -> None:
    frame = point.encode_manifest(MANIFEST)
    assert zstandard.frame_content_size(frame) == len(zstandard.decompress(frame))


def test_the_state_follows_from_the_gaps() -> None:
    assert MANIFEST.state == "incomplete"
    assert replace(MANIFEST, disks=MANIFEST.disks[1:]).state == "complete"
    assert str(MANIFEST.name) == "Büro 1@2026-11-21T09:30:00Z"


def test_a_source_that_is_no_unicode_survives() -> None:
    disk = replace(MANIFEST.disks[1], source="/srv/\udcff.raw")
    manifest = replace(MANIFEST, disks=(disk,))
    assert point.decode_manifest(point.encode_manifest(manifest)) == manifest


def manifest_with(change: Callable[[Any], object]) -> bytes:
    value = json.loads(zstandard.decompress(point.encode_manifest(MANIFEST)))
    change(value)
    return zstandard.compress(json.dumps(value).encode())


def test_an_unknown_member_is_ignored() -> None:
    assert point.decode_manifest(manifest_with(lambda value: value.update(new=1))) == MANIFEST


@pytest.mark.parametrize(
    ("member", "value"),
    [
        *[("format", 2), ("format", True), ("format", None), ("machine", "a/b"), ("machine", 1)],
        *[("machine", "Bu\u0308ro"), ("time", "2026-11-21"), ("time", 0), ("state", "complete")],
        *[
            ("state", "good"),
            ("disks", {}),
            ("disks", [1]),
            ("new_bytes", -1),
            ("new_bytes", 2**63),
        ],
        *[("stored_bytes", 1.0), ("read_bytes", "1"), ("seconds", -0.1), ("seconds", float("nan"))],
        *[("seconds", True), ("base", "web1@latest"), ("base", 1), ("program", None)],
    ],
)
def test_a_wrong_member_is_named(member: str, value: object) -> None:
    with pytest.raises(IntegrityError, match=f"'{member}'|not valid JSON|disk 0"):
        point.decode_manifest(manifest_with(lambda found: found.update({member: value})))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        *[("size_bytes", -1), ("size_bytes", 2**63), ("size_bytes", None), ("size_bytes", 2**40)],
        *[("level", 0), ("level", 2), ("kind", "tape"), ("kind", []), ("source", None)],
        *[("inconsistent", 0), ("gaps", None), ("gaps", [1]), ("gaps", [[1]]), ("gaps", [[0, 0]])],
        *[
            ("gaps", [[-1, 1]]),
            ("gaps", [[0, 2**40]]),
            ("gaps", [[2**20, 12582907]]),
            ("gaps", [[True, 1]]),
            ("gaps", [[1, 1.0]]),
        ],
        *[("root", {}), ("root", [1]), ("root", {"id": ID_A.hex(), "ordinal": 1})],
        ("root", {"id": ID_A.hex(), "container": ID_C.hex(), "ordinal": 2**32}),
        ("root", {"id": "xx", "container": ID_C.hex(), "ordinal": 1}),
    ],
)
def test_a_wrong_member_of_a_disk_is_named(member: str, value: object) -> None:
    with pytest.raises(IntegrityError, match="disk 0"):
        point.decode_manifest(
            manifest_with(lambda found: found["disks"][0].update({member: value}))
        )


def test_a_bomb_is_refused_by_its_stated_size() -> None:
    bomb = zstandard.compress(bytes(point.MANIFEST_MAX_BYTES + 1))
    with pytest.raises(IntegrityError, match="64 MiB"):
        point.decode_manifest(bomb)


def test_a_frame_without_a_size_is_refused() -> None:
    text = zstandard.decompress(point.encode_manifest(MANIFEST))
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(text)
    with pytest.raises(IntegrityError, match="states no size"):
        point.decode_manifest(frame)


@pytest.mark.parametrize("tail", [b"\0", b"junk", point.encode_manifest(MANIFEST)])
def test_bytes_after_the_frame_are_refused(tail: bytes) -> None:
    with pytest.raises(IntegrityError):
        point.decode_manifest(point.encode_manifest(MANIFEST) + tail)


def test_a_root_must_name_its_container() -> None:
    disk = Disk(EXTENT_BYTES, 1, Reference(ID_A, None, 0), "", "image", False, ())
    with pytest.raises(IntegrityError, match="container"):
        point.encode_manifest(replace(MANIFEST, disks=(disk,)))


def test_the_header_is_that_of_the_format_page() -> None:
    salt = bytes(range(16))
    header = point.encode_header(salt)
    assert header == b"HFPOINT1\x01\x00" + bytes(6) + salt
    assert point.decode_header(header + b"rest") == salt


@pytest.mark.parametrize(("at", "value"), [(0, b"X"), (8, b"\2"), (15, b"\1")])
def test_a_wrong_header_is_refused(at: int, value: bytes) -> None:
    header = point.encode_header(bytes(16))
    with pytest.raises(IntegrityError):
        point.decode_header(header[:at] + value + header[at + 1 :])


def test_a_short_header_or_salt_is_refused() -> None:
    with pytest.raises(IntegrityError):
        point.decode_header(point.encode_header(bytes(16))[:-1])
    with pytest.raises(IntegrityError):
        point.encode_header(bytes(15))


def test_mutated_manifests_raise_nothing_but_our_errors(seed: int) -> None:
    text = zstandard.decompress(point.encode_manifest(MANIFEST))
    assert_survives(point.decode_manifest, point.encode_manifest(MANIFEST), seed)
    assert_survives(lambda data: point.decode_manifest(zstandard.compress(data)), text, seed)


def test_mutated_headers_raise_nothing_but_our_errors(seed: int) -> None:
    assert_survives(point.decode_header, point.encode_header(bytes(range(16))), seed)
