"""Which machines go to which vault, and how far they may be behind: asked of whoever knows."""

from __future__ import annotations

from typing import Protocol


class Destinations(Protocol):
    """Knows what machines are promised; they are named by the folders of their points."""

    def is_wanted(self, folder: str, vault: str) -> bool:
        """Whether the points of a machine go to a vault."""

    def target_s(self, folder: str) -> int | None:
        """How old a machine's newest point off site may be; None where the vault says."""
