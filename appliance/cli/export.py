"""export: a disk of a point as an image file."""

from __future__ import annotations

import argparse
from pathlib import Path

from appliance.base.errors import UsageError
from appliance.base.text import size
from appliance.cli.exit_codes import DONE, DONE_WITH_GAPS
from appliance.cli.ranges import named_ranges
from appliance.cli.session import Session
from appliance.recovery.export import FORMATS, export_disk
from appliance.recovery.store_view import StoreView


def export(session: Session, options: argparse.Namespace) -> int:
    """Write the image and print its hash."""
    target: Path = options.target.absolute()
    image_format = options.format or target.suffix.removeprefix(".")
    if image_format not in FORMATS:
        raise UsageError(f"which format? say --format, one of {', '.join(FORMATS)}")
    if target.resolve().is_relative_to(session.state.resolve()):
        raise UsageError(
            f"{target} lies in the state directory: choose a target elsewhere", code="target-inside"
        )
    store, console = session.store, session.console
    name = store.points.resolve(options.point)
    with store.lease("reader") as lease:
        manifest = store.open_point(name, lease)
        view = StoreView(store, lease)
        disk = view.open_disk(name.machine, name.directory_time, options.disk)
        try:
            done = export_disk(disk, target, image_format, console.progress, force=options.force)
        finally:
            disk.close()
    gaps = manifest.disks[options.disk].gaps
    value = {
        "point": str(name),
        "disk": options.disk,
        "target": str(target),
        "format": image_format,
        "size_bytes": manifest.disks[options.disk].size_bytes,
        "file_bytes": done.file_bytes,
        "sha256": done.sha256,
        "gaps": [list(gap) for gap in gaps],
    }
    console.result(value, f"{done.sha256}  {options.target}\n{size(done.file_bytes)}")
    if gaps:
        console.note(f"holdfast: {name} has gaps, which are zeros: {named_ranges(gaps)}")
        return DONE_WITH_GAPS
    return DONE
