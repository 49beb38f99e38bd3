"""vault pull."""

from __future__ import annotations

import argparse

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.base.text import counted, size
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.vault.hydration import Hydration


def pull(session: Session, options: argparse.Namespace) -> int:
    """Bring a point from the vaults to the box, whole."""
    store = session.store
    if session.vaults is None:
        raise NotFoundError("the box has no vault yet: 'holdfast vault add URL' makes one")
    name = store.points.resolve(options.point)
    with store.lease("reader") as lease:
        manifest = store.open_point(name, lease)
        pulled = Hydration(store, session.vaults, session.console.progress).pull(manifest)
    if pulled.lost:
        raise IntegrityError(
            f"{name}: sound in no vault: {counted(pulled.lost, 'container')}; the other "
            f"{pulled.containers} are here: 'holdfast verify {name}' says what is lost"
        )
    store.points.remote.note_here(store.points.file_of(name).key)
    session.console.result(
        {"point": str(name), "containers": pulled.containers, "bytes": pulled.bytes},
        f"{name} is on this box: {counted(pulled.containers, 'container')}, "
        f"{size(pulled.bytes)} came",
    )
    return DONE
