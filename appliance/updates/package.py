"""One update file: who signed it, whether it is whole, and what is in it.

Owns how an update is read: in one pass that bounds memory, and never further than what is signed.
It decides nothing about what the box runs.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO

import zstandard

from appliance.base.durable import named_os_errors, sync_tree, write_all
from appliance.base.errors import AccessError, IntegrityError, UsageError
from appliance.base.progress import Progress
from appliance.base.text import printable
from appliance.formats.update import Head, UpdateHeader, join_head, read_head, signed_bytes
from appliance.keys.release_keys import verify_signature

_PIECE_BYTES = 1 << 20
_WINDOW_MAX_BYTES = 8 << 20
"""Level 19 of zstd needs no more."""
_NAME_MAX_BYTES = 1000
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


class Package:
    """An update whose header is what a trusted key signed. Its payload is not looked at yet."""

    def __init__(self, file: BufferedReader, path: Path, head: Head) -> None:
        self._file = file
        self._path = path
        self._head = head

    @property
    def header(self) -> UpdateHeader:
        """What it says of itself."""
        return self._head.header

    @property
    def head_bytes(self) -> bytes:
        """Header and signature, so that what was installed can be verified again."""
        return join_head(self._head.data, self._head.signature)

    def verify_payload(self, progress: Progress) -> None:
        """Read all of it. Raises IntegrityError unless it is what was signed."""
        progress.phase("verify update", self.header.payload_bytes)
        self._file.seek(self._head.size_bytes)
        digest = hashlib.sha256()
        while piece := self._file.read(_PIECE_BYTES):
            digest.update(piece)
            progress.advance(len(piece))
        if digest.digest() != self.header.payload_sha256:
            raise IntegrityError(f"{self._path}: its content is not what was signed: get it again")

    def unpack(self, target: Path, progress: Progress) -> None:
        """Write the tree into the new directory `target`, durably.

        Raises IntegrityError, and leaves what it has written, if the archive holds anything but
        files and directories below `target`, or more than the header says.
        """
        self._file.seek(self._head.size_bytes)
        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX_BYTES).stream_reader(
            self._file, closefd=False
        )
        progress.phase("unpack update", self.header.tree_bytes)
        target.mkdir(mode=0o755)
        try:
            with tarfile.open(fileobj=reader, mode="r|") as archive:
                _Tree(target, self.header).write(archive, progress)
        except (tarfile.TarError, zstandard.ZstdError, UnicodeError, ValueError) as error:
            raise IntegrityError(f"{self._path}: {printable(str(error))}") from error
        progress.phase("write update to disk")
        sync_tree(target)


@contextmanager
def open_package(path: Path, trusted: Mapping[str, bytes]) -> Iterator[Package]:
    """The update in `path`; `trusted` has public keys in PEM by their fingerprints.

    Raises UsageError for what is no file, AccessError if it was signed by another key,
    IntegrityError if it is no update, was changed or cut off.
    """
    with named_os_errors(path), path.open("rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{path} is no file")
        try:
            head = read_head(file)
            key = trusted.get(head.header.key)
            if key is None:
                raise AccessError(
                    f"{path} is signed by the key {head.header.key}, which this box does not trust"
                )
            verify_signature(key, signed_bytes(head.data), head.signature)
            if found.st_size != head.size_bytes + head.header.payload_bytes:
                raise IntegrityError(
                    f"it has {found.st_size} bytes, not "
                    f"{head.size_bytes + head.header.payload_bytes}: get it again"
                )
        except IntegrityError as error:
            raise IntegrityError(f"{path}: {error}") from None
        yield Package(file, path, head)


class _Tree:
    """Writes members of an archive into a directory that nobody else knows yet.

    Debian 12's tarfile has no filters, so the rule is ours and narrower: names of plain
    components, files and directories, nothing twice. No link can be there to be followed.
    """

    def __init__(self, target: Path, header: UpdateHeader) -> None:
        self._target = target
        self._bytes_left = header.tree_bytes
        self._files_left = header.tree_files

    def write(self, archive: tarfile.TarFile, progress: Progress) -> None:
        for member in archive:
            path = self._target.joinpath(*_split_name(member.name))
            if member.isdir():
                path.mkdir(mode=0o755, exist_ok=True)
            elif member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
                self._count(member)
                content = archive.extractfile(member)
                assert content is not None
                self._write_file(path, content, is_program=bool(member.mode & 0o100))
                progress.advance(member.size)
            else:
                raise IntegrityError(
                    f"the update holds {printable(member.name)!r}, which is no file"
                )
        if self._bytes_left or self._files_left:
            raise IntegrityError("the update holds less than it says")

    def _count(self, member: tarfile.TarInfo) -> None:
        self._bytes_left -= member.size
        self._files_left -= 1
        if self._bytes_left < 0 or self._files_left < 0:
            raise IntegrityError("the update holds more than it says")

    def _write_file(self, path: Path, content: IO[bytes], *, is_program: bool) -> None:
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            descriptor = os.open(path, _NEW_FILE, 0o755 if is_program else 0o644)
        except (FileExistsError, NotADirectoryError):
            raise IntegrityError(
                f"the update holds {printable(path.name)!r} twice in one place"
            ) from None
        try:
            while piece := content.read(_PIECE_BYTES):
                write_all(descriptor, piece)
        finally:
            os.close(descriptor)


def _split_name(name: str) -> list[str]:
    """The components of a member's name. Raises IntegrityError for one that leads elsewhere."""
    parts = name.removesuffix("/").split("/")
    is_plain = all(part not in ("", ".", "..") and part.isprintable() for part in parts)
    if not is_plain or len(os.fsencode(name)) > _NAME_MAX_BYTES:
        raise IntegrityError(f"the update holds a name that leads elsewhere: {printable(name)!r}")
    return parts
