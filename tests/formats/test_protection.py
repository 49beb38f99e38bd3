"""Records of machines and of what they are promised: golden files, ranges, garbage."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import IntegrityError, UsageError
from appliance.formats import protection
from appliance.formats.protection import Cron, Hourly, MachineRecord, Protection, Times
from tests.formats.examples import assert_survives, read_golden

PROMISE = Protection(
    machine="web1",
    since="2026-11-21T09:30:00Z",
    preset="office-server",
    schedule=(
        Hourly(first_h=7, last_h=19, weekdays=("mon", "tue", "wed", "thu", "fri")),
        Times(at=("23:00",)),
    ),
    blackout=("mon-fri 08:00-09:00",),
    jitter_s=600,
    priority=30,
    vaults=("file1",),
    offsite_rpo_s=129600,
    drill=(Cron("0 3 * * 6#1"),),
    rpo_s=93600,
    rto_s=14400,
)
MACHINE = MachineRecord(
    machine="web1",
    state="paused",
    sources=("/dev/disk/by-id/ata-A", "/srv/b.raw"),
    since="2026-11-21T09:30:00Z",
    allow_inconsistent=True,
)
CODECS: list[tuple[str, Any, Callable[[Any], bytes], Callable[[bytes], Any]]] = [
    ("protection.json", PROMISE, protection.encode_protection, protection.decode_protection),
    ("machine.json", MACHINE, protection.encode_machine, protection.decode_machine),
]


@pytest.mark.parametrize(("golden", "value", "encode", "decode"), CODECS)
def test_the_golden_files_are_what_the_page_describes(
    golden: str, value: Any, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> None:
    assert decode(read_golden(golden)) == value
    assert encode(value) == read_golden(golden)


def test_what_could_not_be_read_again_is_not_written() -> None:
    """A target of half a minute made every list of machines fail until somebody deleted it."""
    for change in ({"rto_s": 36}, {"rpo_s": 59}, {"jitter_s": 10**9}, {"preset": "x" * 65}):
        with pytest.raises(UsageError, match="cannot be kept"):
            protection.encode_protection(msgspec.structs.replace(PROMISE, **change))
    for sources in (("/a\n/b",), ("",), ("/a",) * 65):
        with pytest.raises(UsageError, match="cannot be kept"):
            protection.encode_machine(msgspec.structs.replace(MACHINE, sources=sources))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"format": 2}, "format"),
        ({"kind": "policy"}, "kind"),
        ({"machine": "a/b"}, "machine name"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-13-21T09:30:00Z"}, "since"),
        ({"priority": 101}, "priority"),
        ({"jitter_s": -1}, "jitter_s"),
        ({"rpo_s": 1}, "rpo_s"),
        ({"vaults": ["../x"]}, "vault's name"),
        ({"blackout": ["always"]}, "no window"),
        ({"schedule": [{"kind": "times", "at": ["24:00"]}]}, "at"),
        ({"schedule": [{"kind": "hourly", "first_h": 9, "last_h": 7}]}, "earlier to a later"),
        ({"schedule": [{"kind": "yearly"}]}, "kind"),
    ],
)
def test_a_protection_out_of_range_is_damage(change: dict[str, object], what: str) -> None:
    members = {**json.loads(read_golden("protection.json")), **change}
    with pytest.raises(IntegrityError, match=what):
        protection.decode_protection(json.dumps(members).encode())


@pytest.mark.parametrize(
    "change", [{"state": "gone"}, {"sources": ["a\nb"]}, {"sources": [""]}, {"machine": None}]
)
def test_a_machine_out_of_range_is_damage(change: dict[str, object]) -> None:
    members = {**json.loads(read_golden("machine.json")), **change}
    with pytest.raises(IntegrityError):
        protection.decode_machine(json.dumps(members).encode())


def test_unknown_members_are_ignored() -> None:
    members = {**json.loads(read_golden("protection.json")), "later": [1]}
    assert protection.decode_protection(json.dumps(members).encode()) == PROMISE


@given(st.binary(max_size=200))
def test_garbage_is_an_integrity_error(data: bytes) -> None:
    for decode in (protection.decode_protection, protection.decode_machine):
        with pytest.raises(IntegrityError):
            decode(data)


def test_a_line_break_in_a_damaged_word_makes_no_second_line() -> None:
    data = json.dumps(
        {**json.loads(read_golden("protection.json")), "schedule": [{"kind": "a\rb"}]}
    )
    with pytest.raises(IntegrityError) as caught:
        protection.decode_protection(data.encode())
    assert len(str(caught.value).splitlines()) == 1


def test_damaged_bytes_are_refused_or_read(seed: int) -> None:
    for _, value, encode, decode in CODECS:
        assert_survives(decode, encode(value), seed)
