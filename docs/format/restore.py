#!/usr/bin/env python3
"""Restore a disk of a recovery point from a bare store directory and the recovery key.

    restore.py STORE-DIR RECOVERY-KEY-FILE MACHINE@TIME [--disk N] > disk.raw
    restore.py STORE-DIR RECOVERY-KEY-FILE --list

Written from the pages beside it, without the product's code; needs Python 3.11, `cryptography`
and `zstandard`. It only reads. Whatever it writes was authenticated, and its chunk ids recomputed;
not checked is what the disk does not need, and the SHA-256 that names a container.
Exit codes: 0 done, 1 failed, 2 usage, 3 gaps written as zeros, 4 damage, 5 not found, 8 wrong key.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import re
import stat
import struct
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FAILED, USAGE, GAPS, DAMAGE, NOT_FOUND, WRONG_KEY = 1, 2, 3, 4, 5, 8  # exit codes
REFERENCE, GAP = 1, 2  # flags of a page's entries; 0 is zeros
MIB = 1024 * 1024
ZERO_NONCE = bytes(12)  # of keys that are used once
GARBAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
UNREADABLE = (*GARBAGE, struct.error, zstandard.ZstdError, InvalidTag, OSError)


class RefusalError(Exception):
    """(exit code, what the user is told in one line)."""


@contextmanager
def naming(what: str, exit_code: int = DAMAGE) -> Iterator[None]:
    """Whatever goes wrong with hostile bytes is told as the damage of a thing with a name."""
    try:
        yield
    except UNREADABLE as error:
        reason = "does not authenticate" if isinstance(error, InvalidTag) else error
        reason = getattr(error, "strerror", None) or reason
        raise RefusalError(exit_code, f"{what}: {reason}") from error


def require(condition: bool, breach: str) -> None:
    """Hold bytes to a rule of the pages, inside `naming`."""
    if not condition:
        raise ValueError(breach)


def unpack_zstd(packed: bytes, limit_bytes: int) -> bytes:
    """Decode exactly one zstd frame (RFC 8878)."""
    require(zstandard.frame_content_size(packed) <= limit_bytes, "unpacks to too much")
    unpacker = zstandard.ZstdDecompressor()
    return unpacker.decompress(packed, max_output_size=limit_bytes, allow_extra_data=False)


def derive_key(secret: bytes, salt: bytes, info: str) -> bytes:
    """keys.md: HKDF-SHA-256 (RFC 5869) for 32 bytes, which is one block."""
    return hmac.digest(hmac.digest(salt, secret, "sha256"), info.encode() + b"\1", "sha256")


def read_recovery_key(path: Path) -> bytes:
    """keys.md, Recovery key file: the base32 line. The words carry the same and are not needed."""
    with naming(f"key file {path}", WRONG_KEY):
        lines = path.read_text("utf-8", "replace").splitlines()
        carried = [line[7:] for line in lines if line.lower().startswith("base32:")]
        require(len(carried) == 1, "does not have one line that begins with base32:")
        raw = base64.b32decode(re.sub(r"[\s-]", "", carried[0]).upper())
        checksum = hashlib.sha256(b"holdfast recovery v1" + raw[:32]).digest()[:3]
        require(raw[32:] == checksum, "has a wrong checksum: a letter was lost or mistyped")
        return raw[:32]


def open_wrap(path: Path, secret: bytes, store_id: bytes) -> bytes:
    """keys.md, Wraps: the master key, if this file wraps it for the recovery key."""
    with naming(f"wrap {path.name}"):
        wrap = json.loads(path.read_bytes())
        kind = wrap["format"], wrap["kind"], wrap["kdf"]["name"]
        require(kind == (1, "recovery", "hkdf-sha256"), "is not for a recovery key")
        wrapping = derive_key(secret, bytes.fromhex(wrap["salt"]), "holdfast wrap v1 recovery")
        sealed = bytes.fromhex(wrap["sealed"])
        return AESGCM(wrapping).decrypt(ZERO_NONCE, sealed, b"holdfast wrap v1" + store_id)


class Frame(NamedTuple):
    """container.md, Directory: a frame and the chunks in it."""

    offset: int
    stored: int
    plain: int
    codec: int
    ids: tuple[bytes, ...]
    lengths: tuple[int, ...]


class Directory(NamedTuple):
    """container.md, Directory: what a container holds; `home` is the frame of each chunk id."""

    header: bytes
    cipher: AESGCM
    frames: list[Frame]
    home: dict[bytes, int]


def parse_frames(plain: bytes, end: int) -> list[Frame]:
    """container.md, Directory, and rules 3 to 5 of its validity; the last frame ends at `end`."""
    n, chunks, bases, extension = struct.unpack_from("<IIII", plain)
    size = 16 + 24 * n + 36 * chunks
    require(bases == 0 and len(plain) == size + extension, "has a malformed directory")
    layout = "<" + "32s" * chunks + f"{chunks}I"
    columns = struct.unpack_from(layout, plain, 16 + 24 * n)
    ids, lengths, offset, first, frames = columns[:chunks], columns[chunks:], 64, 0, []
    for at, stored, size, start, count, *how in struct.iter_unpack(
        "<IIIIHBBI", plain[16:][: 24 * n]
    ):
        require((at, start) == (offset, first) and count > 0, "has frames out of order")
        require(how in ([0, 0, 0xFFFFFFFF], [1, 0, 0xFFFFFFFF]), "has a frame of unknown codec")
        offset, first = at + stored, start + count
        frames.append(Frame(at, stored, size, how[0], ids[start:first], lengths[start:first]))
        require(1 <= size == sum(frames[-1].lengths) <= MIB, "has a frame of wrong length")
    require((offset, first) == (end, chunks), "has frames that do not fill it")
    return frames


class Store:
    """An opened store. Its caches bound its memory; `copies` is made on the first stale hint."""

    def __init__(self, folder: Path, secret: bytes) -> None:
        """keys.md: check store.json, unwrap the master key."""
        self.folder = folder
        with naming(f"{folder}/store.json"):
            descriptor = json.loads((folder / "store.json").read_bytes())
            self.id = bytes.fromhex(descriptor["store_id"])
            is_newer = descriptor["format"] > 1
        if is_newer:
            raise RefusalError(FAILED, f"{folder}: the store's format is newer than this program")
        self.master = self._unwrap(secret)
        self.directory = lru_cache(maxsize=64)(self._read_directory)
        self.frame = lru_cache(maxsize=64)(self._read_frame)

    def _unwrap(self, secret: bytes) -> bytes:
        for path in sorted((self.folder / "keys").glob("*.json")):
            with suppress(RefusalError):
                return open_wrap(path, secret, self.id)
        raise RefusalError(WRONG_KEY, f"{self.folder}: this key does not open the store")

    def hash(self, purpose: str, content: bytes) -> bytes:
        """HMAC-SHA-256 under a key of keys.md, Derived keys."""
        key = derive_key(self.master, self.id, f"holdfast {purpose} v1")
        return hmac.digest(key, content, "sha256")

    def _read_directory(self, container: str) -> Directory:
        """container.md: header, trailer, directory; rules 1 and 2 of its validity."""
        path = self.folder / "containers" / container[:2] / container
        with naming(f"container {container}"), path.open("rb") as file:
            header, size = file.read(64), file.seek(0, os.SEEK_END)
            require(96 <= size <= 32 * MIB, "has an impossible size")
            require(header[:12] in (b"HFCONT01\1\0\1\0", b"HFCONT01\1\0\2\0"), "has a bad header")
            file.seek(size - 32)
            offset, length, magic = struct.unpack("<QQ8s8x", file.read(32))
            require(magic == b"HFCEND01" and offset + length + 32 == size, "has a bad trailer")
            file.seek(offset)
            cipher = AESGCM(derive_key(self.master, header[16:32], "holdfast container v1"))
            associated = header + b"HFDIR001" + struct.pack("<Q", offset)
            plain = cipher.decrypt(b"\xff" * 12, file.read(length), associated)
            frames = parse_frames(plain, offset)
            home = {chunk_id: n for n, frame in enumerate(frames) for chunk_id in frame.ids}
            return Directory(header, cipher, frames, home)

    def _read_frame(self, container: str, number: int) -> dict[bytes, bytes]:
        """container.md, Frame: its chunks by id; rule 6 of its validity, and the ids themselves."""
        header, cipher, frames, _ = self.directory(container)
        offset, stored, size, codec, ids, lengths = frames[number]
        path = self.folder / "containers" / container[:2] / container
        with naming(f"container {container}, frame {number}"), path.open("rb") as file:
            layout = f"<8s16s4B3I32x{32 * len(ids)}s{len(ids)}I"
            what = (header[10], codec, 0, 0, number, offset, size, b"".join(ids), *lengths)
            associated = struct.pack(layout, b"HFFRAME1", header[16:32], *what)
            file.seek(offset)
            plain = cipher.decrypt(struct.pack("<I8x", number), file.read(stored), associated)
            plain = unpack_zstd(plain, size) if codec else plain
            require(len(plain) == size, "decodes to a wrong length")
            cuts = pairwise(accumulate(lengths, initial=0))
            chunks = [plain[begin:end] for begin, end in cuts]
            purpose = {1: "chunk id", 2: "page id"}[header[10]]
            require(ids == tuple(self.hash(purpose, c) for c in chunks), "has a wrong chunk id")
            return dict(zip(ids, chunks, strict=True))

    def _read_chunk(self, chunk_id: bytes, container: str) -> bytes:
        home = self.directory(container).home
        with naming(f"container {container}"):
            require(chunk_id in home, f"does not hold chunk {chunk_id.hex()}, nor does another")
        return self.frame(container, home[chunk_id])[chunk_id]

    def read_chunk(self, chunk_id: bytes, hint: str) -> tuple[bytes, str]:
        """page.md, References: the chunk, and the container that had it. Ordinals save no work."""
        try:
            return self._read_chunk(chunk_id, hint), hint
        except RefusalError:
            for container in self.copies.get(chunk_id, ()):
                with suppress(RefusalError):
                    return self._read_chunk(chunk_id, container), container
            raise

    @cached_property
    def copies(self) -> dict[bytes, list[str]]:
        """The containers of every chunk, from all directories; the damaged ones list nothing."""
        found: dict[bytes, list[str]] = {}
        for path in sorted((self.folder / "containers").glob("??/" + "[0-9a-f]" * 64)):
            with suppress(RefusalError):
                for chunk_id in self._read_directory(path.name).home:
                    found.setdefault(chunk_id, []).append(path.name)
        return found


class Entry(NamedTuple):
    """page.md: some bytes of the disk, what they read as, and where: page or chunk."""

    length: int
    flag: int
    id: bytes
    container: str


def parse_page(page: bytes, home: str, level: int, size: int) -> list[Entry]:
    """page.md, Layout and validity; `size` is how much of the disk the page covers."""
    magic, version, own_level, k, n = struct.unpack_from("<4sBBHI", page)
    require((magic, version, own_level) == (b"HFPG", 1, level), "is not a page of its level")
    require(32 * k + 39 * n <= len(page), "is too short")
    tail = {0: f"{n}I", 1: f"{16 * n}x"}.get(level, "")
    columns = struct.unpack("<16x" + "32s" * (k + n) + f"{n}H{4 * n}x{n}B{tail}", page)
    ids, indexes, flags, lengths = (columns[k + n * i : k + n * (i + 1)] for i in range(4))
    if level > 0:
        span = 4 * MIB * 128 ** (level - 1)
        lengths = tuple(min(span, size - begin) for begin in range(0, size, span))
    require(len(lengths) == n and sum(lengths) == size and 0 not in lengths, "has wrong lengths")
    require(max(flags) <= (REFERENCE if level else GAP), "has unknown flags")
    names = dict(enumerate(columns[:k])) | {0xFFFF: bytes.fromhex(home)}
    homes = (names[i].hex() if flag == REFERENCE else "" for i, flag in zip(indexes, flags))
    return [*map(Entry, lengths, flags, ids, homes)]


def walk(store: Store, entry: Entry, level: int) -> Iterator[tuple[Entry, bytes]]:
    """page.md: what the entry stands for, in order. It names a page of `level`, or data below 0."""
    if entry.flag != REFERENCE:
        yield entry, b""
        return
    content, home = store.read_chunk(entry.id, entry.container)
    with naming(f"chunk {entry.id.hex()}"):
        require(level >= 0 or len(content) == entry.length, "has a length its page does not state")
        below = parse_page(content, home, level, entry.length) if level >= 0 else []
    if level < 0:
        yield entry, content
    for entry_below in below:
        yield from walk(store, entry_below, level - 1)
