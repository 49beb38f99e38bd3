"""Small stores for tests, filled through the doors that a backup uses."""

from __future__ import annotations

import hashlib
import hmac
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from appliance.base.progress import Progress
from appliance.formats.page import Reference
from appliance.formats.point import Disk, Manifest
from appliance.keys.hierarchy import MasterKey
from appliance.native import Ref
from appliance.store.chunk_index import ChunkIndex
from appliance.store.ingest import Ingest
from appliance.store.layout import Layout
from appliance.store.store import Store
from tests.command import ROOT, Child

KEYS = MasterKey(bytes(range(32)), bytes(range(16)))
TIME = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
# Two hours ago: long past the moment in which a folder's time may hide a second change.
SETTLED_NS = 2 * 3600 * 10**9


def make_store(state: Path) -> Store:
    """A new store without the reserve, which takes its time to be written."""
    layout = Layout(state)
    layout.make_missing_folders()
    for number in range(256):
        (layout.containers / f"{number:02x}").mkdir()
    return Store(state, KEYS)


def load_index(layout: Layout, progress: Progress | None = None) -> ChunkIndex:
    return ChunkIndex(layout, KEYS, progress or Progress())


def chunks_of(seed: int, count: int, size_bytes: int = 200) -> list[bytes]:
    chance = random.Random(seed)
    return [chance.randbytes(size_bytes) for _ in range(count)]


def id_of(chunk: bytes) -> bytes:
    return hmac.digest(KEYS.chunk_id_key, chunk, hashlib.sha256)


def add_container(
    layout: Layout, index: ChunkIndex, chunks: Sequence[bytes], *, is_spilled: bool = True
) -> tuple[bytes, list[Ref]]:
    """Seal a container of `chunks`, all new to `index`; gives its name and their references."""
    with Ingest(layout, KEYS, index) as ingest:
        stream = ingest.stream()
        refs = [stream.ingest_chunk(chunk) for chunk in chunks]
        slot = stream.open_slot
        stream.seal()
        ingest.drain()
    name = index.name_of(slot)
    assert name is not None
    if is_spilled:
        index.spill()
    return name, refs


def settle_folders(layout: Layout) -> None:
    """Let the folders of containers look as if nothing had changed for hours."""
    for folder in layout.containers.iterdir():
        at_ns = folder.stat().st_mtime_ns - SETTLED_NS
        os.utime(folder, ns=(at_ns, at_ns))


def missing(index: ChunkIndex, chunks: Sequence[bytes]) -> int:
    """How many of `chunks` the index does not know."""
    return sum(index.find(id_of(chunk)) is None for chunk in chunks)


def manifest_of(
    machine: str = "web1",
    *,
    time: datetime = TIME,
    gaps: tuple[tuple[int, int], ...] = (),
    root: Reference | None = None,
    size_bytes: int = 1 << 20,
) -> Manifest:
    disk = Disk(size_bytes, 1, root, "/srv/a.raw", "image", inconsistent=False, gaps=gaps)
    return Manifest(machine, time, (disk,), 1, 2, 3, 1.5, None, "holdfast test")


def start_python(code: str, *arguments: object) -> Child:
    """Another process that can import everything; its standard streams are pipes."""
    return Child(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
