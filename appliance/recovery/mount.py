"""FUSE mounts: serving one, starting one in the background, ending one, detaching dead ones.

Owns the processes that serve mounts. Never touches a mount that no note names (see `mount_note`),
nor one that is not of our kind.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from appliance.base import durable, process
from appliance.base.errors import (
    BusyError,
    HoldfastError,
    NotFoundError,
    UsageError,
)
from appliance.base.progress import Progress
from appliance.recovery.filesystem import PointFilesystem
from appliance.recovery.mount_note import (
    FILESYSTEM_NAME,
    MountNote,
    is_mounted,
    list_mounts,
    note_mount,
    resolve,
)
from appliance.recovery.points_view import PointsView
from appliance.recovery.runtime import Child, ProcessId, Runtime, disown, last_line, poll

START_TIMEOUT_S = 30.0
END_TIMEOUT_S = 10.0
QUIET_END_TIMEOUT_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


# ---- serving ------------------------------------------------------------------------------------


def prepare_directory(directory: Path) -> Path:
    """The absolute path of a directory fit to be mounted over, made if only it is missing.

    Raises UsageError for a file or a directory that is not empty, NotFoundError when its parent is
    missing, BusyError when it is a mount of ours already.
    """
    directory = resolve(directory)
    if is_mounted(directory):
        raise BusyError(f"{directory} is mounted already: 'holdfast umount {directory}' ends that")
    with durable.named_os_errors(directory):
        if not directory.exists():
            if not directory.parent.is_dir():
                raise NotFoundError(f"{directory.parent} does not exist: create it first")
            directory.mkdir(mode=0o700)
        if not directory.is_dir():
            raise UsageError(f"{directory} is not a directory: name an empty one")
        if any(directory.iterdir()):
            raise UsageError(f"{directory} is not empty: name an empty directory")
    return directory


def serve_mount(view: PointsView, directory: Path, runtime: Runtime) -> None:
    """Show `view` at `directory` until it is unmounted or SIGINT, SIGTERM or SIGHUP arrives.

    Runs in this process, which must be in its main thread. Raises what `prepare_directory` raises,
    and HoldfastError when FUSE does not work here.
    """
    directory = prepare_directory(directory)
    fuse = _import_fuse()
    with note_mount(runtime, directory), _default_signals():
        try:
            fuse.FUSE(
                PointFilesystem(view),
                str(directory),
                foreground=True,  # otherwise libfuse forks, and threads do not survive that
                nothreads=False,
                ro=True,
                nosuid=True,
                nodev=True,
                noexec=True,
                default_permissions=True,
                kernel_cache=True,  # points never change
                fsname=FILESYSTEM_NAME,
            )
        except RuntimeError as error:
            raise HoldfastError(
                f"{directory} could not be mounted: check that /dev/fuse exists and may be opened"
            ) from error


def _import_fuse() -> ModuleType:
    # Not at the top: without libfuse the import itself fails, and only mounting needs it.
    try:
        import fuse  # noqa: PLC0415
    except OSError as error:
        raise HoldfastError("libfuse is not installed: apt-get install libfuse2") from error
    module: ModuleType = fuse
    return module


@contextmanager
def _default_signals() -> Iterator[None]:
    """Make signals unmount, which libfuse does, but only where nobody else handles them."""
    before = [signal.signal(number, signal.SIG_DFL) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)


def mount_in_background(
    argv: Sequence[str],
    directory: Path,
    log: Path,
    *,
    timeout_s: float = START_TIMEOUT_S,
    progress: Progress | None = None,
) -> ProcessId:
    """Start `argv`, which serves `directory` in the foreground, and wait until it is mounted.

    The process outlives this one; its output goes to `log`. Raises what `prepare_directory`
    raises, HoldfastError with the last line it said when it ends or does not mount in time, and
    Cancelled; then nothing is left running.
    """
    directory = prepare_directory(directory)
    durable.make_directory(log.parent)
    said_before = log.stat().st_size if log.exists() else 0
    server = process.spawn(argv, log=log)
    try:
        up = poll(
            lambda: is_mounted(directory) or server.poll() is not None,
            timeout_s,
            progress=progress,
        )
        if server.poll() is not None:
            reason = last_line(log, said_before) or f"its process ended with {server.returncode}"
            raise HoldfastError(f"{directory} could not be mounted: {reason}")
        identity = disown(server)
        if not up or identity is None:
            raise HoldfastError(f"{directory} was not mounted within {timeout_s:.0f} s: see {log}")
    except BaseException:
        _end_server(server, directory)
        raise
    return identity


def _end_server(server: Child, directory: Path) -> None:
    server.terminate()
    if not poll(lambda: server.poll() is not None, END_TIMEOUT_S):
        server.kill()
        server.wait()
    if is_mounted(directory):
        _detach(directory, lazy=True)


# ---- ending -------------------------------------------------------------------------------------


def unmount(directory: Path, runtime: Runtime, *, lazy: bool = False) -> None:
    """End our mount at `directory` and wait until its process has ended.

    `lazy` takes the name away at once and lets what is open be read to its end. Raises
    NotFoundError if it is none of ours, BusyError if something in it is open.
    """
    directory = resolve(directory)
    notes = [note for note in list_mounts(runtime) if note.directory == directory]
    if not notes:
        raise NotFoundError(f"nothing of this state is mounted at {directory}")
    if is_mounted(directory):
        try:
            _detach(directory, lazy=lazy)
        except HoldfastError as error:
            raise BusyError(
                f"{directory} is in use: close what reads there ('fuser -vm {directory}' lists it) "
                "and try again"
            ) from error
    for note in notes:
        _await_end(note, lazy=lazy)


def _await_end(note: MountNote, *, lazy: bool) -> None:
    """Wait for the process, which serves open files to their end when the mount was taken lazily.

    Otherwise it is told to end if it does not by itself: another mount namespace, such as that of
    a container, may hold a copy of the mount, which keeps it alive although nobody here sees it.
    """
    ended = poll(lambda: not note.server.is_alive(), QUIET_END_TIMEOUT_S)
    for number in () if ended or lazy else (signal.SIGTERM, signal.SIGKILL):
        note.server.send(number)
        ended = ended or poll(lambda: not note.server.is_alive(), END_TIMEOUT_S)
    if ended:
        durable.remove_file(note.path)


def end_mount(directory: Path, runtime: Runtime) -> None:
    """End whatever of ours is at `directory`, dead or in use too; nothing there is fine."""
    for lazy in (False, True):
        with suppress(NotFoundError, BusyError):
            unmount(directory, runtime, lazy=lazy)
    if is_mounted(directory):
        _detach(directory, lazy=True)


def detach_stale(runtime: Runtime) -> list[Path]:
    """Detach what killed processes left mounted, and give those directories.

    Costs one look into a directory when nothing is mounted.
    """
    notes = list_mounts(runtime)
    alive = {note.directory for note in notes if note.server.is_alive()}
    detached = []
    for note in notes:
        if note.directory in alive:
            if not note.server.is_alive():
                durable.remove_file(note.path)
            continue
        if is_mounted(note.directory):
            _detach(note.directory, lazy=True)
            detached.append(note.directory)
        durable.remove_file(note.path)
    return detached


def _detach(directory: Path, *, lazy: bool) -> None:
    if os.geteuid() == 0:
        argv = [process.find_program("umount", "mount"), *(["--lazy"] if lazy else [])]
    else:
        argv = [process.find_program("fusermount", "fuse3"), "-u", *(["-z"] if lazy else [])]
    try:
        process.run([*argv, str(directory)], timeout_s=END_TIMEOUT_S)
    except HoldfastError:
        if is_mounted(directory):  # otherwise another command was faster
            raise
