"""How far the setup of a box is, step by step: what is done, what this host cannot do, and why.

Owns which steps there are and what was skipped; both outlive a restart. What a step comes to is
looked up each time (`host_abilities`), never remembered: a step that was undone is open again. It
keeps no key: that a recovery key was shown to work is a note with the id of its store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from appliance.base.errors import AccessError, NotFoundError, UsageError
from appliance.catalog.access_file import AccessFile
from appliance.formats.finding import Finding

STEPS = ("admin", "time", "network", "disks", "store", "key", "vault", "notices", "machine")
"""In the order of the wizard. To become an old box, `store` opens a vault or data disks."""
_NEEDED = frozenset({"admin", "store"})
_SKIPPED, _WAY, _PROVEN = "setup_skipped", "setup_way", "key_proven"
_PATIENCE_DAYS = 7
Way = Literal["new", "old"]
State = Literal["done", "open", "skipped", "impossible"]


@dataclass(frozen=True)
class Fact:
    """What a step comes to on this host.

    Attributes:
        can: whether the box can do it here.
        reason: a word for why not, or what was found; pages translate it.
        text: the same as a sentence.
    """

    is_done: bool
    can: bool
    reason: str
    text: str


@dataclass(frozen=True)
class Step:
    """One step as the wizard shows it."""

    name: str
    state: State
    may_skip: bool
    reason: str
    text: str


class SetupSteps:
    """The steps of one box. Any thread may ask."""

    def __init__(
        self,
        file: AccessFile,
        facts: Mapping[str, Callable[[], Fact]],
        *,
        store_id: Callable[[], str | None],
        proves: Callable[[str], bool],
    ) -> None:
        """`facts`: for each step but `key`. `proves`: whether a text is the recovery key."""
        self._file = file
        self._facts = {**facts, "key": self._key}
        self._store_id = store_id
        self._proves = proves

    @property
    def way(self) -> Way:
        """Whether this becomes a new box, or an old one."""
        return "old" if self._file.setting(_WAY) == "old" else "new"

    def choose(self, way: Way) -> None:
        """Remember the first choice of the wizard, durably."""
        self._file.set_setting(_WAY, way)

    def look(self) -> list[Step]:
        """All steps in order. Looks at the host: not for the event loop."""
        skipped = self._skipped()
        return [self._look(name, skipped) for name in STEPS]

    def next(self) -> str | None:
        """The first step that waits for somebody; None when there is none."""
        return next((step.name for step in self.look() if step.state == "open"), None)

    def _look(self, name: str, skipped: frozenset[str]) -> Step:
        fact = self._facts[name]()
        state: State = "open"
        if fact.is_done:
            state = "done"
        elif name in skipped:
            state = "skipped"
        elif not fact.can:
            state = "impossible"
        return Step(name, state, name not in _NEEDED, fact.reason, fact.text)

    def skip(self, name: str) -> None:
        """Go on without a step, durably. Raises UsageError for one that is needed."""
        self._check(name)
        if name in _NEEDED:
            raise UsageError(f"the step '{name}' cannot be skipped", code="step-needed")
        self._file.set_setting(_SKIPPED, json.dumps(sorted(self._skipped() | {name})))

    def reopen(self, name: str) -> None:
        """Do a step after all, durably."""
        self._check(name)
        self._file.set_setting(_SKIPPED, json.dumps(sorted(self._skipped() - {name})))

    def confirm_recovery_key(self, text: str) -> None:
        """Somebody typed the key from the paper: proved against the store, noted durably.

        Raises AccessError if it does not open the store. The text is kept nowhere.
        """
        if not self._proves(text):
            raise AccessError(
                "this is not the recovery key: compare it with the paper", code="wrong-recovery-key"
            )
        self.note_key_proven()

    def note_key_proven(self) -> None:
        """Note, durably, that the recovery key of the store was shown to work."""
        self._file.set_setting(_PROVEN, self._store_id() or "")

    def findings(self, now: datetime, made: datetime | None) -> list[Finding]:
        """The recovery key of a store that was `made` earlier has not been shown to work."""
        fact = self._key()
        if fact.is_done or not fact.can or made is None:
            return []
        days = int((now - made).total_seconds() / 86400)
        return [
            Finding(
                "box",
                "box.recovery-key-unproven",
                "notice" if days < _PATIENCE_DAYS else "warning",
                "nobody has shown that the recovery key is at hand",
                (),
                "if this box is lost and the key is too, nothing can be restored",
                "type it once, in the page's Settings or by 'holdfast key check'; if it is lost, "
                "'holdfast key rotate recovery'",
                measure=float(max(0, days)),
            )
        ]

    def _key(self) -> Fact:
        store = self._store_id()
        if store is None:
            return Fact(False, False, "no-store", "make the store first: its key comes with it")
        if self._file.setting(_PROVEN) == store:
            return Fact(True, True, "proven", "the recovery key was typed and opens the store")
        return Fact(False, True, "unproven", "type the recovery key from the paper once")

    def _check(self, name: str) -> None:
        if name not in STEPS:
            raise NotFoundError(f"no step '{name}': {', '.join(STEPS)}")

    def _skipped(self) -> frozenset[str]:
        return frozenset(json.loads(self._file.setting(_SKIPPED, "[]")))
