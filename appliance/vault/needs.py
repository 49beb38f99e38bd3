"""Which objects of a vault a point needs: the walk over its maps.

Owns the choice of the object that serves each chunk. What the vault has comes first, so that
nothing is sent again because it moved on the box: a container whose chunks the vault holds in
other containers is *clothed*, its chunks become strays. What is below a page of level 1 is
remembered in the ledger, so that the next point of a machine costs what changed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.base.progress import Progress
from appliance.catalog.vault_ledger import VaultLedger
from appliance.formats.bill import WHOLE
from appliance.formats.page import FANOUT, Reference
from appliance.formats.point import Disk, Manifest
from appliance.store.chunk_index import ChunkIndex
from appliance.store.marking import read_page, references
from appliance.store.store import Store
from appliance.vault.wardrobe import Wardrobe

_COUNT = struct.Struct("<I")
_STRAY = struct.Struct("<32sII")
# Names looked up in the ledger are remembered up to here, about 25 MiB.
_REMEMBERED = 200_000

Place = tuple[int, int]
"""Number of an object in the ledger, and ordinal."""


@dataclass
class Needs:
    """What something needs: numbers of objects in the ledger, and where its strays are.

    Under the name of a container, with the ordinal `WHOLE`: into what it was merged.
    """

    numbers: set[int] = field(default_factory=set)
    strays: dict[bytes, Place] = field(default_factory=dict)

    def add(self, other: Needs) -> None:
        """Take in what something else needs."""
        self.numbers |= other.numbers
        self.strays |= other.strays

    def pack(self) -> bytes:
        """As the ledger keeps it."""
        numbers = sorted(self.numbers)
        return b"".join(
            (
                _COUNT.pack(len(numbers)),
                struct.pack(f"<{len(numbers)}I", *numbers),
                *(_STRAY.pack(chunk, *place) for chunk, place in self.strays.items()),
            )
        )

    @classmethod
    def unpack(cls, data: bytes) -> Needs:
        """Read what `pack` wrote."""
        (count,) = _COUNT.unpack_from(data)
        numbers = struct.unpack_from(f"<{count}I", data, _COUNT.size)
        strays = _STRAY.iter_unpack(data[_COUNT.size + 4 * count :])
        return cls(set(numbers), {chunk: (number, ordinal) for chunk, number, ordinal in strays})


class Walk:
    """Walks the maps of points of one store for one vault. Used by one thread at a time."""

    def __init__(
        self, store: Store, ledger: VaultLedger, wardrobe: Wardrobe, progress: Progress
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._wardrobe = wardrobe
        self._progress = progress
        self._index: ChunkIndex | None = None
        # Container -> its number if it serves under its own name; None if it does not.
        self._named: dict[bytes, int | None] = {}
        # Container -> the number of the one into which it was merged.
        self._merged: dict[bytes, int] = {}
        # Numbers of objects that serve under their own names.
        self._valid: set[int] = set()
        # Container of deltas -> what their bases need; None if the vault lost one of them.
        self._bases: dict[bytes, Needs | None] = {}

    def of_point(self, manifest: Manifest) -> Needs:
        """What all disks of a point need.

        Raises IntegrityError if something that the point refers to is lost on the box.
        """
        self._named.clear()  # the vault may have got or lost objects since
        self._merged.clear()
        self._valid.clear()
        self._bases.clear()
        needs = Needs()
        for disk in manifest.disks:
            if disk.root is not None:
                self._add_page(needs, disk, disk.root, disk.level, 0)
        return needs

    def _add_page(
        self, needs: Needs, disk: Disk, reference: Reference, level: int, number: int
    ) -> None:
        self._add_chunk(needs, reference)
        known = self._ledger.subtree(reference.chunk_id) if level == 1 else None
        if known is not None:
            remembered = Needs.unpack(known)
            if self._is_valid(remembered):
                needs.add(remembered)
                return
        self._progress.check()
        page = read_page(self._store.chunks, disk, reference, level, number)
        below = Needs() if level == 1 else needs
        for child, found in references(page, reference.container):
            if level == 0:
                self._add_chunk(below, found)
            else:
                self._add_page(below, disk, found, level - 1, number * FANOUT + child)
        if level == 1:
            self._ledger.put_subtree(reference.chunk_id, below.pack())
            needs.add(below)

    def _is_valid(self, remembered: Needs) -> bool:
        """Whether nothing that is still to be sent got into the vault under other names."""
        unknown = remembered.numbers - self._valid
        for held in self._ledger.objects(unknown):
            if not held.is_present:
                if held.name not in self._named:
                    self._named[held.name] = self._number(held.name)
                if self._named[held.name] is None:
                    return False
            self._valid.add(held.number)
        return True

    def _add_chunk(self, needs: Needs, reference: Reference) -> None:
        name = reference.container
        assert name is not None
        if name not in self._named:
            if len(self._named) >= _REMEMBERED:
                self._named.clear()
                self._merged.clear()
            self._named[name] = self._number(name)
        number = self._named[name]
        if number is None:
            place = needs.strays.get(reference.chunk_id) or self._place(reference)
            number = place[0]
            if number == self._merged.get(name):
                needs.strays[name] = (number, WHOLE)
            else:
                needs.strays[reference.chunk_id] = place
            self._add_bases(needs, number)
        needs.numbers.add(number)

    def _number(self, name: bytes) -> int | None:
        """The number of a container that serves under its own name, else None."""
        merged = self._ledger.merged(name)
        if merged is not None:
            self._merged[name] = merged
            return None
        held = self._ledger.find(name)
        if held is not None and held.is_present:
            return held.number
        path = self._store.layout.container(name)
        try:
            size_bytes = path.stat().st_size
        except FileNotFoundError:
            return None
        if self._is_clothed(name):
            return None
        return self._ledger.want(name, size_bytes)

    def _is_clothed(self, name: bytes) -> bool:
        """Whether the vault holds every chunk of a container under other names."""
        try:
            ids = self._store.containers.get(name).directory.ids()
        except HoldfastError:
            return False  # damaged here: whoever reads it next says so
        return bool(ids) and all(self._find_there(chunk_id) for chunk_id in ids)

    def _find_there(self, chunk_id: bytes) -> Place | None:
        """Where the vault has a chunk, with all that is needed to read it."""
        found = self._wardrobe.find(chunk_id)
        held = None if found is None else self._ledger.find(found[0])
        if found is None or held is None or not held.is_present:
            return None
        if held.kind == "deltas" and self._bases_of(held.name) is None:
            return None
        return held.number, found[1]

    # ---- deltas ----

    def _add_bases(self, needs: Needs, number: int) -> None:
        """Whoever needs one delta of a container needs the bases of all of them."""
        if number not in needs.numbers:
            for held in self._ledger.objects([number]):
                below = self._bases_of(held.name) if held.kind == "deltas" else None
                if below is not None:
                    needs.add(below)

    def _bases_of(self, name: bytes) -> Needs | None:
        if name not in self._bases:
            needs = Needs()
            for base_id in self._wardrobe.bases(name):
                found = self._wardrobe.find_base(base_id)
                held = None if found is None else self._ledger.find(found[0])
                if found is None or held is None or not held.is_present:
                    self._bases[name] = None
                    break
                needs.numbers.add(held.number)
                needs.strays[base_id] = (held.number, found[1])
            else:
                self._bases[name] = needs
        return self._bases[name]

    # ---- strays ----

    def _place(self, reference: Reference) -> Place:
        """Where a chunk lies whose hint does not serve: in the vault, or here in another file."""
        there = self._find_there(reference.chunk_id)
        if there is not None:
            return there
        for name, ordinal in self._candidates(reference.chunk_id):
            try:
                size_bytes = self._store.layout.container(name).stat().st_size
            except FileNotFoundError:
                continue
            return self._ledger.want(name, size_bytes), ordinal
        raise IntegrityError(f"chunk {reference.chunk_id.hex()[:16]} is lost on this box")

    def _candidates(self, chunk_id: bytes) -> Iterator[tuple[bytes, int]]:
        for is_fresh in (False, True):
            if self._index is None or (is_fresh and not self._index.is_current()):
                self._index = self._store.load_index(self._progress)
            found = self._index.find(chunk_id)
            if found is not None:
                yield found
