"""A small store written from docs/format alone, by other code than the product's.

Owns one disk with everything the pages speak of: chunks that share frames, several containers,
both codecs, zeros, a gap, a map of two levels. It never imports the product, nor `restore.py`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KIB, EXTENT = 1024, 4 * 1024 * 1024
DATA, PAGES = 1, 2
ZEROS, REFERENCE, GAP = 0, 1, 2
HERE = 0xFFFF
TIME = "2026-11-21T09:30:00Z"
GAP_OFFSET, GAP_LENGTH = 2 * EXTENT + 64 * KIB, 8 * KIB
DISK_BYTES = 129 * EXTENT + 12345  # 130 extents: the root has level 2, the last one is short

Place = tuple[bytes, bytes, int]  # id, container name, ordinal
Piece = tuple[int, int, Place]  # flag, length, place
NOWHERE: Place = (bytes(32), bytes(32), 0)


def hkdf(secret: bytes, salt: bytes, info: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info.encode()).derive(secret)


@dataclass
class TinyStore:
    """A store being written; everything random in it comes from the seed."""

    state: Path
    seed: int
    content: dict[int, bytes] = field(default_factory=dict)  # what the disk holds, by offset
    containers: list[Path] = field(default_factory=list)  # in the order of their writing

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.folder = self.state / "store"
        self.id, self.master = self.random.randbytes(16), self.random.randbytes(32)
        self.recovery_key = self.random.randbytes(32)
        (self.folder / "keys").mkdir(parents=True)
        descriptor = {"format": 1, "store_id": self.id.hex(), "created": TIME, "colour": "unknown"}
        (self.folder / "store.json").write_text(json.dumps(descriptor))
        self.write_wrap("box", self.random.randbytes(32))
        self.write_wrap("recovery", self.recovery_key)
        self.key_file = self.write_key_file("recovery.txt", self.recovery_key)

    def key(self, purpose: str) -> bytes:
        return hkdf(self.master, self.id, f"holdfast {purpose} v1")

    def write_wrap(self, kind: str, secret: bytes) -> None:
        salt = self.random.randbytes(32)
        cipher = AESGCM(hkdf(secret, salt, f"holdfast wrap v1 {kind}"))
        sealed = cipher.encrypt(bytes(12), self.master, b"holdfast wrap v1" + self.id)
        wrap = {"format": 1, "kind": kind, "kdf": {"name": "hkdf-sha256"}}
        wrap |= {"salt": salt.hex(), "sealed": sealed.hex()}
        (self.folder / "keys" / f"{kind}.json").write_text(json.dumps(wrap))

    def write_key_file(self, name: str, key: bytes) -> Path:
        checksum = hashlib.sha256(b"holdfast recovery v1" + key).digest()[:3]
        text = base64.b32encode(key + checksum).decode().lower()
        groups = "-".join(text[at : at + 7] for at in range(0, len(text), 7))
        path = self.state / name
        path.write_text(f"# keep this apart from the store\n1 these words are not read 00\nbase32: {groups}\n")
        return path

    # ---- container.md ----

    def write_container(self, kind: int, frames: Sequence[Sequence[bytes]]) -> list[Place]:
        """Seal chunks into frames, every second one compressed; where the chunks are."""
        container_id = self.random.randbytes(16)
        cipher = AESGCM(hkdf(self.master, container_id, "holdfast container v1"))
        id_key = self.key("chunk id" if kind == DATA else "page id")
        out = struct.pack("<8sHBBI16s32x", b"HFCONT01", 1, kind, 0, 0, container_id)
        header, entries, ids, lengths = out, b"", [], []
        for number, chunks in enumerate(frames):
            plain, codec = b"".join(chunks), number % 2
            new_ids = [hmac.digest(id_key, chunk, "sha256") for chunk in chunks]
            new_lengths = struct.pack(f"<{len(chunks)}I", *map(len, chunks))
            about = struct.pack("<8s16s4B", b"HFFRAME1", container_id, kind, codec, 0, 0)
            about += struct.pack("<III32x", number, len(out), len(plain))
            about += b"".join(new_ids) + new_lengths
            packed = zstandard.compress(plain) if codec else plain
            sealed = cipher.encrypt(struct.pack("<I8x", number), packed, about)
            numbers = (len(out), len(sealed), len(plain), len(ids), len(chunks), codec, 0)
            entries += struct.pack("<IIIIHBBI", *numbers, 0xFFFFFFFF)
            out, ids, lengths = out + sealed, ids + new_ids, [*lengths, new_lengths]
        extension = b"a later version wrote this"
        plain = struct.pack("<IIII", len(frames), len(ids), 0, len(extension)) + entries
        plain += b"".join(ids) + b"".join(lengths) + extension
        where = struct.pack("<Q", len(out))
        directory = cipher.encrypt(b"\xff" * 12, plain, header + b"HFDIR001" + where)
        out += directory + where + struct.pack("<Q8s8x", len(directory), b"HFCEND01")
        name = hashlib.sha256(out).digest()
        path = self.folder / "containers" / name.hex()[:2] / name.hex()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(out)
        self.containers.append(path)
        return [(chunk_id, name, ordinal) for ordinal, chunk_id in enumerate(ids)]

    # ---- page.md ----

    def page(self, level: int, pieces: Sequence[Piece]) -> bytes:
        """A page; a place without a container is in the page's own one."""
        names = sorted({name for flag, _, (_, name, _) in pieces if flag == REFERENCE and name})
        flags = bytes(flag for flag, _, _ in pieces)
        n = len(pieces)
        indexes = [
            0 if flag != REFERENCE else names.index(name) if name else HERE
            for flag, _, (_, name, _) in pieces
        ]
        page = struct.pack("<4sBBHII", b"HFPG", 1, level, len(names), n, 0)
        page += b"".join(names) + b"".join(chunk_id for _, _, (chunk_id, _, _) in pieces)
        page += struct.pack(f"<{n}H", *indexes)
        page += struct.pack(f"<{n}I", *(ordinal for _, _, (_, _, ordinal) in pieces)) + flags
        if level == 0:
            page += struct.pack(f"<{n}I", *(length for _, length, _ in pieces))
        return page + (self.random.randbytes(16 * n) if level == 1 else b"")

    def write_disk(self, *, gap: bool = False, stale: bool = False) -> str:
        """Write chunks, map and point; the point's name. With `stale` all hints are wrong."""
        sizes = [100 * KIB, 50 * KIB, 3, 200 * KIB, 30 * KIB]
        chunks = [self.random.randbytes(1 + size // 64) * 64 for size in sizes]
        places = self.write_container(DATA, [chunks[:2], chunks[2:3]])
        places += self.write_container(DATA, [[b"unused"], chunks[3:]])
        hints = [self.mislead(place) if stale else place for place in places if True]
        return self.write_map(chunks, [*hints[:3], *hints[4:]], gap=gap, stale=stale)
