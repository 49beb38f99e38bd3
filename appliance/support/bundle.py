"""The support bundle: one archive that tells how a box is, without its secrets and its data.

Owns what goes in: answers of commands that only look, logs of this product (never what a guest
printed), and versions. Everything passes through `formats.redaction`, piece by piece; what cannot
be found out is named, and does not stop the rest.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import platform
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError
from appliance.base.progress import Progress
from appliance.base.text import printable
from appliance.formats.fields import parse_json
from appliance.formats.names import format_time
from appliance.formats.redaction import hide_in, hide_in_text

LOOKS: tuple[tuple[str, ...], ...] = (
    ("status",),
    ("health", "--all"),
    ("disks",),
    ("array",),
    ("vault", "status"),
    ("policy", "show"),
    ("vms",),
    ("key", "list"),
    ("setup", "status"),
    ("users", "list"),
    ("tokens", "list"),
    ("certificates", "show"),
    ("audit", "list", "--limit", "1000"),
    ("audit", "verify"),
    ("jobs", "list"),
)
"""Commands that change nothing and whose answer holds no data of a machine."""
LOG_MAX_BYTES = 256 << 10
LOGS_MAX = 200
_GUESTS = "serial.log"  # what a guest printed belongs to whoever owns it
_HOST_FILES = ("/etc/os-release", "/proc/version", "/proc/mdstat", "/proc/meminfo", "/proc/mounts")

Ask = Callable[[Sequence[str]], str]
"""Runs a command with --json and gives what it printed. Raises HoldfastError."""


@dataclass(frozen=True)
class Bundle:
    """What is put together, for one box."""

    state: Path
    version: str
    clock: Clock
    ask: Ask

    def write(self, target: BinaryIO, progress: Progress) -> dict[str, str]:
        """Write the archive (tar.gz) to `target`; gives what could not be found out, and why.

        Its beginning is there at once: who waits for the bundle sees that it comes, however long
        the box that it tells of takes for its answers.
        """
        missing: dict[str, str] = {}
        progress.phase("gathering", total=len(LOOKS), unit="items")
        with (
            gzip.GzipFile(filename="", mode="wb", fileobj=target) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            self._add(archive, "versions.json", _encode(self._versions()))
            packed.flush()
            for words in LOOKS:
                progress.check()
                name = "-".join(word.strip("-") for word in words)
                try:
                    answer = parse_json(self.ask(words))
                except (HoldfastError, ValueError) as error:
                    missing[" ".join(words)] = hide_in_text(printable(str(error)))
                else:
                    self._add(archive, f"{name}.json", _encode(hide_in(answer)))
                progress.advance(1)
            for place in _HOST_FILES:
                self._add(archive, f"host{place}", _read_end(Path(place)))
            for path in self._logs():
                name = printable(path.relative_to(self.state).as_posix())
                self._add(archive, f"logs/{name}", _read_end(path))
            self._add(archive, "missing.json", _encode(missing))
        return missing

    def _logs(self) -> Iterator[Path]:
        """Logs of ours, newest first; links are not followed."""
        found: list[tuple[float, Path]] = []
        for folder, folders, names in os.walk(self.state):
            if Path(folder) == self.state:  # data, and what has secrets for content
                folders[:] = [name for name in folders if name not in ("store", "tls", "cache")]
            for name in names:
                path = Path(folder, name)
                if name.endswith(".log") and not name.endswith(_GUESTS) and not path.is_symlink():
                    found.append((path.lstat().st_mtime, path))
        for _, path in sorted(found, reverse=True)[:LOGS_MAX]:
            yield path

    def _versions(self) -> Mapping[str, object]:
        return {
            "holdfast": self.version,
            "python": platform.python_version(),
            "kernel": platform.release(),
            "architecture": platform.machine(),
            "made": format_time(self.clock.now().replace(microsecond=0)),
        }

    def _add(self, archive: tarfile.TarFile, name: str, data: bytes) -> None:
        entry = tarfile.TarInfo(f"holdfast-bundle/{name.lstrip('/')}")
        entry.size, entry.mode = len(data), 0o600
        entry.mtime = int(self.clock.now().timestamp())
        archive.addfile(entry, io.BytesIO(data))


def _encode(value: object) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=True).encode()


def _read_end(path: Path) -> bytes:
    """The end of a text file, from the beginning of a line, without secrets."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            # Files of /proc say that they are empty.
            begin = max(0, file.tell() - LOG_MAX_BYTES)
            file.seek(begin)
            data = file.read(LOG_MAX_BYTES)
    except OSError as error:
        return f"cannot be read: {error.strerror}\n".encode()
    if begin:  # half a line may be half a secret
        data = data.partition(b"\n")[2]
    return hide_in_text(data.decode("utf-8", "replace")).encode("utf-8", "replace")
