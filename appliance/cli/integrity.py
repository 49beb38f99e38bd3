"""verify, scrub."""

from __future__ import annotations

import argparse
from typing import Any

from appliance.base.errors import AccessError, IntegrityError, NotFoundError
from appliance.base.text import size
from appliance.catalog.catalog import Catalog
from appliance.cli.exit_codes import DONE, exit_code
from appliance.cli.session import Session
from appliance.formats.names import format_time
from appliance.store.impact import Assessment, Hurt
from appliance.store.layout import Layout
from appliance.store.store import Store
from appliance.store.verify import Report, Verification, verify_ciphertext


def verify(session: Session, options: argparse.Namespace) -> int:
    """Read and authenticate; name what is damaged and which points it hurts."""
    console = session.console
    store = _open(session, options)
    if store is None:
        report = verify_ciphertext(Layout(session.state), console.progress)
    else:
        only = None
        if options.point is not None:
            only = store.points.file_of(store.points.resolve(options.point))
        with store.lease("reader"):
            report = Verification(store, console.progress, options.depth).run(only)
        assert report.assessment is not None
        note_damage(session, report.assessment)
    console.result(_report_json(report), _report_text(report))
    return DONE if report.is_sound else exit_code(IntegrityError())


def _open(session: Session, options: argparse.Namespace) -> Store | None:
    """The store; None where its key is not there and is not needed."""
    try:
        return session.store
    except (AccessError, IntegrityError, NotFoundError) as error:
        is_needed = options.depth != "ciphertext" or options.point is not None
        if is_needed or session.passphrase_file is not None:
            raise
        if not Layout(session.state).containers.is_dir():
            raise
        session.console.note(f"holdfast: {error}; without the key only containers are checked")
        return None


def note_damage(session: Session, assessment: Assessment) -> None:
    """Let the lists of points say which are damaged."""
    hurt = {str(hurt.point): hurt.hurt_bytes for hurt in assessment.hurts.values()}
    now = format_time(session.clock.now().replace(microsecond=0))
    with Catalog(session.state / "catalog.db") as catalog:
        catalog.set_damage(set(assessment.names), hurt, now)


def _report_json(report: Report) -> dict[str, Any]:
    found = report.assessment or Assessment()
    return {
        "sound": report.is_sound,
        "depth": report.depth,
        "without_key": report.assessment is None,
        "checked_containers": report.checked_containers,
        "checked_bytes": report.checked_bytes,
        "checked_points": len(found.names),
        "damages": [{"what": what, "reason": reason} for what, reason in _damages(report)],
        "hurt_points": [hurt_json(hurt) for hurt in found.hurts.values()],
    }


def _damages(report: Report) -> list[tuple[str, str]]:
    """(what, reason) of all that is damaged or missing."""
    found = report.assessment or Assessment()
    known = {fault.name for fault in report.faults}
    missing = [name.hex() for name in sorted(found.consequences.keys() - known)]
    return [
        *((f"point file {key}", reason) for key, reason in found.unreadable.items()),
        *((f"container {fault.name.hex()}", fault.reason) for fault in report.faults),
        *((f"container {name}", f"container {name} gives not what it should") for name in missing),
    ]


def hurt_json(hurt: Hurt) -> dict[str, Any]:
    """What is lost of a point."""
    return {
        "name": str(hurt.point),
        "hurt_bytes": hurt.hurt_bytes,
        "ranges": [
            {"disk": disk, "offset": offset, "length": length}
            for disk, offset, length in hurt.ranges
        ],
    }


def _report_text(report: Report) -> str:
    found = report.assessment
    points = "without the key no points" if found is None else f"{len(found.names)} points"
    checked = (
        f"{points}, {report.checked_containers} containers, "
        f"{size(report.checked_bytes)} checked ({report.depth})"
    )
    if report.is_sound:
        return f"sound: {checked}"
    lines = [f"damaged: {checked}"]
    lines += [f"  {reason}" for _, reason in _damages(report)]
    if found is not None:
        for hurt in found.hurts.values():
            ranges = ", ".join(f"disk{disk} {at}+{length}" for disk, at, length in hurt.ranges)
            lines.append(f"  hurts {hurt.point}: {size(hurt.hurt_bytes)} at {ranges}")
        if not found.hurts:
            lines.append("  no point is hurt")
        lines.append("  everything else restores; a new backup of the machines makes whole points")
    return "\n".join(lines)
