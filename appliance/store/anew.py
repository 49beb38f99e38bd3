"""Chunks that only the second copy has, under another container's name, stored in new containers.

Owns the writer's lease around it. References are by id: points find the chunks wherever they lie.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import NamedTuple

from appliance.base.errors import HoldfastError
from appliance.base.progress import Progress
from appliance.formats.page import Reference
from appliance.store.ingest import Ingest
from appliance.store.leases import writer_lease
from appliance.store.store import Store


class Missed(NamedTuple):
    """A chunk that only the second copy gives, and that a point on the box needs."""

    reference: Reference
    is_page: bool


def store_anew(
    store: Store, wanted: Iterable[Missed], progress: Progress, gone: Iterable[bytes] = ()
) -> tuple[int, list[Missed]]:
    """Bring chunks of the second copy into new containers, durable on return.

    `gone`: containers that the index may still name though they are not here. Gives how many bytes
    came, and what could not be got. Raises NoSpaceError.
    """
    came_bytes, lost = 0, []
    with writer_lease(store.layout):
        index = store.load_index(progress)
        for name in gone:
            index.native.kill_slot(index.native.slot_of(name))
        with Ingest(store.layout, store.keys, index) as ingest:
            data, pages = ingest.stream(), ingest.page_stream()
            for one in wanted:
                chunk = None
                with contextlib.suppress(HoldfastError):
                    chunk = store.chunks.read_elsewhere(one.reference)
                if chunk is None:
                    lost.append(one)
                    continue
                (pages if one.is_page else data).ingest_chunk(chunk)
                came_bytes += len(chunk)
                progress.advance(len(chunk))
            data.seal()
            pages.seal()
            ingest.drain()
        index.spill()
    return came_bytes, lost
