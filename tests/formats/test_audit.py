"""The bytes of the audit log, as docs/format/audit.md says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from appliance.base.errors import IntegrityError
from appliance.formats.audit import (
    GENESIS,
    AccessMark,
    AuditEntry,
    chain_digest,
    decode_entry,
    decode_mark,
    encode_entry,
    encode_mark,
)

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "audit.jsonl"
ENTRIES = (
    AuditEntry(1, "2026-03-01T12:00:00Z", "ann", "192.0.2.7", "login", "", "done", "password"),
    AuditEntry(2, "2026-03-01T12:00:01Z", "", "::1", "run", 'a"\n\u202eé', "refused", ""),
)


def test_the_golden_log_is_what_is_written() -> None:
    lines, digest = [], GENESIS
    for entry in ENTRIES:
        digest = chain_digest(digest, encode_entry(entry))
        lines.append(f"{digest} {encode_entry(entry).decode('ascii')}\n")
    assert "".join(lines) == GOLDEN.read_text()


def test_the_golden_log_is_read_as_the_page_says() -> None:
    previous = bytes(32)
    for line, entry in zip(GOLDEN.read_text().splitlines(), ENTRIES, strict=True):
        digest, text = line.split(" ", 1)
        previous = hashlib.sha256(previous + text.encode("ascii")).digest()
        assert previous.hex() == digest
        assert decode_entry(text.encode()) == entry


def test_a_mark_comes_back() -> None:
    mark = AccessMark("2026-03-01T12:00:00Z", 7, "ab" * 32)
    assert decode_mark(encode_mark(mark)) == mark
    assert json.loads(encode_mark(mark))["kind"] == "access"


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"number":0}', encode_entry(ENTRIES[0]).replace(b'"ann"', b"7")],
)
def test_what_is_no_entry_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_entry(data)


@pytest.mark.parametrize("digest", ["", "AB" * 32, "ab" * 31, "zz" * 32])
def test_a_mark_without_a_digest_is_refused(digest: str) -> None:
    with pytest.raises(IntegrityError):
        decode_mark(encode_mark(AccessMark("2026-03-01T12:00:00Z", 7, digest)))
