"""The condemned list: containers that no point needs (docs/format/index.md).

The rule that makes deletion safe beside backups: the list is durable before writers' leases are
looked at; a backup takes its lease before it reads the list, counts chunks of condemned containers
as new, and before its point is written takes off the list whatever it counted on earlier. So a
container waits for the writers that were there when it was condemned, and for nobody else.
Every change is made under the commit lock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from appliance.base import durable
from appliance.base.errors import IntegrityError
from appliance.base.locks import FileLock
from appliance.store.containers import container_name
from appliance.store.layout import Layout

_FORMAT = 2


class Sentence(NamedTuple):
    """Since when a container is condemned, and the leases of the writers that it waits for."""

    since: str
    writers: frozenset[str] | None
    """None: they were not looked at yet."""


def commit_lock(layout: Layout) -> FileLock:
    """Held while a point is written, and while the condemned list or what it names changes."""
    return FileLock(layout.locks / "commit")


def read_condemned(layout: Layout) -> dict[bytes, Sentence]:
    """The containers that no point needs. Raises IntegrityError if the list is damaged."""
    try:
        text = layout.condemned.read_bytes()
    except FileNotFoundError:
        return {}
    try:
        raw = json.loads(text)
        if raw["format"] != _FORMAT:
            raise ValueError("another format")
        listed = {container_name(name): _sentence(one) for name, one in raw["containers"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(
            f"{layout.condemned} is damaged: delete it, nothing is lost"
        ) from error
    return {name: sentence for name, sentence in listed.items() if name is not None}


def _sentence(raw: dict[str, object]) -> Sentence:
    writers = raw["writers"]
    if writers is not None and not isinstance(writers, list):
        raise TypeError("writers")
    return Sentence(str(raw["since"]), None if writers is None else frozenset(map(str, writers)))


def write_condemned(layout: Layout, condemned: Mapping[bytes, Sentence]) -> None:
    """Replace the list, durably. The caller holds the commit lock."""
    reprieved = read_condemned(layout).keys() - condemned.keys()
    if condemned:
        listed = {
            name.hex(): {
                "since": sentence.since,
                "writers": None if sentence.writers is None else sorted(sentence.writers),
            }
            for name, sentence in sorted(condemned.items())
        }
        text = json.dumps({"format": _FORMAT, "containers": listed})
        durable.write_file(layout.condemned, text.encode())
    else:
        durable.remove_file(layout.condemned)
    for name in reprieved:
        # A run written meanwhile left it out: a changed folder is compared at the next start.
        if layout.container(name).exists():
            os.utime(layout.container(name).parent)


def rescue(layout: Layout, is_needed: Callable[[bytes], bool]) -> None:
    """Take the containers that are needed off the list.

    The caller holds the commit lock and a writer's lease.

    A writer's lease is older than the condemnation of anything it counts on, so these files are
    still there.
    """
    condemned = read_condemned(layout)
    kept = {name: sentence for name, sentence in condemned.items() if not is_needed(name)}
    if len(kept) != len(condemned):
        write_condemned(layout, kept)
