"""Reading containers to see whether they are what was written, on all cores.

Owns what each depth of a check means. Changes nothing, and knows nothing of points. *Structure*
opens the directory; *ciphertext* compares the bytes with the container's name and needs no key;
*full* does both, decodes every chunk and recomputes its id.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from appliance.base.errors import AccessError, HoldfastError, IntegrityError, NotFoundError
from appliance.base.progress import Progress
from appliance.native import KIND_PAGE, Reader
from appliance.store.containers import Container, check_name
from appliance.store.ingest import IngestKeys
from appliance.store.layout import Layout

Depth = Literal["structure", "ciphertext", "full"]


@dataclass(frozen=True)
class Fault:
    """One damaged container."""

    name: bytes
    reason: str
    bad: frozenset[int] | None
    """Ordinals of damaged chunks; None where the directory is damaged and with it all of them."""
    is_certain: bool = True
    """False where reading failed for a reason that may pass: nothing may be done about it then."""

    def spoils(self, ordinal: int) -> bool:
        """Whether the chunk with this ordinal is damaged."""
        return self.bad is None or ordinal in self.bad


@dataclass(frozen=True)
class Checked:
    """A container that was read, and what is wrong with it if anything."""

    name: bytes
    size_bytes: int
    fault: Fault | None


class ContainerCheck:
    """Checks containers to one depth. Thread-safe. Without keys only the ciphertext is checked."""

    def __init__(self, layout: Layout, keys: IngestKeys | None, depth: Depth) -> None:
        if keys is None and depth != "ciphertext":
            raise ValueError("only the ciphertext can be checked without a key")
        self._layout = layout
        self._keys = keys
        self._depth = depth

    def check(self, name: bytes) -> Checked | None:
        """Read one container; None if it is gone. What is damaged is read twice to be sure.

        Raises AccessError where the file may not be read.
        """
        try:
            checked = self._check(name)
            return checked if checked.fault is None else self._check(name)
        except NotFoundError:
            return None

    def _check(self, name: bytes) -> Checked:
        path = self._layout.container(name)
        try:
            size_bytes = path.stat().st_size
        except FileNotFoundError as error:
            raise NotFoundError(f"container {name.hex()} is missing") from error
        return Checked(name, size_bytes, self._fault(name))

    def _fault(self, name: bytes) -> Fault | None:
        reason = self._name_fault(name) if self._depth != "structure" else ""
        if self._keys is None:
            return Fault(name, reason, None) if reason else None
        try:
            container = Container(self._layout, self._keys, name)
        except (NotFoundError, AccessError):
            raise
        except HoldfastError as error:
            is_certain = isinstance(error, IntegrityError)
            return Fault(name, str(error), None, is_certain=is_certain)
        bad = frozenset[int]()
        try:
            if reason or self._depth == "full":
                bad = self._bad_ordinals(container, self._keys)
        finally:
            container.close()
        if bad and not reason:
            reason = f"container {name.hex()}: {len(bad)} chunks do not authenticate"
        return Fault(name, reason, bad) if reason else None

    def _name_fault(self, name: bytes) -> str:
        try:
            check_name(self._layout, name)
        except IntegrityError as error:
            return str(error)
        return ""

    @staticmethod
    def _bad_ordinals(container: Container, keys: IngestKeys) -> frozenset[int]:
        is_page = container.directory.kind == KIND_PAGE
        id_key = keys.page_id_key if is_page else keys.chunk_id_key
        return frozenset(Reader().verify(container.directory, container.descriptor, id_key))


def check_all(
    names: Iterable[bytes], check: Callable[[bytes], Checked | None], progress: Progress
) -> Iterator[Checked]:
    """Check `names` on all cores and give them in order; those that are gone are left out.

    Memory does not grow with their number. Raises Cancelled when `progress` was cancelled.
    """
    threads = os.cpu_count() or 1
    waiting: deque[Future[Checked | None]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="check")
    try:
        for name in names:
            waiting.append(pool.submit(check, name))
            if len(waiting) > threads:
                yield from _settle(waiting.popleft(), progress)
        while waiting:
            yield from _settle(waiting.popleft(), progress)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _settle(future: Future[Checked | None], progress: Progress) -> Iterator[Checked]:
    checked = future.result()
    if checked is None:
        progress.check()
        return
    progress.advance(checked.size_bytes)
    yield checked
