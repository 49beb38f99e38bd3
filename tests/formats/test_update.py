"""The update file and the notes of releases, byte for byte as docs/format/update.md has them."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import pytest

from appliance.base.errors import IntegrityError
from appliance.formats.update import (
    Event,
    Trial,
    decode_header,
    decode_history,
    decode_trial,
    encode_header,
    encode_history,
    encode_trial,
    join_head,
    read_head,
    signed_bytes,
    version_key,
)
from appliance.keys.release_keys import name_key, verify_signature
from tests.formats.examples import mutate, read_golden

TRIAL = Trial("1.2.0", "1.1.0", "2026-11-21T09:30:00Z", 3, 180)
EVENT = Event("2026-11-21T09:31:00Z", "1.2.0", "1.1.0", "running", "2026-11-21T09:30:00Z")


def test_the_golden_update_is_read_written_again_and_verified() -> None:
    data, public = read_golden("release.update"), read_golden("release-key.pub.pem")
    head = read_head(io.BytesIO(data))
    assert (head.header.version, head.header.follows) == ("1.2.0", "1.0")
    assert head.header.formats == {"store": 2}
    assert encode_header(head.header) == head.data
    assert join_head(head.data, head.signature) == data[: head.size_bytes]
    assert head.header.key == name_key(public) == "56475aa75463474c"
    assert len(data) == head.size_bytes + head.header.payload_bytes
    verify_signature(public, signed_bytes(head.data), head.signature)


@pytest.mark.parametrize(
    "members",
    [
        {"format": 2},
        {"version": "1"},
        {"version": "1.2.3.4.5"},
        {"version": "01.2"},
        {"version": "1.2/../../etc"},
        {"version": "1.2\n"},
        {"version": "1.٣"},
        {"follows": ""},
        {"machine": "../x"},
        {"built": "yesterday"},
        {"notes": "x" * 4001},
        {"formats": {"store": "2"}},
        {"formats": 2},
        {"payload_bytes": 0},
        {"payload_bytes": 1 << 40},
        {"tree_files": -1},
        {"payload_sha256": "00"},
        {"key": "xx" * 8},
    ],
)
def test_a_header_that_is_not_one_is_refused(members: dict[str, Any]) -> None:
    good = json.loads(read_head(io.BytesIO(read_golden("release.update"))).data)
    with pytest.raises(IntegrityError):
        decode_header(json.dumps({**good, **members}).encode())


def test_garbage_is_refused_and_nothing_else_is_raised(seed: int) -> None:
    data, dice = read_golden("release.update"), random.Random(seed)
    public = read_golden("release-key.pub.pem")
    for _ in range(300):
        mutant = mutate(data, dice)
        try:
            head = read_head(io.BytesIO(mutant))
            verify_signature(public, signed_bytes(head.data), head.signature)
        except IntegrityError:
            continue
        assert mutant[: head.size_bytes] == data[: head.size_bytes]


def test_versions_are_compared_by_their_numbers() -> None:
    ordered = ["0.1", "0.1.1", "0.2.0", "0.10.0", "1.0.0.1", "1.0.1", "10.0"]
    keys = [version_key(one) for one in ordered]
    assert keys == sorted(set(keys))
    assert version_key("1.2") == version_key("1.2.0.0")


def test_notes_of_releases_are_read_back() -> None:
    assert decode_trial(encode_trial(TRIAL)) == TRIAL
    assert json.loads(encode_trial(TRIAL)) == {
        "version": "1.2.0",
        "previous": "1.1.0",
        "began": "2026-11-21T09:30:00Z",
        "tries_left": 3,
        "ready_within_s": 180,
    }
    assert decode_history(encode_history([EVENT] * 105)) == [EVENT] * 100
    for data in (b"", b"{}", b"[]", encode_trial(TRIAL)[:-1], b'{"events": [{}]}'):
        with pytest.raises(IntegrityError):
            decode_trial(data)
        with pytest.raises(IntegrityError):
            decode_history(data)
