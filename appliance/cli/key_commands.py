"""key list, add, rotate, revoke, check."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Callable
from pathlib import Path

from appliance.access.access import Access
from appliance.base.errors import UsageError
from appliance.cli import key_papers
from appliance.cli.exit_codes import DONE
from appliance.cli.key_changes import changing, name_of, write_new
from appliance.cli.key_input import read_new_passphrase, read_recovery_key, type_recovery_key
from appliance.cli.session import Session
from appliance.formats.keyfile import BOX, KEY_BYTES, PASSPHRASE, RECOVERY, Wrap
from appliance.formats.recovery_key import format_recovery_file
from appliance.keys import keyring
from appliance.keys.changes import KeyChange, choose_wrap
from appliance.keys.wrap_files import WrapFile, read_wrap_files

_STILL_OPENS = (
    "it still opens copies of the store made before; the data was not encrypted anew, so whoever "
    "took the master key out with it can go on reading"
)


def key(session: Session, options: argparse.Namespace) -> int:
    """Do one of the actions."""
    return ACTIONS[options.action](session, options)


def show_keys(session: Session, _: argparse.Namespace) -> int:
    """The keys that open the store; needs none of them."""
    descriptor = keyring.read_descriptor(session.state)
    files = read_wrap_files(session.state)
    value = {"store_id": descriptor.store_id, "keys": [_describe(file) for file in files]}
    session.console.result(value, "\n".join(_line(file) for file in files))
    return DONE


def add(session: Session, options: argparse.Namespace) -> int:
    """Let one more key open the store."""
    _refuse_strange_options(options)
    with changing(session) as change:
        if options.kind == BOX:
            made = change.add_box(options.label)
        else:
            made, secret = _prepare(session, options, change, options.label)
            change.add(made, secret)
    session.console.result(
        _made(made, options), f"key {name_of(made)} opens the store{_to(options)}"
    )
    return DONE


def rotate(session: Session, options: argparse.Namespace) -> int:
    """Put a new key in the place of an old one."""
    _refuse_strange_options(options)
    keyring.read_descriptor(session.state)
    with changing(session) as change:
        if options.kind == BOX:
            made = change.rotate_box(options.label)
            gone = "every older box key"
        else:
            old = choose_wrap(session.state, options.kind, options.key)
            label = old.label if options.label is None else options.label
            made, secret = _prepare(session, options, change, label)
            change.rotate(old, made, secret)
            gone = f"key {name_of(old)}"
    session.console.result(
        _made(made, options),
        f"key {name_of(made)} opens the store{_to(options)}\n"
        f"{gone} opens it no more, but {_STILL_OPENS}",
    )
    return DONE


def revoke(session: Session, options: argparse.Namespace) -> int:
    """Remove a key."""
    with changing(session) as change:
        gone = change.revoke(options.key)
    session.console.result(
        {"revoked": [_describe(file) for file in gone]},
        f"key {options.key} opens this store no more, but {_STILL_OPENS}",
    )
    return DONE


def check(session: Session, options: argparse.Namespace) -> int:
    """Prove that a recovery key opens this store, and say which it is."""
    descriptor = keyring.read_descriptor(session.state)
    if options.recovery_key is not None:
        recovery_key = read_recovery_key(options.recovery_key)
    else:
        recovery_key = type_recovery_key(session.console)
    _, wrap = keyring.open_with_recovery_key(session.state, recovery_key)
    with Access(session.state, session.clock) as access:
        access.steps().note_key_proven()
    session.console.result(
        {"opens": True, "store_id": descriptor.store_id, **_describe_wrap(wrap)},
        f"this is key {name_of(wrap)}: it opens store {descriptor.store_id}",
    )
    return DONE


ACTIONS: dict[str, Callable[[Session, argparse.Namespace], int]] = {
    "list": show_keys,
    "add": add,
    "rotate": rotate,
    "revoke": revoke,
    "check": check,
    "split": key_papers.split,
    "join": key_papers.join,
    "sheet": key_papers.sheet,
}


def _refuse_strange_options(options: argparse.Namespace) -> None:
    if options.out is not None and options.kind != RECOVERY:
        raise UsageError("--out is for recovery keys: other kinds are not written to a file")
    if options.new_passphrase_file is not None and options.kind != PASSPHRASE:
        raise UsageError("--new-passphrase-file is for passphrases")
    if options.kind == BOX and getattr(options, "key", None) is not None:
        raise UsageError("--key is for recovery keys and passphrases: a box has one box key")


def _prepare(
    session: Session, options: argparse.Namespace, change: KeyChange, label: str
) -> tuple[Wrap, bytes | str]:
    """A new key that somebody has, and the wrap that will let it open the store."""
    if options.kind == PASSPHRASE:
        passphrase = read_new_passphrase(session.console, options.new_passphrase_file)
        return change.prepare(PASSPHRASE, passphrase, label), passphrase
    secret = secrets.token_bytes(KEY_BYTES)
    wrap = change.prepare(RECOVERY, secret, label)
    _hand_out(session, secret, wrap, options.out)
    return wrap, secret


def _hand_out(session: Session, recovery_key: bytes, wrap: Wrap, out: Path | None) -> None:
    """Give a recovery key to its owner, durably if in a file, before anything counts on it."""
    text = format_recovery_file(
        recovery_key,
        store_id=keyring.read_descriptor(session.state).store_id,
        created=wrap.created,
        name=name_of(wrap),
    )
    if out is None:
        session.console.note(
            f"Keep this on paper, away from the box; it is shown only now:\n\n{text}"
        )
    else:
        write_new(out, text)


# ---- what is shown ----


def _to(options: argparse.Namespace) -> str:
    return f"; it is in {options.out}: keep it away from this box" if options.out else ""


def _made(wrap: Wrap, options: argparse.Namespace) -> dict[str, object]:
    return {**_describe_wrap(wrap), "out": str(options.out) if options.out else None}


def _describe_wrap(wrap: Wrap) -> dict[str, object]:
    return {
        "key": wrap.fingerprint,
        "kind": wrap.kind,
        "created": wrap.created or None,
        "label": wrap.label,
    }


def _describe(file: WrapFile) -> dict[str, object]:
    members: dict[str, object] = {"file": file.path.name, "damage": file.damage or None}
    return members if file.wrap is None else _describe_wrap(file.wrap) | members


def _line(file: WrapFile) -> str:
    if file.wrap is None:
        return f"damaged   {file.path.name}: {file.damage}"
    wrap = file.wrap
    created = wrap.created or "when is not known"
    return f"{wrap.fingerprint}  {wrap.kind:<10}  {created:<20}  {wrap.label}".rstrip()
