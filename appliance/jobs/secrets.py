"""Secrets that a job needs: private files below STATE/run/secrets, gone when it has ended."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from appliance.base.durable import make_directory, write_file


class SecretFiles:
    """The files of all jobs that have not ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, contents: Mapping[str, str], key: str | None) -> dict[str, str]:
        """Write each to a private file; gives their paths by the same names.

        The same `key` gives the same paths.
        """
        if not contents:
            return {}
        token = secrets.token_bytes(32) if key is None else hashlib.sha256(key.encode()).digest()
        place = self._folder / token.hex()
        make_directory(place)
        for name, content in contents.items():
            write_file(place / name, content.encode())
        return {name: str(place / name) for name in contents}

    def holds(self, path: object) -> bool:
        """Whether `path` is such a file, there or gone."""
        return isinstance(path, str) and Path(path).parent.parent == self._folder

    def drop(self, path: object) -> None:
        """Remove one, if it is such a file."""
        if isinstance(path, str) and self.holds(path):
            shutil.rmtree(Path(path).parent, ignore_errors=True)

    def drop_all_but(self, kept: set[str]) -> None:
        """Remove those that no job needs any more."""
        if self._folder.is_dir():
            for place in self._folder.iterdir():
                if not any(Path(path).parent == place for path in kept):
                    shutil.rmtree(place, ignore_errors=True)
