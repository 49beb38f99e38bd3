"""init, unlock, lock."""

from __future__ import annotations

import argparse
import getpass
import secrets
import sys
from pathlib import Path

from appliance.base.durable import make_directory, write_file
from appliance.base.errors import UsageError
from appliance.cli.daemon_link import DaemonGoneError, DaemonHangsError, DaemonLink
from appliance.cli.exit_codes import DONE
from appliance.cli.key_input import read_recovery_key
from appliance.cli.session import Session
from appliance.formats.keyfile import RECOVERY, STORE_FORMAT, StoreDescriptor
from appliance.formats.names import format_time
from appliance.formats.recovery_key import format_recovery_file
from appliance.keys import keyring
from appliance.keys.changes import choose_wrap
from appliance.keys.memory import remember_key
from appliance.store.store import Store


def init(session: Session, options: argparse.Namespace) -> int:
    """Make the store. The descriptor comes last: before it there is no store."""
    out: Path | None = options.recovery_out
    if out is not None and out.exists():
        raise UsageError(f"{out} exists already: choose a new file for the recovery key")
    created = format_time(session.clock.now().replace(microsecond=0))
    descriptor = StoreDescriptor(STORE_FORMAT, secrets.token_hex(16), created)
    make_directory(session.state)
    master, recovery_key = keyring.create_keys(session.state, descriptor, session.passphrase)
    Store.create(session.state, master)
    text = format_recovery_file(
        recovery_key,
        store_id=descriptor.store_id,
        created=created,
        name=choose_wrap(session.state, RECOVERY, None).fingerprint,
    )
    if out is not None:
        try:
            write_file(out.absolute(), text.encode(), replace=False)
        except FileExistsError as error:
            raise UsageError(f"{out} exists already: choose a new file") from error
    keyring.write_descriptor(session.state, descriptor)
    shown = f"Keep this on paper, away from the box; it is shown only now:\n\n{text}\n"
    if out is None and session.console.is_json:
        session.console.note(shown)  # for the person, not for the program
    session.console.result(
        {
            "store_id": descriptor.store_id,
            "state": str(session.state),
            "recovery_out": None if out is None else str(out),
            "passphrase": session.passphrase is not None,
        },
        (shown if out is None else "")
        + f"store made in {session.state}"
        + (f"; recovery key written to {out}: keep it away from this box" if out else ""),
    )
    return DONE


def unlock(session: Session, options: argparse.Namespace) -> int:
    """Keep the master key in memory until reboot."""
    keyring.read_descriptor(session.state)
    if options.recovery_key is not None:
        key = read_recovery_key(options.recovery_key)
        remember_key(keyring.open_with_recovery_key(session.state, key)[0])
    else:
        passphrase = session.passphrase
        if passphrase is None:
            if not sys.stdin.isatty():
                raise UsageError("no passphrase given: use --passphrase-file F")
            passphrase = getpass.getpass("Passphrase: ")
        _unlock(session, passphrase)
    session.console.result({"unlocked": True}, "unlocked until reboot or 'holdfast lock'")
    return DONE


def _unlock(session: Session, passphrase: str) -> None:
    """A daemon may be another user, for whom only itself can keep the key."""
    try:
        with DaemonLink(session.state) as link:
            link.ask("unlock", passphrase=passphrase)
    except (DaemonGoneError, DaemonHangsError):
        keyring.unlock(session.state, passphrase)


def lock(session: Session, _: argparse.Namespace) -> int:
    """Forget the key in memory."""
    keyring.lock(session.state)
    is_open = (session.state / "box.key").exists()
    note = f"; {session.state / 'box.key'} still opens the store" if is_open else ""
    session.console.result({"locked": not is_open}, f"locked{note}")
    return DONE
