"""What machines are called today (docs/format/record.md). Owns the JSON of that record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from appliance.base.errors import IntegrityError, UsageError
from appliance.formats.names import parse_machine_name
from appliance.formats.record import decode_fields, encode_fields

Names = Mapping[str, Sequence[str]]
"""First name of a machine -> its later names, the last of which is that of today."""


def encode_names(names: Names) -> bytes:
    """The plaintext of the record."""
    return encode_fields("names", {"names": {one: list(names[one]) for one in sorted(names)}})


def decode_names(data: bytes) -> dict[str, tuple[str, ...]]:
    """Read what `encode_names` wrote. Raises IntegrityError."""
    fields = decode_fields("names", data).fields("names")
    found: dict[str, tuple[str, ...]] = {}
    taken: set[str] = set()
    for first in fields.names():
        later = tuple(map(str, fields.items(first)))
        try:
            is_name = all(parse_machine_name(name) == name for name in (first, *later))
        except UsageError:
            is_name = False
        if not later or not is_name:
            raise fields.fault(first, "names of a machine")
        own = {first, *later}
        if own & taken:
            raise IntegrityError("names: two machines have one name")
        taken |= own
        found[first] = later
    return found
