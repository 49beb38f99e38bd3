"""Points made of plain files, and what serves them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError
from appliance.recovery import vms
from appliance.recovery.mount import detach_stale, end_mount, mount_in_background
from appliance.recovery.mount_note import list_mounts
from appliance.recovery.runtime import ProcessId, Runtime

SCRIPT = Path(__file__).with_name("mount_process.py")


class Lab:
    """A state, points made of files, and the command line that serves them."""

    def __init__(self, folder: Path) -> None:
        self.runtime = Runtime(folder / "state")
        self.runtime.state.mkdir()
        self.files = folder / "files"
        self.files.mkdir()
        self.folder = folder

    def add_point(self, point: str, *disks: bytes) -> str:
        """Make a point out of these disks."""
        machine, _, time = point.partition("@")
        place = self.files / machine / time
        place.mkdir(parents=True)
        for number, disk in enumerate(disks):
            (place / str(number)).write_bytes(disk)
        return point

    def serve_argv(self, point: str, path: Path) -> list[str]:
        """What serves the disks of `point` at the socket `path`."""
        words = [str(self.runtime.state), str(self.files), str(path), point]
        return [sys.executable, "-W", "ignore", str(SCRIPT), *words]

    def mount(self, directory: Path) -> ProcessId:
        """Show all points at `directory`, from a process in the background."""
        words = [str(self.runtime.state), str(self.files), str(directory)]
        argv = [sys.executable, "-W", "ignore", str(SCRIPT), *words]
        return mount_in_background(argv, directory, self.runtime.mount_log)

    def close(self) -> None:
        """End whatever a test left behind."""
        vms.heal(self.runtime, self.serve_argv)
        for vm in vms.list_vms(self.runtime):
            with suppress(HoldfastError):
                vms.stop(self.runtime, vm.name, discard=True)
        for note in list_mounts(self.runtime):
            end_mount(note.directory, self.runtime)
        detach_stale(self.runtime)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.close()
