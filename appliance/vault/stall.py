"""What work on a vault waits for, and since when: while it waits, and for `vault status`.

Owns when trouble is worth telling, and what becomes of it when it ends. Requests are repeated with
patience, one by one: without this nobody would learn for hours that none gets through. It decides
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.base.clock import Clock
from appliance.base.errors import Cancelled
from appliance.base.progress import Progress, Snapshot
from appliance.base.text import duration
from appliance.catalog.vault_ledger import VaultLedger
from appliance.formats.finding import Evidence, Finding
from appliance.formats.names import format_time, parse_time
from appliance.vault.traffic import Outcome, Request

_NOTE = "stall"
# A line hiccups all the time; what lasts so long somebody should see, and later be told.
_SHOWN_AFTER = timedelta(seconds=15)
_FINDING_AFTER = timedelta(minutes=30)
_CRITICAL_AFTER = timedelta(days=1)
_ANY = ""
_WRITING = ("PUT", "POST")


@dataclass(frozen=True)
class Stalled:
    """Since when no request of a kind gets through, and what the last one came to.

    Attributes:
        is_refused: the vault answers, and says no: to the credentials, the clock, or this box.
    """

    since: datetime
    reason: str
    is_refused: bool = False

    def to_json(self) -> dict[str, str]:
        """For `--json`."""
        return {"since": format_time(self.since), "reason": self.reason}


class Stall:
    """Listens to the requests to one vault. Belongs to its event loop."""

    def __init__(self, ledger: VaultLedger, clock: Clock, progress: Progress) -> None:
        self._ledger = ledger
        self._clock = clock
        self._progress = progress
        known = read_stall(ledger)
        # Kind of request -> since when none gets through. What lasts goes on from the last run.
        self._since: dict[str, datetime] = {} if known is None else {_ANY: known.since}
        self._told: Stalled | None = None
        self._before: Snapshot | None = None

    def note(self, request: Request) -> None:
        """A request ended."""
        if request.outcome is Outcome.REFUSED:
            return  # that is an answer, and no sign that others get through
        if request.outcome is Outcome.DONE:
            self._end(request.kind)
            return
        now = self._clock.now().replace(microsecond=0)
        began = now - timedelta(seconds=int(request.seconds))
        earliest = self._since.pop(_ANY, None)
        self._since.setdefault(request.kind, earliest or began)
        since = min(self._since.values())
        if now - since >= _SHOWN_AFTER:
            self._tell(Stalled(since, request.reason or str(request.outcome)))

    def _tell(self, stalled: Stalled) -> None:
        if stalled == self._told:
            return
        if self._told is None:
            self._before = self._progress.snapshot()
        self._told = stalled
        keep_stall(self._ledger, stalled)
        with suppress(Cancelled):  # whoever waits is told of that elsewhere
            self._progress.phase("waiting", about=_describe(stalled))

    def _end(self, kind: str) -> None:
        """A request of this kind got through."""
        begun = [kind, _ANY] if kind in _WRITING else [kind]
        if not [one for one in begun if self._since.pop(one, None)] or self._since:
            return
        self._told, before, self._before = None, self._before, None
        keep_stall(self._ledger, None)
        if before is not None:
            with suppress(Cancelled):
                self._progress.phase(before.phase, before.total, before.unit, about=before.about)
                self._progress.advance(before.done)


def read_stall(ledger: VaultLedger) -> Stalled | None:
    """What work on the vault waits for, or waited for when it ended."""
    found = ledger.note(_NOTE)
    since = parse_time(str(found["since"])) if found else None
    if since is None:
        return None
    return Stalled(since, str(found["reason"]), bool(found.get("refused")))


def keep_stall(ledger: VaultLedger, stalled: Stalled | None) -> None:
    """Remember it for others; None: nothing is waited for."""
    kept = None if stalled is None else stalled.to_json() | {"refused": stalled.is_refused}
    ledger.set_note(_NOTE, kept)


def note_failure(
    ledger: VaultLedger, now: datetime, reason: str, *, is_refused: bool = False
) -> Stalled:
    """The vault cannot be worked on at all, for this reason; since when, if that is known."""
    known = read_stall(ledger)
    since = now.replace(microsecond=0) if known is None else known.since
    stalled = Stalled(since, reason, is_refused)
    keep_stall(ledger, stalled)
    return stalled


def say_stall(stalled: Stalled) -> str:
    """In one line."""
    return f"waiting {_describe(stalled)}"


def _describe(stalled: Stalled) -> str:
    return f"since {stalled.since.astimezone():%Y-%m-%d %H:%M:%S}: {stalled.reason}"


def judge_stall(vault: str, stalled: Stalled | None, now: datetime) -> Iterator[Finding]:
    """A vault that has taken nothing for a while, or says no, which time does not mend."""
    if stalled is None:
        return
    waits_s = (now - stalled.since).total_seconds()
    if stalled.is_refused:
        yield _refusal(vault, stalled, now)
        return
    if now - stalled.since < _FINDING_AFTER:
        return
    yield Finding(
        subject=f"vault {vault}",
        rule="vault.stalled",
        severity="critical" if now - stalled.since >= _CRITICAL_AFTER else "warning",
        summary=f"nothing gets through for {duration(waits_s)}: {stalled.reason}",
        evidence=(Evidence("without an answer", ((now, round(waits_s / 60, 1)),), "min", "30"),),
        consequence="New points stay on this box alone.",
        action="See whether the line, the server and its space are as they should be: "
        f"'holdfast vault status --name {vault}'; what is due goes by itself when they are.",
        measure=float(int(waits_s // _CRITICAL_AFTER.total_seconds())),
    )


def _refusal(vault: str, stalled: Stalled, now: datetime) -> Finding:
    waits_s = (now - stalled.since).total_seconds()
    return Finding(
        subject=f"vault {vault}",
        rule="vault.refused",
        severity="critical" if now - stalled.since >= _CRITICAL_AFTER else "warning",
        summary=f"the vault refuses this box: {stalled.reason}",
        evidence=(Evidence("refused", ((now, round(waits_s / 60, 1)),), "min"),),
        consequence="New points stay on this box alone.",
        action="Do what the reason says; new credentials are given with "
        f"'holdfast vault set-credentials --name {vault} --credentials-file F'.",
        measure=float(int(waits_s // _CRITICAL_AFTER.total_seconds())),
    )
