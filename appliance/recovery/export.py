"""A disk of a point as an image of another program: raw, qcow2, vmdk, vhdx, vdi.

qemu-img writes the formats and asks our own NBD server for the disk, so nothing lies in between and
what is zeros is neither read nor written. Owns the way from there to a finished, hashed file.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.base import durable, process
from appliance.base.durable import named_os_errors
from appliance.base.errors import Cancelled, HoldfastError, IntegrityError, UsageError
from appliance.base.progress import Progress
from appliance.base.text import printable
from appliance.recovery.nbd_listen import listen_unix
from appliance.recovery.nbd_server import NbdServer
from appliance.recovery.points_view import DiskReader
from appliance.recovery.runtime import poll

FORMATS = ("raw", "qcow2", "vmdk", "vhdx", "vdi")
_PERCENT = re.compile(rb"\(([0-9]+)\.[0-9]+/100%\)")
_TURN_S = 0.1
_HASH_BYTES = 4 << 20
_END_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Exported:
    """A finished image: its length as a file, and its SHA-256."""

    file_bytes: int
    sha256: str


class _Witness:
    """A disk that remembers what it could not give: qemu-img only says that it failed."""

    def __init__(self, disk: DiskReader) -> None:
        self._disk = disk
        self.fault: HoldfastError | None = None

    @property
    def size_bytes(self) -> int:
        """Size of the disk."""
        return self._disk.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """The bytes there."""
        try:
            return self._disk.read(offset, length)
        except HoldfastError as error:
            self.fault = self.fault or error
            raise

    def runs(self, offset: int, length: int) -> list[tuple[int, bool]]:
        """Which ranges hold anything."""
        return self._disk.runs(offset, length)

    def close(self) -> None:
        """Let go of the disk."""
        self._disk.close()


def export_disk(
    disk: DiskReader, target: Path, image_format: str, progress: Progress, *, force: bool
) -> Exported:
    """Write `disk` to the new file `target`, durably, and hash the file.

    Raises UsageError if it exists and `force` is not said, IntegrityError where the store's bytes
    are damaged, HoldfastError with qemu-img's last words, Cancelled; then `target` is as before.
    """
    shown = printable(str(target))
    if image_format not in FORMATS:
        raise UsageError(f"'{image_format}' is no format: {', '.join(FORMATS)}")
    if target.exists() and (not force or not target.is_file()):
        raise UsageError(
            f"{shown} exists already: say --force to replace a file", code="target-has-data"
        )
    qemu_img = process.find_program("qemu-img", "qemu-utils")
    temporary = target.parent / f"{durable.TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    witness = _Witness(disk)
    try:
        with _serve(witness) as address:
            argv = [qemu_img, "convert", "-p", "-f", "raw", "-O", image_format]
            _convert([*argv, address, str(temporary)], witness, progress)
        exported = _hash(temporary, progress)
        with named_os_errors(shown):
            descriptor = os.open(temporary, os.O_RDWR | os.O_CLOEXEC)
        durable.sync_and_close(descriptor, temporary)
        durable.move_file(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return exported


@contextmanager
def _serve(disk: DiskReader) -> Iterator[str]:
    """The address of the disk while the block runs."""
    with tempfile.TemporaryDirectory(prefix="holdfast-export-") as folder:
        path = Path(folder, "disk.sock")
        stop = Progress()
        with listen_unix(path) as listener:

            def serve() -> None:
                with suppress(Cancelled):
                    NbdServer({"disk": disk}).serve(listener, stop)

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            try:
                yield f"nbd+unix:///disk?socket={path}"
            finally:
                stop.cancel()
                thread.join()


def _convert(argv: list[str], witness: _Witness, progress: Progress) -> None:
    progress.phase("exporting", total=witness.size_bytes)
    done_bytes = 0
    with tempfile.TemporaryDirectory(prefix="holdfast-export-") as folder:
        log = Path(folder, "log")
        converter = process.spawn(argv, log=log)
        try:
            while not poll(lambda: converter.poll() is not None, _TURN_S):
                now_bytes = witness.size_bytes * _read_percent(log) // 100
                progress.advance(now_bytes - done_bytes)
                done_bytes = now_bytes
        except BaseException:
            converter.terminate()
            if not poll(lambda: converter.poll() is not None, _END_TIMEOUT_S):
                converter.kill()
            converter.wait()
            raise
        if converter.returncode != 0:
            lines = log.read_text(errors="replace").replace("\r", "\n").strip().splitlines()
            reason = lines[-1].strip() if lines else f"exit code {converter.returncode}"
            if witness.fault is not None:
                kind = (
                    IntegrityError if isinstance(witness.fault, IntegrityError) else HoldfastError
                )
                raise kind(f"{witness.fault}: 'restore' writes everything else") from witness.fault
            raise HoldfastError(f"qemu-img failed: {reason}")
    progress.advance(witness.size_bytes - done_bytes)


def _read_percent(log: Path) -> int:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - 256))
        found = _PERCENT.findall(file.read())
    return int(found[-1]) if found else 0


def _hash(path: Path, progress: Progress) -> Exported:
    file_bytes = path.stat().st_size
    progress.phase("hashing", total=file_bytes)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_HASH_BYTES):
            digest.update(data)
            progress.advance(len(data))
    return Exported(file_bytes, digest.hexdigest())
