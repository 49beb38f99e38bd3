"""restore."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from appliance.base.errors import IntegrityError, UsageError
from appliance.base.text import size
from appliance.cli.exit_codes import DONE, DONE_WITH_GAPS
from appliance.cli.ranges import named_ranges
from appliance.cli.session import Session
from appliance.recovery.restore import Restore
from appliance.recovery.targets import StreamTarget, Target, open_target


def restore(session: Session, options: argparse.Namespace) -> int:
    """Write a disk of a point back."""
    if options.target == "-" and session.console.is_json:
        raise UsageError("--json and the target - both want standard output: drop one")
    store, console = session.store, session.console
    name = store.points.resolve(options.point)
    with store.lease("reader") as lease:
        manifest = store.open_point(name, lease)
        reader = store.disk_reader(manifest, options.disk)
        disk = manifest.disks[options.disk]
        target: Target
        if options.target == "-":
            sys.stdout.flush()
            target = StreamTarget(sys.stdout.buffer)
        else:
            path = Path(options.target)
            _refuse_own_state(path, session.state)
            target = open_target(path, disk.size_bytes, force=options.force)
        try:
            restored = Restore(reader, target, console.progress).run()
        except BaseException:
            target.discard()
            raise
    if restored.damaged:
        raise IntegrityError(
            f"{name} disk {options.disk} is restored but for damaged ranges, "
            f"which are zeros: {named_ranges(restored.damaged)}"
        )
    if options.target != "-":
        console.result(
            {
                "point": str(name),
                "disk": options.disk,
                "target": options.target,
                "size_bytes": restored.size_bytes,
                "written_bytes": restored.written_bytes,
                "gaps": [list(gap) for gap in disk.gaps],
            },
            f"{name} disk {options.disk}: {size(restored.size_bytes)} in {options.target}",
        )
    if disk.gaps:
        console.note(f"holdfast: {name} has gaps, which are zeros: {named_ranges(disk.gaps)}")
        return DONE_WITH_GAPS
    return DONE


def _refuse_own_state(path: Path, state: Path) -> None:
    if path.resolve().is_relative_to(state.resolve()):
        raise UsageError(
            f"{path} lies in the state directory: choose a target elsewhere", code="target-inside"
        )
