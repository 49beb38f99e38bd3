"""SMART READ DATA and READ THRESHOLDS of ATA disks: the attributes (ATA8-ACS 7.52, SFF-8035i).

Owns their layout, the vendor's packed raw values, and when an attribute counts as failed. Never
judges a disk by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from appliance.formats.ata_names import ATTRIBUTES, RawFormat, name_attribute
from appliance.formats.page_bytes import has_checksum, read_le, require_bytes

DATA_BYTES = 512
_FIRST, _ENTRY_BYTES, _ENTRIES = 2, 12, 30
_TEMPERATURES = (194, 190)
_PLAUSIBLE_HOURS = 0xFFFFFF
Failure = Literal["", "now", "past"]


@dataclass(frozen=True)
class Attribute:
    """One row. `threshold` is None where the disk names none for this attribute."""

    number: int
    name: str
    flags: int
    value: int
    worst: int
    raw: int
    threshold: int | None

    @property
    def when_failed(self) -> Failure:
        """By the disk's own threshold; a threshold of 0 always passes."""
        if not self.threshold:
            return ""
        if self.value <= self.threshold:
            return "now"
        return "past" if self.worst <= self.threshold else ""

    @property
    def is_prefailure(self) -> bool:
        """Whether a failed attribute announces the end of the disk, not its age."""
        return bool(self.flags & 1)

    @property
    def raw_text(self) -> str:
        """The raw value as people read it, packed values apart."""
        return format_raw(self.raw, ATTRIBUTES[self.number].raw if self.is_known else "raw48")

    @property
    def is_known(self) -> bool:
        """Whether the number has a name."""
        return self.number in ATTRIBUTES

    @property
    def count(self) -> int:
        """The counter in the raw value, without what makers pack into its upper bytes."""
        raw_format = ATTRIBUTES[self.number].raw if self.is_known else "raw48"
        if self.number == 188:  # three counters of 16 bits, the lowest counts all time-outs
            return self.raw & 0xFFFF
        if raw_format in ("raw16", "average"):
            return self.raw & 0xFFFF
        if raw_format == "raw24":
            return self.raw & 0xFFFFFF
        return self.raw & 0xFF if raw_format == "temperature" else self.raw


@dataclass(frozen=True)
class SmartData:
    """The data page, with the thresholds."""

    revision: int
    attributes: tuple[Attribute, ...]
    offline_status: int
    self_test_status: int
    offline_seconds: int
    offline_capability: int
    smart_capability: int
    error_log_capability: int
    short_minutes: int
    extended_minutes: int
    conveyance_minutes: int
    has_good_checksum: bool

    def find(self, number: int) -> Attribute | None:
        """The first attribute of that number."""
        return next((item for item in self.attributes if item.number == number), None)

    @property
    def temperature_c(self) -> int | None:
        """The present temperature; None where no attribute gives a plausible one."""
        for number in _TEMPERATURES:
            attribute = self.find(number)
            if attribute is not None and 0 < attribute.raw & 0xFF < 128:
                return attribute.raw & 0xFF
        return None

    @property
    def power_on_hours(self) -> int | None:
        """None where the counter is missing or cannot be one of hours."""
        attribute = self.find(9)
        hours = attribute.raw & 0xFFFFFFFF if attribute else None
        return hours if hours is not None and hours <= _PLAUSIBLE_HOURS else None

    @property
    def power_cycles(self) -> int | None:
        """None where the counter is missing or implausible."""
        attribute = self.find(12)
        return attribute.raw if attribute and attribute.raw <= _PLAUSIBLE_HOURS else None


