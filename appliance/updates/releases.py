"""The releases on a box, side by side, and which of them runs (docs/format/update.md).

Owns the folder ROOT: `releases/VERSION`, the link `current`, the trial of a release that has yet to
show that it becomes ready, and the history. A crash at any point leaves `current` on a whole
release. What starts the one that is current, and goes back, is `image/launcher.py`: it belongs to
no release, so that none can spoil it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import appliance
from appliance.base.clock import Clock
from appliance.base.durable import (
    fsync_directory,
    make_directory,
    move_file,
    named_os_errors,
    remove_file,
    remove_temporaries,
    switch_link,
    write_file,
)
from appliance.base.errors import HoldfastError, IntegrityError, NoSpaceError, UsageError
from appliance.base.locks import FileLock
from appliance.base.text import size
from appliance.formats.names import format_time
from appliance.formats.update import (
    NOTE_MAX_BYTES,
    Event,
    Trial,
    UpdateHeader,
    decode_history,
    decode_trial,
    encode_history,
    encode_trial,
    read_head,
    version_key,
)
from appliance.keys.release_keys import name_key

TRIES = 3
"""So often a new release is started before the one before it takes over again."""
READY_WITHIN_S = 180
KEPT = 3
"""Releases that stay: the newest ones, and always the one that runs."""
HEAD = "head"
TREE = "lib"
_KEY_MAX_BYTES = 4096
_BLOCK_BYTES = 4096  # what the end of each file may waste
SPARE_BYTES = 64 << 20
"""Left free: the filesystem often is the one with logs and databases."""
_BUSY = "another update is being installed: 'holdfast update status' shows how it stands"


@dataclass(frozen=True)
class Release:
    """One that is installed whole; `header` is None where it came without one that can be read."""

    version: str
    header: UpdateHeader | None


def find_root(program: Path | None = None) -> Path | None:
    """Where the releases are of which this program is one; None for a checkout.

    `program` is the folder of the package, as `ROOT/releases/VERSION/lib/appliance`.
    """
    folder = (program or Path(appliance.__file__).parent).resolve()
    root = folder.parents[3] if len(folder.parents) > 3 else folder
    is_release = folder == root / "releases" / folder.parent.parent.name / TREE / folder.name
    return root if is_release and (root / "current").is_symlink() else None


class Releases:
    """The releases below one ROOT."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root
        self._clock = clock

    @property
    def incoming(self) -> Path:
        """What is being unpacked or removed; nothing in it counts."""
        return self.root / "incoming"

    @property
    def uploaded(self) -> Path:
        """Where a file that was uploaded waits."""
        return self.root / "uploads" / "uploaded.update"

    def lock(self) -> FileLock:
        """Whoever changes anything holds it. Raises BusyError on entering."""
        return FileLock(self.root / "lock", wait=False, busy=_BUSY)

    def now(self) -> str:
        """The time, as notes have it."""
        return format_time(self._clock.now().replace(microsecond=0))

    # ---- what there is ----

    def current(self) -> str | None:
        """The version that the next start runs; None before the first one is installed."""
        try:
            return (self.root / "current").readlink().name
        except FileNotFoundError:
            return None

    def folder(self, version: str) -> Path:
        """Where a release is, or would be."""
        version_key(version)  # never another name
        return self.root / "releases" / version

    def installed(self) -> list[Release]:
        """All that are installed, newest first."""
        try:
            names = os.listdir(self.root / "releases")
        except FileNotFoundError:
            return []
        found = [name for name in names if _is_version(name)]
        return [
            Release(name, self._read_header(name))
            for name in sorted(found, key=version_key, reverse=True)
        ]

    def find(self, version: str) -> Release | None:
        """The release of that version, if it is installed."""
        return next((one for one in self.installed() if one.version == version), None)

    def before(self, version: str) -> Release | None:
        """What `back` goes to: the newest one older than `version` that was ready before.

        Where the history was lost nobody knows which those are: then the newest older one.
        """
        older = [one for one in self.installed() if version_key(one.version) < version_key(version)]
        ran = {event.version for event in self.history() if event.outcome == "running"}
        return next((one for one in older if one.version in ran or not ran), None)

    def trusted(self) -> Mapping[str, bytes]:
        """The public keys in PEM whose owners may sign, by fingerprint.

        A file that is no key is passed over: it lets nobody in.
        """
        keys = {}
        for path in sorted((self.root / "trusted").glob("*.pem")):
            try:
                with path.open("rb") as file:
                    data = file.read(_KEY_MAX_BYTES)
                keys[name_key(data)] = data
            except (OSError, UsageError):
                continue
        return keys

    def read_trial(self) -> Trial | None:
        """The release that is on trial, or was; None if there is none. Raises IntegrityError."""
        data = self._read_note("trial.json")
        return None if data is None else decode_trial(data)

    def history(self) -> list[Event]:
        """What became of releases, oldest first; empty where nobody can tell any more."""
        data = self._read_note("history.json")
        try:
            return [] if data is None else decode_history(data)
        except IntegrityError:
            return []

    def uploaded_bytes(self) -> int | None:
        """The size of the file that was uploaded, if there is one."""
        try:
            return self.uploaded.stat().st_size
        except OSError:
            return None

    # ---- changes: the caller holds the lock ----

    def sweep(self) -> None:
        """Remove what a killed installation left."""
        make_directory(self.incoming)
        remove_temporaries(self.root)
        for path in self.incoming.iterdir():
            _remove_tree(path)

    def enter(self, tree: Path, version: str) -> None:
        """Let the unpacked `tree` be a release, durably; it is whole from its first moment on."""
        make_directory(self.root / "releases", 0o755)
        move_file(tree, self.folder(version))

    def begin_trial(self, version: str, previous: str) -> Trial:
        """Let the next start run `version`, on trial, durably."""
        trial = Trial(version, previous, self.now(), TRIES, READY_WITHIN_S)
        write_file(self.root / "trial.json", encode_trial(trial))
        self.switch(version)
        return trial

    def switch(self, version: str) -> None:
        """Let the next start run `version`, durably."""
        switch_link(self.root / "current", f"releases/{version}")

    def end_trial(self, event: Event | None) -> None:
        """Write down what became of it, durably, and forget the trial. Done twice, it is once."""
        if event is not None:
            events = self.history()
            if not any(replace(one, time=event.time) == event for one in events):
                write_file(self.root / "history.json", encode_history([*events, event]))
        remove_file(self.root / "trial.json")

    def note(self, event: Event) -> None:
        """Write down what became of a release that needed no trial, durably."""
        write_file(self.root / "history.json", encode_history([*self.history(), event]))

    def thin_out(self) -> list[str]:
        """Remove releases that nobody would go back to; gives their versions."""
        current = self.current()
        kept = {one.version for one in self.installed()[:KEPT]}
        before = None if current is None else self.before(current)
        kept |= {current or "", before.version if before else ""}
        gone = [one.version for one in self.installed() if one.version not in kept]
        for version in gone:
            away = self.incoming / f"old-{version}"
            move_file(self.folder(version), away)
            _remove_tree(away)
        return gone

    def forget_upload(self, chosen: Path | None) -> None:
        """Remove the uploaded file, durably, where it is what was installed."""
        if chosen is None or chosen == self.uploaded:
            remove_file(self.uploaded)

    def require_space(self, header: UpdateHeader) -> None:
        """Raises NoSpaceError unless the release fits, and something is left."""
        needed = header.tree_bytes + header.tree_files * _BLOCK_BYTES + SPARE_BYTES
        with named_os_errors(self.root):
            free = shutil.disk_usage(self.root).free
        if free < needed:
            raise NoSpaceError(
                f"{self.root} has {size(free)} free and needs {size(needed)}: remove what is not "
                "the box's there"
            )

    def _read_header(self, version: str) -> UpdateHeader | None:
        try:
            with (self.folder(version) / HEAD).open("rb") as file:
                return read_head(file).header
        except (OSError, HoldfastError):
            return None

    def _read_note(self, name: str) -> bytes | None:
        path = self.root / name
        try:
            with named_os_errors(path), path.open("rb") as file:
                return file.read(NOTE_MAX_BYTES + 1)
        except HoldfastError:
            if not path.exists():
                return None
            raise


def _is_version(name: str) -> bool:
    try:
        version_key(name)
    except IntegrityError:
        return False
    return True


def _remove_tree(path: Path) -> None:
    with named_os_errors(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        fsync_directory(path.parent)
