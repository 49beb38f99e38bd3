"""backup vm:NAME: a recovered VM becomes a recovery point of the machine it is."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from appliance.backup.disks import BackupResult, DiskBackup
from appliance.base.errors import IntegrityError, NotFoundError
from appliance.cli.session import Session
from appliance.cli.virtual import serve_argv
from appliance.formats.names import PointName, parse_machine_name
from appliance.formats.point import Manifest
from appliance.recovery.disk_work import work_on_disks
from appliance.recovery.runtime import Runtime
from appliance.recovery.vm_disks import Moment, moment_of
from appliance.recovery.vm_note import (
    VmNote,
    find_folder,
    lock_vm,
    read_vm,
    write_vm,
)
from appliance.sources.nbd import NbdSource
from appliance.store.findings import read_findings
from appliance.store.leases import Lease, writer_lease
from appliance.store.store import Store

PREFIX = "vm:"


def back_up_vm(session: Session, name: str, machine: str | None) -> tuple[BackupResult, bool]:
    """Make a point of VM `name`; says whether its filesystems were stilled meanwhile.

    Only what the VM wrote is read, and compared with its last point or the one it was booted from,
    never with what its machine may have become elsewhere.
    """
    runtime = Runtime(session.state)
    folder = find_folder(runtime, name)
    with work_on_disks(runtime, name), ExitStack() as stack:
        note = read_vm(folder)
        if note.guest is None or not note.guest.qemu.is_alive():
            stack.enter_context(lock_vm(runtime, name))
        own = parse_machine_name(machine or PointName.parse(note.point).machine)
        lease = stack.enter_context(writer_lease(session.store.layout))
        session.console.progress.phase("holding the disks")
        moment = stack.enter_context(moment_of(folder, note, serve_argv(session)))
        result = _back_up(session, lease, note, moment, own)
        stack.close()
        with lock_vm(runtime, name):
            point = str(result.manifest.name)
            write_vm(folder, replace(read_vm(folder), last_point=point))
    return result, moment.is_still


def _back_up(
    session: Session, lease: Lease, note: VmNote, moment: Moment, machine: str
) -> BackupResult:
    base = _base(session.store, lease, note)
    with ExitStack() as stack:
        sources = []
        for disk, address in enumerate(moment.addresses):
            source = NbdSource(address, f"{PREFIX}{note.name} disk{disk}")
            stack.callback(source.close)
            sources.append(source)
        changed = None
        if base is not None:
            changed = [moment.written(disk) for disk in range(len(sources))]
        job = DiskBackup(session.store, session.clock, session.console.progress, machine, sources)
        return job.run(lease, base, changed)


def _base(store: Store, lease: Lease, note: VmNote) -> Manifest | None:
    """The newest point that the VM's disks are a continuation of, pinned; None: read everything."""
    findings = read_findings(store.layout)
    for text in (note.last_point, note.point):
        if text is None:
            continue
        name = PointName.parse(text)
        try:
            if not findings.is_hurt(store.points.file_of(name).key):
                return store.open_point(name, lease)
        except (IntegrityError, NotFoundError):
            continue
    return None
