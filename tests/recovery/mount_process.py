"""A process that serves folders of raw files through the real filesystem, as `mount` does a store.

    mount_process.py STATE FILES DIRECTORY [MACHINE@TIME]

FILES holds MACHINE/TIME/0, 1, ...: the disks of the points. A disk whose first bytes are `damaged`
cannot be read.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from appliance.base.errors import HoldfastError, IntegrityError, NotFoundError
from appliance.recovery.mount import serve_mount
from appliance.recovery.points_view import DiskReader, PointEntry, PointsView, SinglePoint
from appliance.recovery.runtime import Runtime

DAMAGED = b"damaged"
MTIME_S = 1_795_253_400.0


class FileReader:
    """A disk that is a file; it stays readable when the file is unlinked, as a pinned point is."""

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError as error:
            raise NotFoundError(f"no disk {path}") from error
        self.path = path

    @property
    def size_bytes(self) -> int:
        return os.fstat(self._descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        if os.pread(self._descriptor, len(DAMAGED), 0) == DAMAGED:
            raise IntegrityError(f"{self.path} is damaged")
        return os.pread(self._descriptor, length, offset)

    def close(self) -> None:
        os.close(self._descriptor)


class FilesView:
    """Points that are folders of files."""

    def __init__(self, files: Path) -> None:
        self._files = files

    def machines(self) -> list[str]:
        return sorted(path.name for path in self._files.iterdir())

    def points(self, machine: str) -> list[PointEntry]:
        return [
            PointEntry(
                point.name,
                tuple((point / str(n)).stat().st_size for n in range(len(list(point.iterdir())))),
                MTIME_S,
            )
            for point in sorted((self._files / machine).iterdir())
        ]

    def open_disk(self, machine: str, directory_time: str, disk: int) -> DiskReader:
        return FileReader(self._files / machine / directory_time / str(disk))


def main() -> None:
    """Serve until unmounted; exit 1 with one line when that is not possible."""
    state, files, directory = (Path(argument) for argument in sys.argv[1:4])
    view: PointsView = FilesView(files)
    if len(sys.argv) > 4:
        machine, _, time = sys.argv[4].partition("@")
        view = SinglePoint(view, machine, time)
    try:
        serve_mount(view, directory, Runtime(state))
    except HoldfastError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
