"""A process that serves folders of raw files, as `mount` and `nbd` do a store.

    mount_process.py STATE FILES DIRECTORY              through FUSE
    mount_process.py STATE FILES SOCKET MACHINE@TIME    over NBD

FILES holds MACHINE/TIME/0, 1, ...: the disks of the points. A disk whose first bytes are `damaged`
cannot be read.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from appliance.base.errors import HoldfastError, IntegrityError, NotFoundError
from appliance.base.progress import Progress
from appliance.recovery.mount import serve_mount
from appliance.recovery.nbd_listen import listen_unix
from appliance.recovery.nbd_server import NbdServer
from appliance.recovery.points_view import DiskReader, PointEntry
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

    def runs(self, offset: int, length: int) -> list[tuple[int, bool]]:
        return [(length, True)]

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
    """Serve until unmounted or killed; exit 1 with one line when that is not possible."""
    state, files, place = (Path(argument) for argument in sys.argv[1:4])
    view = FilesView(files)
    try:
        if len(sys.argv) == 4:
            serve_mount(view, place, Runtime(state))
            return
        machine, _, time = sys.argv[4].partition("@")
        if not (files / machine / time).is_dir():
            raise NotFoundError(f"there is no point {sys.argv[4]}")
        count = len(list((files / machine / time).iterdir()))
        disks = {f"disk{disk}": view.open_disk(machine, time, disk) for disk in range(count)}
        with listen_unix(place) as listener:
            NbdServer(disks).serve(listener, Progress())
    except HoldfastError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
