"""init, unlock, lock, key check."""

from __future__ import annotations

import argparse
import getpass
import secrets
import sys
from pathlib import Path

from appliance.base.durable import make_directory, write_file
from appliance.base.errors import UsageError
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.formats.keyfile import STORE_FORMAT, StoreDescriptor
from appliance.formats.names import format_time
from appliance.formats.recovery_key import format_recovery_file, parse_recovery_key
from appliance.keys import keyring
from appliance.keys.memory import remember_key
from appliance.store.store import Store

RECOVERY_FILE_MAX_BYTES = 1 << 16


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
    text = format_recovery_file(recovery_key, store_id=descriptor.store_id, created=created)
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
        key = parse_recovery_key(_read_text(options.recovery_key))
        remember_key(keyring.open_with_recovery_key(session.state, key))
    else:
        passphrase = session.passphrase
        if passphrase is None:
            if not sys.stdin.isatty():
                raise UsageError("no passphrase given: use --passphrase-file F")
            passphrase = getpass.getpass("Passphrase: ")
        keyring.unlock(session.state, passphrase)
    session.console.result({"unlocked": True}, "unlocked until reboot or 'holdfast lock'")
    return DONE


def lock(session: Session, _: argparse.Namespace) -> int:
    """Forget the key in memory."""
    keyring.lock(session.state)
    is_open = (session.state / "box.key").exists()
    note = f"; {session.state / 'box.key'} still opens the store" if is_open else ""
    session.console.result({"locked": not is_open}, f"locked{note}")
    return DONE


def key(session: Session, options: argparse.Namespace) -> int:
    """Prove that a recovery key opens this store; `check` is the one action so far."""
    descriptor = keyring.read_descriptor(session.state)
    if options.recovery_key is not None:
        text = _read_text(options.recovery_key)
    else:
        if sys.stdin.isatty():
            session.console.note("Type the recovery key, row by row; end with Ctrl-D:")
        text = sys.stdin.buffer.read(RECOVERY_FILE_MAX_BYTES).decode("utf-8", "replace")
    keyring.open_with_recovery_key(session.state, parse_recovery_key(text))
    session.console.result(
        {"opens": True, "store_id": descriptor.store_id},
        f"this recovery key opens store {descriptor.store_id}",
    )
    return DONE


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(RECOVERY_FILE_MAX_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
