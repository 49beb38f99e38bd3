#!/usr/bin/env python3
"""Restore a disk of a recovery point from a bare store directory and the recovery key.

    restore.py STORE-DIR RECOVERY-KEY-FILE MACHINE@TIME [--disk N] > disk.raw
    restore.py STORE-DIR RECOVERY-KEY-FILE [--list]

Written from the pages beside it alone; needs Python 3.11, `cryptography` and `zstandard`. What it
writes was authenticated, its chunk ids recomputed; containers' names (SHA-256) are not checked.
Exit codes: 0 done, 1 failed, 2 usage, 3 gaps written as zeros, 4 damage, 5 not found, 8 wrong key.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import re
import struct
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FAILED, GAPS, DAMAGE, NOT_FOUND, WRONG_KEY = 1, 3, 4, 5, 8  # exit codes
REFERENCE, GAP, MIB = 1, 2, 1024 * 1024  # flags of a page's entries (0 is zeros), bytes
GARBAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
UNREADABLE = (*GARBAGE, struct.error, zstandard.ZstdError, InvalidTag, OSError)
# container.md: file, header, cipher; number, offset, stored, plain, codec; chunk ids and lengths
Frame = tuple[Path, bytes, AESGCM, int, int, int, int, int, tuple[bytes, ...], tuple[int, ...]]
Entry = tuple[int, int, bytes, str]  # page.md: length, flag, id, container that should have it


class RefusalError(Exception):
    """(exit code, what the user is told in one line)."""


@contextmanager
def naming(what: str, exit_code: int = DAMAGE) -> Iterator[None]:
    """Whatever goes wrong with hostile bytes is told as the damage of a thing with a name."""
    try:
        yield
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or str(error) or "does not authenticate"
        raise RefusalError(exit_code, f"{what}: {reason}") from error


def require(condition: bool, breach: str) -> None:
    """Hold bytes to a rule of the pages, inside `naming`."""
    if not condition:
        raise ValueError(breach)


def unpack_zstd(packed: bytes, limit_bytes: int) -> bytes:
    """Decode exactly one zstd frame (RFC 8878)."""
    require(zstandard.frame_content_size(packed) <= limit_bytes, "unpacks to too much")
    return zstandard.ZstdDecompressor().decompress(packed, limit_bytes, allow_extra_data=False)


def derive_key(secret: bytes, salt: bytes, info: str) -> bytes:
    """keys.md: HKDF-SHA-256 (RFC 5869) for 32 bytes, which is one block."""
    return hmac.digest(hmac.digest(salt, secret, "sha256"), info.encode() + b"\1", "sha256")


def read_recovery_key(path: Path) -> bytes:
    """keys.md, Recovery key file: the base32 line. The words carry the same and are not needed."""
    with naming(f"key file {path}", WRONG_KEY):
        carried = re.findall("(?m)^base32:(.*)$", path.read_text("utf-8", "replace")) or [""]
        raw = base64.b32decode(re.sub(r"[\s-]", "", carried[0]).upper())
        checksum = hashlib.sha256(b"holdfast recovery v1" + raw[:32]).digest()[:3]
        require(raw[32:] == checksum, "has no line base32: with a right checksum")
        return raw[:32]


def parse_page(page: bytes, home: str, level: int, size: int) -> list[Entry]:
    """page.md, Layout and validity; `size` is how much of the disk the page covers."""
    with naming(f"page in container {home}"):
        magic, version, own_level, k, n = struct.unpack_from("<4sBBHI", page)
        require((magic, version, own_level) == (b"HFPG", 2, level), "is not a page of its level")
        require(32 * k + 39 * n <= len(page), "is too short")
        tail = {0: f"{n}I{16 * -(-size // 65536)}x", 1: f"{16 * n}x"}.get(level, "")
        columns = struct.unpack("<16x" + "32s" * (k + n) + f"{n}H{4 * n}x{n}B{tail}", page)
        ids, indexes, flags, lengths = (columns[k + n * i : k + n * (i + 1)] for i in range(4))
        if level > 0:
            span = 4 * MIB * 128 ** (level - 1)
            lengths = tuple(min(span, size - span * i) for i in range(n))
        require(sum(lengths) == size and min(lengths) > 0, "has wrong lengths")
        require(max(flags) <= (REFERENCE if level else GAP), "has unknown flags")
        names = {0: ""} | {i: name.hex() for i, name in enumerate(columns[:k])} | {0xFFFF: home}
        return [*zip(lengths, flags, ids, [names[i] for i in indexes], strict=True)]


class Store:
    """An opened store. Its caches bound its memory; `copies` is made on the first stale hint."""

    def __init__(self, folder: Path, secret: bytes) -> None:
        self.folder = folder / "store" if (folder / "store").is_dir() else folder
        path = self.folder / "store.json"
        with naming(f"{path}", DAMAGE if path.exists() else NOT_FOUND):
            descriptor = json.loads(path.read_bytes())
            self.id = bytes.fromhex(descriptor["store_id"])
            if descriptor["format"] != 2:
                raise RefusalError(FAILED, f"{path}: its format is not 2: use its own restore.py")
        self.master = self._unwrap(secret)
        self.directory = lru_cache(maxsize=64)(self._read_directory)
        self.frame = lru_cache(maxsize=64)(self._read_frame)

    def _unwrap(self, secret: bytes) -> bytes:
        """keys.md, Wraps: the master key; KIND in the info keeps the other kinds apart."""
        for path in sorted((self.folder / "keys").glob("*.json")):
            with suppress(*UNREADABLE):
                wrap = json.loads(path.read_bytes())
                salt, sealed = bytes.fromhex(wrap["salt"]), bytes.fromhex(wrap["sealed"])
                wrapping = AESGCM(derive_key(secret, salt, "holdfast wrap v1 recovery"))
                return wrapping.decrypt(bytes(12), sealed, b"holdfast wrap v1" + self.id)
        raise RefusalError(WRONG_KEY, f"{self.folder}: this key does not open the store")

    def hash(self, what: str, data: bytes) -> bytes:
        """HMAC-SHA-256 under one of the keys of keys.md, Derived keys."""
        return hmac.digest(derive_key(self.master, self.id, f"holdfast {what} v1"), data, "sha256")

    def _read_directory(self, container: str) -> dict[bytes, Frame]:
        """container.md, Directory: the frame of each chunk id; rules 1 to 5 of its validity."""
        path = self.folder / "containers" / container[:2] / container
        with naming(f"container {container}"), path.open("rb") as file:
            header, size = file.read(64), file.seek(0, os.SEEK_END)
            require(header[:12] in (b"HFCONT01\1\0\1\0", b"HFCONT01\1\0\2\0"), "has a bad header")
            require(96 <= size <= 32 * MIB, "has an impossible size")
            file.seek(size - 32)
            end, length, magic = struct.unpack("<QQ8s8x", file.read(32))
            require(magic == b"HFCEND01" and end + length + 32 == size, "has a bad trailer")
            file.seek(end)
            cipher = AESGCM(derive_key(self.master, header[16:32], "holdfast container v1"))
            associated = header + b"HFDIR001" + struct.pack("<Q", end)
            plain = cipher.decrypt(b"\xff" * 12, file.read(length), associated)
            n, c, bases, extra = struct.unpack_from("<IIII", plain)
            require(bases == 0 and len(plain) == 16 + 24 * n + 36 * c + extra, "has a bad size")
            columns = struct.unpack_from("<" + "32s" * c + f"{c}I", plain, 16 + 24 * n)
            all_ids, all_lengths, offset, first, found = columns[:c], columns[c:], 64, 0, {}
            entries = struct.iter_unpack("<IIIIHBBI", plain[16 : 16 + 24 * n])
            for number, entry in enumerate(entries):
                at, stored, size, start, count, codec, flags, base = entry
                require((at, start) == (offset, first) and count > 0, "has frames out of order")
                require(codec < 2 and (flags, base) == (0, 0xFFFFFFFF), "has an unknown codec")
                offset, first = at + stored, start + count
                ids, lengths = all_ids[start:first], all_lengths[start:first]
                require(1 <= size == sum(lengths) <= MIB, "has a frame of wrong length")
                frame = (path, header, cipher, number, at, stored, size, codec, ids, lengths)
                found.update(dict.fromkeys(ids, frame))
            require((offset, first) == (end, c), "has frames that do not fill it")
            return found

    def _read_frame(self, frame: Frame) -> dict[bytes, bytes]:
        """container.md, Frame: its chunks by id; rule 6 of its validity, and the ids themselves."""
        path, header, cipher, number, offset, stored, size, codec, ids, lengths = frame
        with naming(f"container {path.name}, frame {number}"), path.open("rb") as file:
            associated = b"HFFRAME1" + header[16:32] + bytes([header[10], codec, 0, 0])
            associated += struct.pack("<III32x", number, offset, size) + b"".join(ids)
            associated += struct.pack(f"<{len(lengths)}I", *lengths)
            file.seek(offset)
            plain = cipher.decrypt(struct.pack("<I8x", number), file.read(stored), associated)
            plain = unpack_zstd(plain, size) if codec == 1 else plain
            chunks = struct.unpack("".join(f"{length}s" for length in lengths), plain)
            purpose = "chunk id" if header[10] == 1 else "page id"
            require(ids == tuple(self.hash(purpose, c) for c in chunks), "has a wrong chunk id")
            return dict(zip(ids, chunks, strict=True))

    def read_chunk(self, chunk_id: bytes, hint: str, *, seek: bool = True) -> tuple[bytes, str]:
        """page.md, References: the chunk, and the container that had it. Ordinals save no work."""
        try:
            frames = self.directory(hint)
            with naming(f"container {hint}"):
                require(chunk_id in frames, f"has no chunk {chunk_id.hex()}, nor has another")
            return self.frame(frames[chunk_id])[chunk_id], hint
        except RefusalError:
            for container in self.copies.get(chunk_id, ()) if seek else ():
                with suppress(RefusalError):
                    return self.read_chunk(chunk_id, container, seek=False)
            raise

    @cached_property
    def copies(self) -> dict[bytes, list[str]]:
        """The containers of every chunk, from all directories; the damaged ones list nothing."""
        found: dict[bytes, list[str]] = {}
        for path in sorted((self.folder / "containers").glob("??/" + "[0-9a-f]" * 64)):
            with suppress(RefusalError):
                for chunk_id in self._read_directory(path.name):
                    found.setdefault(chunk_id, []).append(path.name)
        return found

    def point_path(self, machine: str, time: str) -> Path:
        """point.md: where a point lies."""
        mac = self.hash("machine", unicodedata.normalize("NFC", machine).encode())
        return self.folder / "points" / mac[:16].hex() / f"{re.sub('[:-]', '', time)}.point"

    def read_point(self, path: Path) -> Any:
        """point.md: the JSON object of a recovery point."""
        with naming(f"point {path.parent.name}/{path.name}"):
            raw = path.read_bytes()
            require(raw[:16] == b"HFPOINT1\1" + bytes(7), "has an unknown header")
            cipher = AESGCM(derive_key(self.master, raw[16:32], "holdfast point v1"))
            packed = cipher.decrypt(bytes(12), raw[32:], raw[:32])
            point = json.loads(unpack_zstd(packed, 64 * MIB))
            belongs = self.point_path(point["machine"], point["time"]) == path
            require(point["format"] == 1 and belongs, "is of another machine, time or format")
            return point

    def find_point(self, name: str) -> Any:
        """The point MACHINE@TIME; MACHINE@latest is the newest complete one."""
        machine, _, time = name.rpartition("@")
        wanted = self.point_path(machine, time)
        for path in sorted(wanted.parent.glob("*.point"), reverse=True):
            point = self.read_point(path) if time == "latest" or path == wanted else None
            if point and (path == wanted or point["state"] == "complete"):
                return point
        raise RefusalError(NOT_FOUND, f"{name}: there is no such point, see --list")

    def list_points(self) -> None:
        """Print a line for each point: its name, its state, the sizes of its disks in bytes."""
        damaged = []
        for path in sorted((self.folder / "points").glob("*/*.point"), key=lambda path: path.stem):
            try:
                point = self.read_point(path)
                sizes = [disk["size_bytes"] for disk in point["disks"]]
                print(f"{point['machine']}@{point['time']}", point["state"], *sizes, flush=True)
            except RefusalError as refusal:
                damaged.append(refusal.args[1])
        if damaged:
            raise RefusalError(DAMAGE, "; ".join(damaged))

    def walk(self, entries: list[Entry], level: int) -> Iterator[tuple[int, int, bytes]]:
        """page.md: (length, flag, content) of what entries name: pages of a level, data at -1."""
        for length, flag, chunk_id, hint in entries:
            content, home = self.read_chunk(chunk_id, hint) if flag == REFERENCE else (b"", "")
            if content and level >= 0:
                yield from self.walk(parse_page(content, home, level, length), level - 1)
            elif flag == REFERENCE and len(content) != length:
                raise RefusalError(DAMAGE, f"chunk {chunk_id.hex()}: is not as long as its piece")
            else:
                yield length, flag, content

    def write_disk(self, disk: Any) -> None:
        """page.md: a disk to standard output; at the end of a regular file zeros become holes."""
        with naming("the point"):
            level, size, root, offset, gaps = disk["level"], disk["size_bytes"], disk["root"], 0, []
            where = (1, bytes.fromhex(root["id"]), root["container"]) if root else (0, b"", "")
        with open(1, "wb", closefd=False) as out:
            is_sparse = os.path.isfile(1) and out.tell() == os.path.getsize(1)
            for length, flag, content in self.walk([(size, *where)], level):
                if is_sparse and not content:
                    out.truncate(out.tell() + length)
                    out.seek(0, os.SEEK_END)
                else:
                    for begin in range(0, length, MIB):
                        out.write(content or bytes(min(MIB, length - begin)))
                gaps += [f"{length} bytes at {offset}"] if flag == GAP else []
                offset += length
        if gaps:
            raise RefusalError(GAPS, f"unread by the backup, written as zeros: {', '.join(gaps)}")


def main() -> int:
    """Parse, call, and turn what went wrong into a line and an exit code."""
    parser = argparse.ArgumentParser(description="Restore a disk to standard output.")
    parser.add_argument("store", type=Path, help="STATE or STATE/store")
    parser.add_argument("key", type=Path, help="the recovery key file")
    parser.add_argument("point", nargs="?", help="MACHINE@TIME or MACHINE@latest")
    parser.add_argument("--disk", type=int, default=0, help="which of its disks, from 0")
    parser.add_argument("--list", action="store_true", help="list the points instead")
    options = parser.parse_args()
    if options.point and "@" not in options.point:
        parser.error("a point is MACHINE@TIME or MACHINE@latest")
    try:
        store = Store(options.store, read_recovery_key(options.key))
        if options.list or not options.point:
            store.list_points()
            return 0
        disks = store.find_point(options.point)["disks"]
        if options.disk not in range(len(disks)):
            raise RefusalError(NOT_FOUND, f"{options.point} has no disk {options.disk}")
        store.write_disk(disks[options.disk])
        return 0
    except RefusalError as refusal:
        exit_code, message = refusal.args
    except (KeyboardInterrupt, *UNREADABLE) as error:
        exit_code, message = FAILED, f"{type(error).__name__}: {error}"
    print("restore.py:", " ".join(message.split()), file=sys.stderr)
    return int(exit_code)


if __name__ == "__main__":
    sys.exit(main())
