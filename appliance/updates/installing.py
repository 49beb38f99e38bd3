"""An update is checked, installed, and taken back.

Owns the rules of what may follow what, and the order of steps: verified, unpacked aside, durable,
named, on trial. Whoever calls sees to running jobs, and that the daemon starts anew.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from appliance.base.durable import fsync_directory, named_os_errors, write_file
from appliance.base.errors import BusyError, IntegrityError, NotFoundError, UsageError
from appliance.base.progress import Progress
from appliance.formats.fields import Fields
from appliance.formats.keyfile import FILE_MAX_BYTES
from appliance.formats.update import Event, UpdateHeader, version_key
from appliance.updates.package import Package, open_package
from appliance.updates.releases import HEAD, TREE, Release, Releases

STORE = "store"
AwaitIdle = Callable[[], None]
"""Returns when no job runs that a restart would end; raises BusyError naming those that do."""


def check_update(
    releases: Releases, state: Path, path: Path, progress: Progress
) -> tuple[UpdateHeader, str]:
    """What the update in `path` is, verified to its last byte, and why it cannot be installed.

    The reason is empty where it can. Raises AccessError, IntegrityError, UsageError for a file that
    nobody should trust.
    """
    with open_package(path, releases.trusted()) as package:
        package.verify_payload(progress)
        return package.header, find_refusal(releases, state, package.header)


def find_refusal(releases: Releases, state: Path, header: UpdateHeader) -> str:
    """Why an update may not follow what is current now; empty if it may."""
    name = f"the update {header.version}"
    machine, python = os.uname().machine, sys.implementation.cache_tag
    if (header.machine, header.python) != (machine, python):
        return f"{name} is for {header.machine} and {header.python}, this is {machine} and {python}"
    current = releases.current()
    if current is not None:
        if version_key(header.version) <= version_key(current):
            return (
                f"{name} is not newer than {current}, which is installed: 'holdfast update back' "
                "goes back to what ran before"
            )
        if version_key(current) < version_key(header.follows):
            return (
                f"{name} follows {header.follows} or newer, this is {current}: install that first"
            )
    return _find_format(releases, state, header)


def _find_format(releases: Releases, state: Path, header: UpdateHeader) -> str:
    """Nothing may be written by now that the release cannot read."""
    current = releases.find(releases.current() or "")
    written = dict(current.header.formats) if current and current.header else {}
    written[STORE] = _read_store_format(state)
    for what, number in sorted(written.items()):
        known = header.formats.get(what, 0)
        if known < number:
            return f"{what} is of format {number} here, and {header.version} knows only {known}"
    return ""


def _read_store_format(state: Path) -> int:
    """The number in the store's descriptor, also one that this program does not know; 0 without."""
    path = state / "store" / "store.json"
    try:
        with named_os_errors(path), path.open("rb") as file:
            data = file.read(FILE_MAX_BYTES + 1)
    except NotFoundError:
        return 0
    return Fields.parse(data, str(path), FILE_MAX_BYTES).integer("format", 1)


def install_update(
    releases: Releases,
    state: Path,
    path: Path,
    progress: Progress,
    await_idle: AwaitIdle = lambda: None,
) -> UpdateHeader:
    """Let the next start run the update in `path`, on trial; durable on return.

    Raises UsageError if it may not follow what runs, BusyError while another one is on trial, and
    as `check_update`. What is not the first release of a box goes back by itself.
    """
    await_idle()
    with releases.lock():
        _refuse_trial(releases)
        with open_package(path, releases.trusted()) as package:
            header = package.header
            if refusal := find_refusal(releases, state, header):
                raise UsageError(refusal)
            package.verify_payload(progress)
            _place(releases, package, progress)
        previous = releases.current()
        if previous is None:
            releases.switch(header.version)
            releases.note(Event(releases.now(), header.version, "", "running", ""))
            return header
        await_idle()
        releases.begin_trial(header.version, previous)
        releases.thin_out()
        return header


def _place(releases: Releases, package: Package, progress: Progress) -> None:
    """Unpack a release beside the others, whole and durable under its name on return."""
    version = package.header.version
    releases.sweep()
    kept = releases.folder(version) / HEAD
    if kept.exists():
        if kept.read_bytes() != package.head_bytes:
            raise UsageError(
                f"another build of {version} is installed: build it under a new number"
            )
        return
    releases.require_space(package.header)
    folder = releases.incoming / version
    with named_os_errors(folder):
        folder.mkdir(mode=0o755)
    package.unpack(folder / TREE, progress)
    write_file(folder / HEAD, package.head_bytes, 0o644)
    fsync_directory(releases.incoming)
    releases.enter(folder, version)


def go_back(
    releases: Releases, state: Path, await_idle: AwaitIdle = lambda: None
) -> tuple[str, str]:
    """Let the next start run the release before this one, on trial: (what ran, what will).

    Durable on return. Raises NotFoundError if there is none, UsageError if it could not read what
    was written since.
    """
    await_idle()
    with releases.lock():
        current = releases.current()
        target = None if current is None else releases.before(current)
        if current is None or target is None:
            raise NotFoundError("there is no release before this one on the box")
        _refuse_unreadable(releases, state, target)
        releases.begin_trial(target.version, current)
        return current, target.version


def _refuse_unreadable(releases: Releases, state: Path, target: Release) -> None:
    if target.header is None:
        raise IntegrityError(
            f"{releases.folder(target.version) / HEAD} is damaged: install it anew"
        )
    if refusal := _find_format(releases, state, target.header):
        raise UsageError(refusal)


def _refuse_trial(releases: Releases) -> None:
    trial = releases.read_trial()
    if trial is not None and trial.version == releases.current() and trial.tries_left:
        raise BusyError(
            f"{trial.version} has yet to show that it becomes ready: 'holdfast update status' "
            "tells when it has"
        )
