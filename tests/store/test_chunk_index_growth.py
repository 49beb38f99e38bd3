"""What the index takes in memory, at three sizes and by counts, never by time."""

from __future__ import annotations

import os
import random
from pathlib import Path

from appliance.native import Index
from appliance.native.index import IndexMemory
from appliance.native.library import lib
from appliance.store.chunk_index import PENDING_MAX_ENTRIES

CHUNK_BYTES = 64 << 10
CHUNKS_PER_CONTAINER = 512
SIZES = (250_000, 700_000, 2_000_000)
TEBIBYTE = 1 << 40
FIFTY_TERABYTES = 50 * 10**12
LIMIT_BYTES_PER_TIB = 20 << 20


def fill(index: Index, entries: int, seed: int) -> None:
    chance = random.Random(seed)
    for first in range(0, entries, CHUNKS_PER_CONTAINER):
        count = min(CHUNKS_PER_CONTAINER, entries - first)
        slot = index.slot_of(chance.randbytes(32))
        assert lib.hf_index_learn(index.handle, slot, chance.randbytes(32 * count), count) == 0


def measure(path: Path, entries: int, seed: int) -> IndexMemory:
    """What an index that opens a run of so many entries takes."""
    index = Index()
    fill(index, entries, seed)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        index.write(0, descriptor)
        opened = Index()
        opened.add_run(descriptor)
    finally:
        os.close(descriptor)
    assert opened.run_entries(0) == entries
    return opened.memory()


def test_memory_stays_below_twenty_mib_per_tib(tmp_path: Path, seed: int) -> None:
    per_entry = []
    for entries in SIZES:
        memory = measure(tmp_path / "run", entries, seed)
        steady = memory.filters + memory.marks + memory.containers
        per_entry.append(steady / entries)
        file_bytes = (tmp_path / "run").stat().st_size
        print(f"{entries} entries: {memory}, {steady / entries:.3f} B, {file_bytes / entries:.1f}")
        assert steady / entries < LIMIT_BYTES_PER_TIB / (TEBIBYTE / CHUNK_BYTES)
        assert file_bytes / entries < 26
    assert per_entry[-1] < per_entry[0]
    steady = int(per_entry[-1] * FIFTY_TERABYTES / CHUNK_BYTES)
    # The memory table of a backup is full just before it is spilled.
    table = Index()
    fill(table, PENDING_MAX_ENTRIES, seed)
    total = steady + table.memory().table
    print(f"50 TB: {total * TEBIBYTE / FIFTY_TERABYTES / (1 << 20):.1f} MiB per TiB")
    assert total * TEBIBYTE / FIFTY_TERABYTES < LIMIT_BYTES_PER_TIB


def test_a_table_is_spilled_before_it_doubles(seed: int) -> None:
    """Two thirds full it doubles; threads may add some batches after the limit is seen."""
    index = Index()
    fill(index, PENDING_MAX_ENTRIES, seed)
    full = index.memory().table
    fill(index, 50_000, seed + 1)
    assert index.memory().table == full
