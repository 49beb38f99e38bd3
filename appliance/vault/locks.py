"""Keeping what lives in a vault locked: extended before a point is published, and as time passes.

Owns when a lock is too short. A point is immutable until the earliest lock among everything that it
needs. Locks are extended to the full time when two thirds of it are left at a point's publication,
and in small groups at each sync when one third is left, so that requests are spread over the days:
objects, and the statements that lead to them. What is said of points follows when the last group
is extended.
Nothing is called immutable here unless the canary has just shown that locks hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError
from appliance.catalog.vault_ledger import Held, VaultLedger
from appliance.formats.names import format_time, parse_time
from appliance.vault.bucket import Bucket, TransientError
from appliance.vault.object_lock import probe_lock
from appliance.vault.streams import for_each

PROOF = "lock_proof"
_STATEMENTS = "statement locks"
_PROOF_DAYS = 7
_WIDTH = 16
# How many objects one sync extends beyond those of the points that it publishes.
_SWEEP_MAX = 5_000


class Locks:
    """The locks of one vault; without `lock_days` there are none and nothing is done."""

    def __init__(self, bucket: Bucket, ledger: VaultLedger, clock: Clock, lock_days: int) -> None:
        self._bucket = bucket
        self._ledger = ledger
        self._clock = clock
        self._time = timedelta(days=lock_days)
        self.extended = 0
        self.findings: list[str] = []

    async def prove(self) -> None:
        """See whether locks hold, if that was not seen lately. What is wrong becomes a finding."""
        if not self._time:
            return
        proved = parse_time(str(self._ledger.note(PROOF)))
        if proved is not None and self._now() - proved < timedelta(days=_PROOF_DAYS):
            return
        verdict = await probe_lock(self._bucket)
        self._ledger.set_note(PROOF, format_time(self._now()) if verdict.holds else None)
        if not verdict.holds:
            self.findings.append(f"nothing in the vault is immutable: {verdict.reason}")

    async def hold(self, numbers: Iterable[int]) -> int:
        """Let these objects be locked for two thirds of the time or more.

        Gives until when all of them are, in seconds since the epoch; 0 without locks.
        """
        if not self._time:
            return 0
        least_s = (self._now() + self._time * 2 / 3).timestamp()
        numbers = list(numbers)
        await self._extend(held for held in self._ledger.objects(numbers) if held.until_s < least_s)
        return min((held.until_s for held in self._ledger.objects(numbers)), default=0)

    async def sweep(self, statements: Iterable[str] = ()) -> None:
        """Extend what has less than a third left; what ran out already is a finding.

        `statements`: keys of those that count now.
        """
        if not self._time:
            return
        now = self._now()
        soon_s = int((now + self._time / 3).timestamp())
        due = self._ledger.locked_below(soon_s, _SWEEP_MAX)
        known = _statement_locks(self._ledger)
        stated = {key: known.get(key, 0) for key in statements}
        untils = [*(held.until_s for held in due), *stated.values()]
        late = sum(0 < until_s < now.timestamp() for until_s in untils)
        if late:
            self.findings.append(f"the locks of {late} objects had run out before this sync")
        try:
            await self._extend(due)
            if due:
                self._ledger.raise_points()
            await self._extend_statements(key for key, at_s in stated.items() if at_s < soon_s)
        except TransientError:
            raise
        except HoldfastError as error:
            self.findings.append(f"locks could not be extended: {error}")

    async def _extend(self, due: Iterable[Held]) -> None:
        until = self._now() + self._time

        async def extend(held: Held) -> None:
            await self._bucket.lock(held.key, until)
            self._ledger.set_until(held.name, int(until.timestamp()))
            self.extended += 1

        await for_each(due, extend, _WIDTH)

    async def _extend_statements(self, keys: Iterable[str]) -> None:
        until = self._now() + self._time

        async def extend(key: str) -> None:
            await self._bucket.lock(key, until)
            note_statement(self._ledger, key, until)
            self.extended += 1

        await for_each(keys, extend, _WIDTH)

    def _now(self) -> datetime:
        return self._clock.now().astimezone(UTC).replace(microsecond=0)


def note_statement(ledger: VaultLedger, key: str, until: datetime | None) -> None:
    """The vault keeps the statement `key` locked until then; those it follows count no more."""
    if until is not None:
        folder = key.rpartition("/")[0]
        known = _statement_locks(ledger)
        followed = {one for one in known if one.rpartition("/")[0] == folder}
        for one in followed - {key}:
            ledger.note_lock(one, known[one])
        kept = {one: at_s for one, at_s in known.items() if one not in followed}
        ledger.set_note(_STATEMENTS, kept | {key: int(until.timestamp())})


def _statement_locks(ledger: VaultLedger) -> dict[str, int]:
    """Key -> until when a statement is locked, in seconds since the epoch."""
    return dict(ledger.note(_STATEMENTS) or {})
