"""The files of the index: the list of runs, the runs' names, the list of what is gone.

Owns docs/format/index.md but for the inside of a run. Whoever changes anything holds the lock of
the index. Garbage reads as nothing: all of this is derived data.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from appliance.base import durable

_FORMAT = 2
_NAME_BYTES = 32
# What reading a garbage `current.json` may raise; RecursionError and OverflowError come from json.
_MALFORMED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    OverflowError,
)


@dataclass
class Listing:
    """What `current.json` says."""

    runs: list[str] = field(default_factory=list)
    folders: dict[str, int] = field(default_factory=dict)
    gone: str = ""


class IndexFiles:
    """The files in the folder of the index."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current = folder / "current.json"

    def read(self) -> Listing:
        """What is listed; an empty listing when it cannot be read."""
        try:
            raw = json.loads(self._current.read_bytes())
            if raw["format"] != _FORMAT:
                return Listing()
            folders = {str(key): int(value) for key, value in raw["folders"].items()}
            runs = [Path(str(name)).name for name in raw["runs"]]
            return Listing(runs, folders, Path(str(raw["gone"])).name)
        except _MALFORMED:
            return Listing()

    def write(self, listing: Listing) -> None:
        """Replace the listing, durably."""
        text = json.dumps(
            {
                "format": _FORMAT,
                "runs": listing.runs,
                "folders": listing.folders,
                "gone": listing.gone,
            }
        )
        durable.write_file(self._current, text.encode())

    def version(self) -> tuple[int, int] | None:
        """Something that differs after each change of the listing; None without one."""
        try:
            status = self._current.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def remove_unlisted(self, listing: Listing) -> None:
        """Remove every file that `listing` does not name."""
        named = {*listing.runs, listing.gone, self._current.name}
        for path in self._folder.iterdir():
            if path.name not in named:
                with contextlib.suppress(OSError):
                    path.unlink()

    # ---- runs ----

    def write_run(self, write: Callable[[int], object]) -> str:
        """A new durable run, filled by `write`; gives its name."""
        name = f"{secrets.token_hex(8)}.run"
        with durable.open_durably(self._folder / name) as descriptor:
            write(descriptor)
        return name

    def use_run(self, name: str, use: Callable[[int], object]) -> None:
        """Call `use` with a descriptor of the run. Raises OSError or ValueError without one."""
        descriptor = os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            use(descriptor)
        finally:
            os.close(descriptor)

    def remove_runs(self, names: Iterable[str]) -> None:
        """Remove runs that are not listed any more; who has them open keeps them."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    # ---- containers that are gone, though runs name them ----

    def read_gone(self, name: str) -> set[bytes]:
        """The containers listed in file `name`, none for "". Raises OSError or ValueError."""
        if not name:
            return set()
        data = (self._folder / name).read_bytes()
        names, digest = data[:-_NAME_BYTES], data[-_NAME_BYTES:]
        if hashlib.sha256(names).digest() != digest:
            raise ValueError(f"{name} is damaged")
        return {names[at : at + _NAME_BYTES] for at in range(0, len(names), _NAME_BYTES)}

    def write_gone(self, names: set[bytes]) -> str:
        """A new durable file that lists `names`; gives its own name, "" for none."""
        if not names:
            return ""
        name = f"{secrets.token_hex(8)}.gone"
        data = b"".join(sorted(names))
        durable.write_file(self._folder / name, data + hashlib.sha256(data).digest())
        return name
