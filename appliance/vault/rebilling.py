"""Bills of points after containers that they name were merged into others.

Owns how a bill is rewritten (docs/format/vault.md, "Bill"): the same point, other objects; and what
a box learns from such a bill that did not merge itself. It reads and writes no vault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from appliance.catalog.vault_ledger import VaultLedger
from appliance.formats.bill import (
    WHOLE,
    Bill,
    Need,
    Stray,
    decode_strays,
    encode_bill,
    encode_strays,
)


class StrayKeys(Protocol):
    """What is needed of the key hierarchy."""

    def seal_record(self, place: str, plain: bytes) -> bytes:
        """The strays, sealed."""

    def open_record(self, place: str, data: bytes) -> bytes:
        """What was sealed for `place`; IntegrityError if it does not authenticate."""


@dataclass
class Successor:
    """A container that took over chunks of others; `ordinals` by chunk id."""

    need: Need
    ordinals: dict[bytes, int] = field(default_factory=dict)


Successors = Mapping[bytes, Successor | None]
"""Container -> what took over all that lives of it; None where nothing did."""


def read_strays(bill: Bill, keys: StrayKeys) -> Iterator[tuple[bytes, bytes, int]]:
    """(chunk or container, object, ordinal) of the strays of a bill. Raises IntegrityError."""
    if bill.strays:
        plain = keys.open_record(bill.place, bill.strays)
        for stray in decode_strays(plain, len(bill.needs)):
            yield stray.chunk_id, bill.needs[stray.need].name, stray.ordinal


def learn_merged(ledger: VaultLedger, bill: Bill, keys: StrayKeys) -> None:
    """Remember into what containers were merged, as a bill says. Raises IntegrityError."""
    needs = {need.name: need for need in bill.needs}
    with ledger.batch():
        for one, name, ordinal in read_strays(bill, keys):
            if ordinal == WHOLE:
                need = needs[name]
                ledger.put_merged(one, ledger.want(name, need.size_bytes, need.kind), 0)


def rewrite_bill(bill: Bill, successors: Successors, keys: StrayKeys) -> bytes:
    """The bill of the same point with what took the place of its containers."""
    needs: dict[bytes, Need] = {}
    places: dict[bytes, tuple[bytes, int]] = {}
    for need in bill.needs:
        if need.name not in successors:
            needs[need.name] = need
            continue
        successor = successors[need.name]
        if successor is not None:
            needs[successor.need.name] = successor.need
            if need.kind == "containers":  # hints never name deltas
                places[need.name] = (successor.need.name, WHOLE)
    for one, name, ordinal in read_strays(bill, keys):
        if name not in successors:
            places[one] = (name, ordinal)
            continue
        successor = successors[name]
        there = None if successor is None else successor.ordinals.get(one)
        if successor is not None and ordinal == WHOLE:
            places[one] = (successor.need.name, WHOLE)
        elif successor is not None and there is not None:
            places[one] = (successor.need.name, there)
    rising = sorted(needs.values())
    numbers = {need.name: number for number, need in enumerate(rising)}
    made = replace(bill, needs=tuple(rising), strays=b"")
    strays = [Stray(one, numbers[name], at) for one, (name, at) in sorted(places.items())]
    sealed = keys.seal_record(made.place, encode_strays(strays)) if strays else b""
    return encode_bill(replace(made, strays=sealed))
