"""When vaults are brought up to date: soon after something changed, and at once when a disk fails.

They are pruned once a day: that frees what nothing needs, and merges what is small.

Owns the moments. What goes first within a vault, the sync decides: the machine furthest behind.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol

from appliance.catalog.schedule_log import Answer
from appliance.formats.vault_settings import VaultSettings
from appliance.formats.window import Window
from appliance.jobs.schedule import Scene, Task
from appliance.store.layout import Layout
from appliance.vault.travel import find_change_s

PRIORITY, PRIORITY_AT_STAKE, PRIORITY_PRUNE = 40, 5, 90
SETTLE = timedelta(minutes=5)
"""Backups that end close together go in one sync."""
AGAIN = timedelta(minutes=15)
"""After a sync that left something, or failed."""
AT_LEAST = timedelta(days=1)
"""A vault is looked at so often although nothing changed here: it may have lost something."""
_DONE = ("done",)


class Vaults(Protocol):
    """The vaults of the box."""

    def names(self) -> Iterator[str]:
        """Their names."""

    def get(self, name: str) -> VaultSettings:
        """One of them."""


class VaultSyncs:
    """The syncs of one box."""

    def __init__(
        self,
        vaults: Vaults,
        layout: Layout,
        zone: Callable[[], tzinfo],
        is_at_stake: Callable[[], bool],
    ) -> None:
        """`is_at_stake`: whether a disk on which the store lies is about to fail."""
        self._vaults = vaults
        self._layout = layout
        self._zone = zone
        self._is_at_stake = is_at_stake

    def list_new(self, now: datetime, answers: Mapping[str, Answer]) -> Iterator[Answer]:
        """A vault nobody has heard of is looked at at once."""
        for name in self._vaults.names():
            for subject in (name_sync(name), name_full_sync(name)):
                if subject not in answers:
                    yield Answer(subject, now - AT_LEAST)
            if name_prune(name) not in answers:
                yield Answer(name_prune(name), now)

    def list_due(self, now: datetime, scene: Scene) -> Iterator[Task]:
        """The syncs that should begin now."""
        changed = find_change(self._layout)
        at_stake = self._is_at_stake()
        local = now.astimezone(self._zone())
        for name in self._vaults.names():
            windows = [Window.parse(text) for text in self._vaults.get(name).windows]
            if windows and not any(window.is_open(local) for window in windows):
                continue
            usual, full = name_sync(name), name_full_sync(name)
            if scene.is_living(usual) or scene.is_living(full):
                continue
            last = min(scene.answers[usual].answered, now)
            if at_stake and last >= changed and scene.states[usual] in _DONE:
                # The newest points are safe: now those that they supersede.
                before = scene.answers[full]
                is_due = before.answered < changed or scene.states[full] not in _DONE
                if is_due and now - before.answered >= SETTLE:
                    arguments = {"name": name, "all": True}
                    yield Task(PRIORITY_AT_STAKE, last, full, "vault sync", arguments)
            elif _is_due(last, changed, now, scene.states[usual], at_stake=at_stake):
                priority = PRIORITY_AT_STAKE if at_stake else PRIORITY
                yield Task(priority, last, usual, "vault sync", {"name": name})
            elif not at_stake and self._is_prune_due(name, now, scene):
                subject = name_prune(name)
                answered = min(scene.answers[subject].answered, now)
                yield Task(PRIORITY_PRUNE, answered, subject, "vault prune", {"name": name})

    @staticmethod
    def _is_prune_due(vault: str, now: datetime, scene: Scene) -> bool:
        """Once a day, when no backup waits or runs and everything is in the vault."""
        subject = name_prune(vault)
        if scene.is_busy or scene.is_living(subject):
            return False
        is_synced = scene.states[name_sync(vault)] in _DONE
        return is_synced and now - min(scene.answers[subject].answered, now) >= AT_LEAST


def find_change(layout: Layout) -> datetime:
    """When points came or went last, by the times of their folders, or settings changed."""
    with os.scandir(layout.points) as folders:
        times = [entry.stat().st_mtime for entry in folders]
    return datetime.fromtimestamp(max(*times, find_change_s(layout), 0.0), UTC)


def name_sync(vault: str) -> str:
    """What the schedule remembers a vault's syncs by."""
    return f"vault-sync {vault}"


def name_full_sync(vault: str) -> str:
    """The same for syncs that send superseded points, too."""
    return f"vault-sync-all {vault}"


def name_prune(vault: str) -> str:
    """The same for its pruning."""
    return f"vault-prune {vault}"


def _is_due(
    last: datetime, changed: datetime, now: datetime, state: str, *, at_stake: bool
) -> bool:
    waited = now - last
    if changed > last and (waited >= SETTLE or at_stake):
        return True
    if state not in _DONE and waited >= AGAIN:
        return True
    return waited >= AT_LEAST
