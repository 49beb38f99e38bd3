"""The changed list that a backup takes instead of reading everything: docs/format/changed.md.

Owns the text; it never looks at the disks the ranges are of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from appliance.base.errors import IntegrityError, UsageError
from appliance.formats.fields import Fields, parse_json

DISK_MAX = 65535
END_MAX_BYTES = 2**63

_LINE = re.compile(r"([0-9]{1,19})[ \t]+([0-9]{1,19})(?:[ \t]+([0-9]{1,5}))?")


class ChangedRange(NamedTuple):
    """`length` bytes from `offset` of disk `disk`, counted from 0."""

    offset: int
    length: int
    disk: int


def parse_changed(text: str) -> list[ChangedRange]:
    """The ranges of `text` by disk and offset; touching ones are merged, empty ones dropped.

    Raises UsageError naming the line (or the entry, in JSON) that is wrong.
    """
    is_json = text.lstrip().startswith("[")
    return _merge(list(_read_json(text) if is_json else _read_lines(text)))


def _read_lines(text: str) -> Iterator[ChangedRange]:
    for number, line in enumerate(text.split("\n"), 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        found = _LINE.fullmatch(content)
        if found is None:
            raise UsageError(
                f"changed list, line {number}: not 'OFFSET LENGTH' or 'OFFSET LENGTH DISK' in bytes"
            )
        offset, length, disk = found.groups(default="0")
        yield _check(ChangedRange(int(offset), int(length), int(disk)), f"line {number}")


def _read_json(text: str) -> Iterator[ChangedRange]:
    try:
        entries = parse_json(text)
    except ValueError as error:
        raise UsageError(f"changed list is not valid JSON: {error}") from error
    assert isinstance(entries, list), "JSON that begins with [ is a list"
    for number, entry in enumerate(entries, 1):
        try:
            fields = Fields(entry, "range")
            disk = 0 if fields.get("disk") is None else fields.integer("disk")
            found = ChangedRange(fields.integer("offset"), fields.integer("length"), disk)
        except IntegrityError as error:
            raise UsageError(f"changed list, entry {number}: {error}") from error
        yield _check(found, f"entry {number}")


def _check(found: ChangedRange, place: str) -> ChangedRange:
    if found.offset + found.length > END_MAX_BYTES:
        raise UsageError(f"changed list, {place}: the range ends beyond 2^63 bytes")
    if found.disk > DISK_MAX:
        raise UsageError(f"changed list, {place}: disk {found.disk} is more than {DISK_MAX}")
    return found


def _merge(ranges: list[ChangedRange]) -> list[ChangedRange]:
    merged: list[ChangedRange] = []
    for offset, length, disk in sorted(ranges, key=lambda found: (found.disk, found.offset)):
        if not length:
            continue
        last = merged[-1] if merged else None
        if last is not None and last.disk == disk and offset <= last.offset + last.length:
            end = max(last.offset + last.length, offset + length)
            merged[-1] = ChangedRange(last.offset, end - last.offset, disk)
        else:
            merged.append(ChangedRange(offset, length, disk))
    return merged