def parse_smart_data(
    page: bytes, thresholds_page: bytes = b"", rotation_rpm: int | None = None
) -> SmartData:
    """Read both pages; without thresholds no attribute has failed. Raises IntegrityError."""
    require_bytes(page, DATA_BYTES, "SMART data")
    thresholds = _parse_thresholds(thresholds_page)
    attributes = []
    for index in range(_ENTRIES):
        at = _FIRST + index * _ENTRY_BYTES
        if page[at] == 0:
            continue
        attributes.append(
            Attribute(
                number=page[at],
                name=name_attribute(page[at], rotation_rpm),
                flags=read_le(page, at + 1, 2),
                value=page[at + 3],
                worst=page[at + 4],
                raw=read_le(page, at + 5, 6),
                threshold=_find_threshold(thresholds, index, page[at]),
            )
        )
    extended = page[373]
    if extended == 0xFF and read_le(page, 375, 2) not in (0, 0xFFFF):
        extended = read_le(page, 375, 2)
    return SmartData(
        revision=read_le(page, 0, 2),
        attributes=tuple(attributes),
        offline_status=page[362],
        self_test_status=page[363],
        offline_seconds=read_le(page, 364, 2),
        offline_capability=page[367],
        smart_capability=read_le(page, 368, 2),
        error_log_capability=page[370],
        short_minutes=page[372],
        extended_minutes=extended,
        conveyance_minutes=page[374],
        has_good_checksum=has_checksum(page)
        and (not thresholds_page or has_checksum(thresholds_page)),
    )


def _parse_thresholds(page: bytes) -> list[tuple[int, int]]:
    starts = range(_FIRST, _FIRST + _ENTRIES * _ENTRY_BYTES, _ENTRY_BYTES)
    return [(page[at], page[at + 1]) for at in starts if at + 1 < len(page)]


def _find_threshold(thresholds: list[tuple[int, int]], index: int, number: int) -> int | None:
    """Normally at the same index as the attribute; some disks sort them otherwise."""
    if index < len(thresholds) and thresholds[index][0] == number:
        return thresholds[index][1]
    return next((value for found, value in thresholds if found == number), None)


def format_raw(raw: int, raw_format: RawFormat) -> str:
    """Six bytes of a maker's own, taken apart."""
    words = [raw >> shift & 0xFFFF for shift in (0, 16, 32)]
    if raw_format == "raw16":
        return f"{words[0]}" + (f" ({words[2]} {words[1]})" if words[1] or words[2] else "")
    if raw_format == "average":
        return f"{words[0]}" + (f" (Average {words[1]})" if words[1] else "")
    if raw_format == "raw24":
        high = [raw >> shift & 0xFF for shift in (40, 32, 24)]
        return f"{raw & 0xFFFFFF}" + (f" ({high[0]} {high[1]} {high[2]})" if any(high) else "")
    return _format_temperature(raw) if raw_format == "temperature" else str(raw)


def _format_temperature(raw: int) -> str:
    """The present one, and the lowest and highest where a maker packs them in one known way."""
    octets = [raw >> shift & 0xFF for shift in range(0, 48, 8)]
    words = [raw >> shift & 0xFFFF for shift in (0, 16, 32)]
    now = _signed(octets[0])
    kinds = [_classify_word(word) for word in words]
    found = None
    suffix = ""
    if not words[2]:
        if not words[1] and kinds[0]:
            return str(now)
        if kinds[0]:
            found = _order(now, octets[2], octets[3])
        if found is None and not octets[3]:
            found = _order(now, octets[1], octets[2])
    elif kinds[0]:
        if kinds[0] & kinds[1] & kinds[2]:
            found = _order(now, octets[2], octets[4])
        if found is None and words[2] < 0x7FFF:
            found = _order(now, octets[2], octets[3])
            if found is not None and found[1] < 40:
                found = None
            suffix = f" #{words[2]}"
    if found is None:
        return f"{octets[0]} ({' '.join(str(octet) for octet in octets[:0:-1])})"
    return f"{now} (Min/Max {found[0]}/{found[1]}{suffix})"


def _signed(octet: int) -> int:
    return octet - 256 if octet >= 128 else octet


def _classify_word(word: int) -> int:
    """Bit 0: may be a signed byte, bit 4: may be a signed word of a plausible temperature."""
    if word <= 0x7F:
        return 0x11
    if word <= 0xFF:
        return 0x01
    return 0x10 if word >= 0xFF80 else 0


def _order(now: int, one: int, other: int) -> tuple[int, int] | None:
    low, high = sorted((_signed(one), _signed(other)))
    if -60 <= low <= now <= high <= 120 and not (low == -1 and high <= 0):
        return low, high
    return None
