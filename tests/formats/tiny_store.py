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
from collections.abc import Callable, Sequence
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
MACHINE = "b\u00fcro 1"
GAP_OFFSET, GAP_LENGTH = 2 * EXTENT + 200 * KIB, 8 * KIB
DISK_BYTES = 129 * EXTENT + 12345  # 130 extents: the root has level 2, the last one is short

Place = tuple[bytes, bytes, int]  # id, container name, ordinal
Piece = tuple[int, int, Place]  # flag, length, place
NOWHERE: Place = (bytes(32), b"", 0)


def hkdf(secret: bytes, salt: bytes, info: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info.encode()).derive(secret)


@dataclass
class TinyStore:
    """A store being written; everything random in it comes from the seed."""

    state: Path
    seed: int
    stated_bytes: int = DISK_BYTES  # the size that the point states
    lie: bool = False  # frames hold other chunks than their ids say
    chunks: list[bytes] = field(default_factory=list)  # the data chunks of the disk
    containers: list[Path] = field(default_factory=list)  # in the order of their writing

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.folder = self.state / "store"
        self.id, self.master = self.random.randbytes(16), self.random.randbytes(32)
        self.recovery_key = self.random.randbytes(32)
        (self.folder / "keys").mkdir(parents=True)
        descriptor = {"format": 2, "store_id": self.id.hex(), "created": TIME, "colour": "unknown"}
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
        path.write_text(
            f"# keep this apart from the store\n1 these words are not read 00\nbase32: {groups}\n"
        )
        return path

    # ---- container.md ----

    def write_container(self, kind: int, frames: Sequence[Sequence[bytes]]) -> list[Place]:
        """Seal chunks into frames, every second one compressed; where the chunks are."""
        container_id = self.random.randbytes(16)
        cipher = AESGCM(hkdf(self.master, container_id, "holdfast container v1"))
        id_key = self.key("chunk id" if kind == DATA else "page id")
        out = struct.pack("<8sHBBI16s32x", b"HFCONT01", 1, kind, 0, 0, container_id)
        header, entries = out, b""
        ids: list[bytes] = []
        lengths: list[bytes] = []
        for number, chunks in enumerate(frames):
            plain, codec = b"".join(chunks), number % 2
            new_ids = [hmac.digest(id_key, chunk, "sha256") for chunk in chunks]
            new_lengths = struct.pack(f"<{len(chunks)}I", *map(len, chunks))
            about = struct.pack("<8s16s4B", b"HFFRAME1", container_id, kind, codec, 0, 0)
            about += struct.pack("<III32x", number, len(out), len(plain))
            about += b"".join(new_ids) + new_lengths
            plain = plain[::-1] if self.lie else plain
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
        """A page; where a place names no container, it is the page's own one."""
        names = sorted({name for _, _, (_, name, _) in pieces if name})
        places = [place for _, _, place in pieces]
        n, indexes = len(pieces), [names.index(place[1]) if place[1] else HERE for place in places]
        for at, (flag, _, _) in enumerate(pieces):
            indexes[at] = indexes[at] if flag == REFERENCE else 0
        page = struct.pack("<4sBBHII", b"HFPG", 2, level, len(names), n, 0)
        page += b"".join(names) + b"".join(place[0] for place in places)
        page += struct.pack(f"<{n}H{n}I", *indexes, *(place[2] for place in places))
        page += bytes(flag for flag, _, _ in pieces)
        if level == 0:
            page += struct.pack(f"<{n}I", *(length for _, length, _ in pieces))
        blocks = -(-sum(length for _, length, _ in pieces) // 65536)
        return page + self.random.randbytes({0: 16 * blocks, 1: 16 * n}.get(level, 0))

    def here(self, page: bytes, ordinal: int) -> Piece:
        """A reference to a page of the container that the referring page will be in."""
        return REFERENCE, 0, (hmac.digest(self.key("page id"), page, "sha256"), b"", ordinal)

    def mislead(self, place: Place) -> Place:
        """Turn a true reference into a stale one: a container that is gone, or another one."""
        gone, other = self.random.randbytes(32), bytes.fromhex(self.containers[0].name)
        return place[0], gone if place[2] % 2 else other, place[2] + 7

    def write_disk(self, image: Path, *, has_gap: bool = False, is_stale: bool = False) -> str:
        """Write chunks, map and point, and what the disk holds to `image`; the point's name."""
        hint = self.mislead if is_stale else lambda place: place
        sizes = (100 * KIB, 50 * KIB, 3, 200 * KIB, 12345)
        chunks = [(self.random.randbytes(500) * (1 + size // 500))[:size] for size in sizes]
        self.chunks = chunks
        places = self.write_container(DATA, [chunks[:2], chunks[2:3]])
        places += self.write_container(DATA, [[b"of no use"], chunks[3:]])[1:]
        a, b, c, d, e = (
            (REFERENCE, len(chunk), hint(place))
            for chunk, place in zip(chunks, places, strict=True)
        )
        extents = {
            0: fill(a, zeros(7 * KIB), c, d, a),
            2: fill(d, (GAP if has_gap else ZEROS, GAP_LENGTH, NOWHERE), b, zeros(1), c),
            128: fill(zeros(EXTENT - len(chunks[1])), b),
            129: [e],
        }
        contents = {
            place[0]: chunk for (_, _, place), chunk in zip((a, b, c, d, e), chunks, strict=True)
        }
        write_image(image, extents, contents)
        return self.write_point(self.write_map(extents, hint), has_gap=has_gap)

    def write_map(self, extents: dict[int, list[Piece]], hint: Callable[[Place], Place]) -> Place:
        """Write two containers of pages, the second with references into itself; the root."""
        leaves = {number: self.page(0, pieces) for number, pieces in extents.items()}
        first = self.write_container(PAGES, [[leaves[0]], [leaves[2]]])
        low = [zeros(0)] * 128
        low[0], low[2] = (REFERENCE, 0, hint(first[0])), (REFERENCE, 0, hint(first[1]))
        high = [self.here(leaves[128], 0), self.here(leaves[129], 1)]
        branches = [self.page(1, low), self.page(1, high)]
        root = self.page(2, [self.here(branches[0], 2), self.here(branches[1], 3)])
        frames = [[leaves[128], leaves[129]], [*branches, root]]
        return hint(self.write_container(PAGES, frames)[-1])

    # ---- point.md ----

    def write_point(self, root: Place, *, has_gap: bool) -> str:
        """Write a point of two disks, the second all zeros; its name."""
        chunk_id, container, ordinal = root
        reference = {"id": chunk_id.hex(), "container": container.hex(), "ordinal": ordinal}
        gaps = [[GAP_OFFSET, GAP_LENGTH]] if has_gap else []
        disk = {"size_bytes": self.stated_bytes, "level": 2, "root": reference, "gaps": gaps}
        empty: dict[str, object] = {"size_bytes": 1000, "level": 1, "root": None, "gaps": []}
        point = {"format": 1, "machine": MACHINE, "time": TIME, "disks": [disk, empty]}
        point["state"] = "incomplete" if has_gap else "complete"
        start = struct.pack("<8sH6x16s", b"HFPOINT1", 1, self.random.randbytes(16))
        cipher = AESGCM(hkdf(self.master, start[16:], "holdfast point v1"))
        plain = zstandard.compress(json.dumps(point).encode())
        folder = hmac.digest(self.key("machine"), MACHINE.encode(), "sha256")[:16].hex()
        path = self.folder / "points" / folder / "20261121T093000Z.point"
        path.parent.mkdir(parents=True)
        path.write_bytes(start + cipher.encrypt(bytes(12), plain, start))
        return f"{MACHINE}@{TIME}"


def zeros(length: int) -> Piece:
    return ZEROS, length, NOWHERE


def fill(*pieces: Piece) -> list[Piece]:
    """Pieces, and zeros up to the end of the extent."""
    rest = EXTENT - sum(length for _, length, _ in pieces)
    return [*pieces, zeros(rest)] if rest else [*pieces]


def write_image(image: Path, extents: dict[int, list[Piece]], contents: dict[bytes, bytes]) -> None:
    """What a restored disk has to equal; sparse."""
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
        for number, pieces in extents.items():
            offset = number * EXTENT
            for flag, length, place in pieces:
                if flag == REFERENCE:
                    file.seek(offset)
                    file.write(contents[place[0]])
                offset += length
