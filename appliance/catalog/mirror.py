"""The catalog's copy of what prevents deletion, for lists: a sealed record is read once per change.

Nothing is ever deleted or kept on the word of this copy: whoever deletes reads the records.
"""

from __future__ import annotations

from typing import Any

from appliance.base.errors import IntegrityError
from appliance.catalog.catalog import Catalog
from appliance.formats.fields import parse_json
from appliance.formats.record import Hold, TrashNote, decode_hold, decode_trash_note, encode_json
from appliance.store.store import Store

_FOLDERS = (("holds", ".hold"), ("trash", ".note"), ("policies", ".policy"))


def mirror_records(store: Store, catalog: Catalog) -> dict[str, bytes | None]:
    """Place -> plaintext of every hold, trash note and policy; None for what is damaged.

    The catalog learns what is new to it, and forgets what is gone.
    """
    records = store.points.records
    known = catalog.summaries("records")
    learned: dict[str, tuple[str, dict[str, Any]]] = {}
    found: dict[str, bytes | None] = {}
    for folder, suffix in _FOLDERS:
        for place in records.places(folder, suffix):
            stamp = records.stamp(place)
            if place in known and known[place][0] == stamp:
                found[place] = encode_json(known[place][1])
                continue
            try:
                plain = records.read(place)
            except IntegrityError:
                found[place] = None
                continue
            if plain is not None:
                found[place] = plain
                value = parse_json(plain)
                if isinstance(value, dict):
                    learned[place] = (stamp, value)
    if learned:
        catalog.put_summaries(learned, "records")
    if known.keys() - found.keys():
        catalog.remove_summaries(known.keys() - found.keys(), "records")
    return found


def mirror_holds(store: Store, catalog: Catalog) -> dict[str, Hold | None]:
    """Label of a held point -> its hold; None for a damaged hold, which holds too."""
    now = store.points.timekeeper.now()
    holds: dict[str, Hold | None] = {}
    for place, plain in mirror_records(store, catalog).items():
        if place.startswith("holds/"):
            hold = None if plain is None else decode_hold(plain)
            if hold is None or hold.until is None or hold.until > now:
                holds[place.removeprefix("holds/").removesuffix(".hold")] = hold
    return holds


def mirror_trash(store: Store, catalog: Catalog) -> list[TrashNote]:
    """The notes of the points in the trash, by point; damaged ones are left out."""
    labels = {entry.name.removesuffix(".point") for entry in store.layout.trash.glob("*.point")}
    notes = [
        decode_trash_note(plain)
        for place, plain in mirror_records(store, catalog).items()
        if plain is not None
        and place.startswith("trash/")
        and place.removeprefix("trash/").removesuffix(".note") in labels
    ]
    return sorted(notes, key=lambda note: note.point)
