"""Fixed values that the golden files hold, and damage for fuzz tests."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from appliance.base.errors import HoldfastError
from appliance.formats.keyfile import ScryptCost, StoreDescriptor, Wrap
from appliance.formats.names import PointName
from appliance.formats.page import (
    EXTENT_BYTES,
    FLAG_DATA,
    FLAG_GAP,
    FLAG_ZERO,
    TAG_BYTES,
    BranchPage,
    Entry,
    LeafPage,
    Piece,
    Reference,
    block_count,
)
from appliance.formats.point import Disk, Manifest

GOLDEN = Path(__file__).parents[1] / "golden"
MUTATIONS = 2000

ID_A, ID_B, ID_C = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
CONTAINER_A, CONTAINER_B = b"\xaa" * 32, b"\xbb" * 32
TIME = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
STORE_ID = bytes(range(16))
MASTER_SECRET = bytes(range(100, 132))
RECOVERY_KEY = bytes(range(200, 232))
BOX_KEY = bytes(range(32))

LEAF = LeafPage(
    (
        Piece(65536, FLAG_DATA, Reference(ID_A, CONTAINER_A, 7)),
        Piece(512, FLAG_GAP, None),
        Piece(70000, FLAG_DATA, Reference(ID_B, None, 0xFFFFFFFF)),
        Piece(4096, FLAG_DATA, Reference(ID_C, CONTAINER_B, 0)),
        Piece(EXTENT_BYTES - 140144, FLAG_ZERO, None),
    ),
    bytes(range(128)) * 8,
)
BRANCH = BranchPage(
    1,
    (
        Entry(FLAG_DATA, Reference(ID_A, None, 1), b"T" * 16),
        Entry(FLAG_ZERO, None, bytes(16)),
        Entry(FLAG_DATA, Reference(ID_B, CONTAINER_A, 2), bytes(16)),
    ),
)
MANIFEST = Manifest(
    machine="Büro 1",
    time=TIME,
    disks=(
        Disk(
            size_bytes=3 * EXTENT_BYTES - 5,
            level=1,
            root=Reference(ID_C, CONTAINER_B, 12),
            source="/srv/a.raw",
            kind="image",
            inconsistent=False,
            gaps=((512, 1024), (8192, 512)),
        ),
        Disk(0, 1, None, "/dev/sdb", "block", True, ()),
    ),
    new_bytes=123,
    stored_bytes=456,
    read_bytes=2**40,
    seconds=1.5,
    base=PointName("Büro 1", TIME.replace(hour=8)),
    program="holdfast 0.1.0",
)
DESCRIPTOR = StoreDescriptor(2, STORE_ID.hex(), "2026-11-21T09:30:00Z")
PASSPHRASE = "Grüße aus dem Büro"
SMALL_SCRYPT = ScryptCost(n=1024, r=8, p=2)


def leaf_of(*pieces: Piece) -> LeafPage:
    """A leaf whose block tags are not known."""
    length = sum(piece.length for piece in pieces)
    return LeafPage(pieces, bytes(TAG_BYTES * block_count(length)))


def read_golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One to four random edits: flip, overwrite, insert, delete, cut, repeat."""
    mutant = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(mutant) + 1)
        match chance.randrange(6):
            case 0 if at < len(mutant):
                mutant[at] ^= 1 << chance.randrange(8)
            case 1:
                mutant[at : at + 4] = chance.randbytes(4)
            case 2:
                mutant[at:at] = chance.choice([b"\0", b"\xff", b"9", b'"', b"-", b"\n", b"[", b"{"])
            case 3:
                del mutant[at : at + chance.randint(1, 9)]
            case 4:
                del mutant[at:]
            case _:
                mutant += mutant[at : at + 40]
    return bytes(mutant)


def assert_survives(
    parse: Callable[[bytes], object], data: bytes, seed: int, count: int = MUTATIONS
) -> None:
    """`parse` meets mutants of `data`: each parses or raises a HoldfastError of one line.

    Most must be refused, or the mutants would prove nothing.
    """
    chance = random.Random(seed)
    refused, messages = 0, set[str]()
    for _ in range(count):
        try:
            parse(mutate(data, chance))
        except HoldfastError as error:
            refused += 1
            messages.add(str(error))
    assert refused > count // 4
    assert not [message for message in messages if len(message.splitlines()) != 1]


def example_wrap(kind: str, sealed: bytes = bytes(48)) -> Wrap:
    return Wrap(kind, bytes(range(32)), SMALL_SCRYPT if kind == "passphrase" else None, sealed)
