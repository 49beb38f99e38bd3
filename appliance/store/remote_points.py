"""Files of points that live in vaults: copies, so that points which left the box are still known.

Owns `vaults/NAME.points/MACHINE/TIME.point` below the store. A copy says that the point was in the
vault when the box last looked; whoever talks to the vault keeps them current. Owns as well the
marks `vaults/away/MACHINE/TIME.point` of points that the box lists and cannot give without a vault.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from appliance.base import durable
from appliance.store.layout import Layout

_FOLDER = "vaults"
_ENDING = ".points"
_POINT = ".point"
_AWAY = "away"


class RemotePoints:
    """The points in the vaults of one store. Keys are those of `points.PointFile`."""

    def __init__(self, layout: Layout) -> None:
        self._root = layout.root / _FOLDER

    def vaults(self) -> list[str]:
        """The vaults that have points, sorted."""
        paths = sorted(self._root.glob(f"*{_ENDING}"))
        return [path.name.removesuffix(_ENDING) for path in paths]

    def keys(self, vault: str, folder: str | None = None) -> Iterator[str]:
        """The keys of the points in a vault, or of one machine's folder there."""
        root = self._root / f"{vault}{_ENDING}"
        folders = [folder] if folder is not None else _list(root)
        for name in folders:
            for file in _list(root / name):
                if file.endswith(_POINT) and not file.startswith("."):
                    yield f"{name}/{file}"

    def where(self, key: str) -> list[str]:
        """The vaults that have this point."""
        return [vault for vault in self.vaults() if self.path(vault, key).exists()]

    def path(self, vault: str, key: str) -> Path:
        """Where the copy for a vault lies."""
        return self._root / f"{vault}{_ENDING}" / key

    def put(self, vault: str, key: str, data: bytes) -> None:
        """The vault has this point; durable on return."""
        path = self.path(vault, key)
        durable.make_directory(path.parent)
        durable.write_file(path, data)

    def remove(self, vault: str, key: str) -> None:
        """The vault does not have this point any more; durable on return."""
        durable.remove_file(self.path(vault, key))

    def forget(self, vault: str) -> None:
        """Nothing is known of a vault any more."""
        for key in list(self.keys(vault)):
            self.remove(vault, key)

    # ---- points of the box whose data is not all here ----

    def is_away(self, key: str) -> bool:
        """Whether data of this point of the box may be in vaults only."""
        return (self._root / _AWAY / key).exists()

    def note_away(self, key: str) -> None:
        """Data of this point is in vaults only; durable on return."""
        path = self._root / _AWAY / key
        durable.make_directory(path.parent)
        durable.write_file(path, b"")

    def note_here(self, key: str) -> None:
        """All data of this point is on the box now; durable on return."""
        if self.is_away(key):
            durable.remove_file(self._root / _AWAY / key)


def _list(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
