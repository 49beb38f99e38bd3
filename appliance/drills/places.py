"""Where drills keep things below STATE, and what a killed one leaves behind.

    drills/ID/            screenshots, serial logs and the log of a drill; its record names them
    run/drills/ID.lock    held by the process of a running drill
    run/drills/ID.json    the VMs it may have started

Owns these names and the clearing up. A drill is alive while its lock is held: the lock dies with
its process, and the next command then removes what the note names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from appliance.base import durable
from appliance.base.clock import Clock
from appliance.base.errors import BusyError, HoldfastError, IntegrityError, NotFoundError
from appliance.base.locks import FileLock
from appliance.drills.vm import discard_vm
from appliance.formats.names import format_time
from appliance.recovery.runtime import Runtime, read_note, write_note

_LOCK = ".lock"
_NOTE = ".json"
VM_PREFIX = "drill."


def evidence_folder(runtime: Runtime, drill: str) -> Path:
    """Where the files of a drill lie."""
    return runtime.state / "drills" / drill


def running_folder(runtime: Runtime) -> Path:
    """Locks and notes of running drills."""
    return runtime.run / "drills"


def make_folder(parent: Path, clock: Clock) -> Path:
    """A new folder named by the present second, or by the next free one. Durable on return."""
    durable.make_directory(parent)
    moment = clock.now().replace(microsecond=0)
    while True:
        folder = parent / format_time(moment).replace("-", "").replace(":", "")
        try:
            with durable.named_os_errors(parent):
                folder.mkdir(mode=0o700)
                durable.fsync_directory(parent)
        except HoldfastError:
            if not folder.exists():
                raise
            moment += timedelta(seconds=1)
        else:
            return folder


def name_vm(drill: str, number: int) -> str:
    """The name of machine `number`'s VM in a drill."""
    return f"{VM_PREFIX}{drill}.{number}"


@contextmanager
def announce(runtime: Runtime, drill: str, vms: Sequence[str]) -> Iterator[None]:
    """Be a running drill that may start `vms`, until the block ends."""
    folder = running_folder(runtime)
    durable.make_directory(folder)
    lock = FileLock(folder / f"{drill}{_LOCK}", wait=False)
    with _registry(folder):
        lock.__enter__()
    try:
        write_note(folder / f"{drill}{_NOTE}", {"vms": list(vms)})
        yield
        durable.remove_file(folder / f"{drill}{_NOTE}")
        (folder / f"{drill}{_LOCK}").unlink(missing_ok=True)
    finally:
        lock.__exit__(None, None, None)


def clear_killed(runtime: Runtime) -> list[str]:
    """Remove the VMs of drills whose process is gone; gives the drills.

    Costs one look into a directory when no drill runs.
    """
    folder = running_folder(runtime)
    if not list(folder.glob(f"*{_LOCK}")):
        return []
    cleared = []
    with _registry(folder):
        for path in sorted(folder.glob(f"*{_LOCK}")):
            with suppress(BusyError), FileLock(path, wait=False):
                drill = path.name.removesuffix(_LOCK)
                _clear(runtime, folder / f"{drill}{_NOTE}")
                path.unlink()
                cleared.append(drill)
    return cleared


def _registry(folder: Path) -> FileLock:
    """Held while a drill announces itself and while dead ones are cleared."""
    return FileLock(folder.with_name("drills.lock"))


def _clear(runtime: Runtime, note: Path) -> None:
    try:
        names = read_note(note).get("vms")
    except NotFoundError:
        return  # killed before it had started anything, or when it was done
    except IntegrityError:
        names = []
    for name in names if isinstance(names, list) else ():
        if isinstance(name, str) and name.startswith(VM_PREFIX):
            discard_vm(runtime, name)
    durable.remove_file(note)
