"""The condemned list: containers that no point needs (docs/format/index.md).

The rule that makes deletion safe beside backups: the list is durable before writers' leases are
looked at; a backup takes its lease before it reads the list, counts chunks of condemned containers
as new, and before its point is written takes off the list whatever it counted on earlier.
Every change is made under the commit lock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from appliance.base import durable
from appliance.base.errors import IntegrityError
from appliance.base.locks import FileLock
from appliance.store.containers import container_name
from appliance.store.layout import Layout


def commit_lock(layout: Layout) -> FileLock:
    """Held while a point is written, and while the condemned list or what it names changes."""
    return FileLock(layout.locks / "commit")


def read_condemned(layout: Layout) -> dict[bytes, str]:
    """Container -> time since when no point needs it."""
    try:
        text = layout.condemned.read_bytes()
    except FileNotFoundError:
        return {}
    try:
        raw = json.loads(text)
        listed = {container_name(name): str(since) for name, since in raw["containers"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(
            f"{layout.condemned} is damaged: delete it, nothing is lost"
        ) from error
    return {name: since for name, since in listed.items() if name is not None}


def write_condemned(layout: Layout, condemned: dict[bytes, str]) -> None:
    """Replace the list, durably. The caller holds the commit lock."""
    reprieved = read_condemned(layout).keys() - condemned.keys()
    if condemned:
        listed = {name.hex(): since for name, since in sorted(condemned.items())}
        text = json.dumps({"format": 1, "containers": listed})
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
    kept = {name: since for name, since in condemned.items() if not is_needed(name)}
    if len(kept) != len(condemned):
        write_condemned(layout, kept)
