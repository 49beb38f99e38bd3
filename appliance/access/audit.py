"""The audit log: every login, every write, every refusal, in a chain of hashes.

Owns what an entry looks like and how the chain is checked. Entries are never changed or removed.
Whoever can write the file could make a whole new chain; that shows against the head that is sealed
in the store now and then (`seal`), which only the master key can write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from appliance.base.clock import Clock
from appliance.base.errors import IntegrityError
from appliance.catalog.access_file import AccessFile, AuditRow
from appliance.formats.audit import (
    GENESIS,
    MARK_PLACE,
    AccessMark,
    AuditEntry,
    chain_digest,
    decode_entry,
    decode_mark,
    encode_entry,
    encode_mark,
)
from appliance.formats.names import format_time
from appliance.formats.redaction import hide_secrets

DONE, REFUSED, FAILED = "done", "refused", "failed"
_PAGE = 1000
_TEXT_MAX = 1000


class SealedRecords(Protocol):
    """Sealed records of the store, as `store.records` gives them."""

    def read(self, place: str) -> bytes | None:
        """The plaintext at `place`."""

    def write(self, place: str, plain: bytes) -> None:
        """Put a record at `place`, durably."""


@dataclass(frozen=True)
class Verdict:
    """What a check of the log came to; `faults` are sentences, none when all is well."""

    entries: int
    faults: tuple[str, ...]
    sealed_number: int | None


class Audit:
    """The log of one box. Any thread may ask."""

    def __init__(self, file: AccessFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    def note(
        self,
        who: str,
        action: str,
        *,
        target: str = "",
        outcome: str = DONE,
        detail: str | Mapping[str, object] = "",
        address: str = "",
    ) -> AuditEntry:
        """Write one entry, durably on return. Members of `detail` that name secrets are hidden."""
        text = detail if isinstance(detail, str) else hide_secrets(detail)
        with self._file.transaction():
            number, previous = self._head()
            entry = AuditEntry(
                number + 1,
                self._now(),
                *(part[:_TEXT_MAX] for part in (who, address, action, target, outcome, text)),
            )
            data = encode_entry(entry)
            row = AuditRow(entry.number, data.decode(), chain_digest(previous, data))
            self._file.audit.add(row)
        return entry

    def _now(self) -> str:
        return format_time(self._clock.now().replace(microsecond=0))

    def _head(self) -> tuple[int, str]:
        newest = self._file.audit.page(1 << 62, 1, newest_first=True)
        return (newest[0].number, newest[0].digest) if newest else (0, GENESIS)

    def newest(self, *, before: int | None = None, limit: int = 100) -> list[AuditEntry]:
        """At most `limit` entries, newest first, with numbers below `before`."""
        rows = self._file.audit.page(before or 1 << 62, limit, newest_first=True)
        return [decode_entry(row.entry.encode()) for row in rows]

    def seal(self, records: SealedRecords) -> None:
        """Seal that there is an administrator, and the head of the log, durably on return.

        A log that is shorter than what is sealed, or another one, is not sealed: that must show.
        """
        old = self.read_mark(records)
        number, digest = self._head()
        if old is not None:
            kept = self._file.audit.get(old.number) if old.number else None
            if old.number and (kept is None or kept.digest != old.digest):
                return
            if (old.number, old.digest) == (number, digest):
                return
        since = self._now() if old is None else old.since
        records.write(MARK_PLACE, encode_mark(AccessMark(since, number, digest)))

    def read_mark(self, records: SealedRecords) -> AccessMark | None:
        """What was sealed last. Raises IntegrityError if it is damaged."""
        data = records.read(MARK_PLACE)
        return None if data is None else decode_mark(data)

    def reseal(self, records: SealedRecords) -> None:
        """Take the log as it is for the right one from now on: after a lost table was replaced."""
        number, digest = self._head()
        mark = AccessMark(self._now(), number, digest)
        records.write(MARK_PLACE, encode_mark(mark))

    def verify(self, records: SealedRecords | None) -> Verdict:
        """Read the whole log and find what was changed, taken out or cut off.

        Without `records` (a locked box) the chain alone is checked: then an end that was cut off
        cannot show.
        """
        faults: list[str] = []
        previous, expected = GENESIS, 1
        mark = None
        if records is not None:
            try:
                mark = self.read_mark(records)
            except IntegrityError as error:
                faults.append(f"the sealed head cannot be read: {error}")
        after = 0
        while rows := self._file.audit.page(after, _PAGE):
            for row in rows:
                faults += _check_row(row, expected, previous)
                if mark is not None and row.number == mark.number and row.digest != mark.digest:
                    faults.append(f"entry {row.number} is not the one that was sealed")
                previous, expected = row.digest, row.number + 1
            after = rows[-1].number
        if mark is not None and mark.number >= expected:
            faults.append(f"entries {expected} to {mark.number} were cut off the end")
        return Verdict(expected - 1, tuple(faults), None if mark is None else mark.number)


def _check_row(row: AuditRow, expected: int, previous: str) -> list[str]:
    faults = []
    if row.number != expected:
        faults.append(f"entries {expected} to {row.number - 1} are missing")
    data = row.entry.encode("ascii", "replace")
    try:
        if decode_entry(data).number != row.number:
            faults.append(f"entry {row.number} stands in another's place")
    except IntegrityError as error:
        faults.append(f"entry {row.number} cannot be read: {error}")
    if chain_digest(previous, data) != row.digest:
        faults.append(f"entry {row.number} was changed, or what stood before it")
    return faults
