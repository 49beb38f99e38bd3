"""Where the points of machines go, by what they are promised: what a sync of a vault asks."""

from __future__ import annotations

from appliance.base.errors import IntegrityError
from appliance.formats.protection import NOTHING, Protection
from appliance.policies.book import Book


class PromisedDestinations:
    """Machines are named by the folders of their points."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def is_wanted(self, folder: str, vault: str) -> bool:
        """Whether the points of a machine go to a vault; they do where its policy is damaged."""
        names = self._protection(folder).vaults
        return names is None or vault in names

    def target_s(self, folder: str) -> int | None:
        """How old a machine's newest point off site may be; None where the vault says."""
        return self._protection(folder).offsite_rpo_s

    def _protection(self, folder: str) -> Protection:
        try:
            return self._book.of_folder(folder)
        except IntegrityError:
            return NOTHING
