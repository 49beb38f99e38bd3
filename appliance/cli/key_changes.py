"""What the key commands share: the right to change keys, files for people, names of keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.base.durable import write_file
from appliance.base.errors import UsageError
from appliance.cli.session import Session
from appliance.formats.keyfile import Wrap
from appliance.formats.names import format_time
from appliance.keys import keyring
from appliance.keys.changes import KeyChange, changing_keys


@contextmanager
def changing(session: Session) -> Iterator[KeyChange]:
    """The right to change keys, with the store's key in hand."""
    master = keyring.load_master_key(session.state, session.passphrase)
    with changing_keys(
        session.state, master, format_time(session.clock.now().replace(microsecond=0))
    ) as change:
        yield change


def write_new(path: Path, text: str) -> None:
    """A new file for its owner only, durable on return."""
    try:
        write_file(path.absolute(), text.encode(), replace=False)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already: choose a new file") from error


def name_of(wrap: Wrap) -> str:
    """What people call a key: its fingerprint, and its label if it has one."""
    return f"{wrap.fingerprint} ({wrap.label})" if wrap.label else wrap.fingerprint
