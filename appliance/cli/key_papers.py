"""key split, key join and key sheet: the recovery key as people keep it."""

from __future__ import annotations

import argparse
import secrets
from itertools import combinations
from pathlib import Path

from appliance.base.durable import make_directory
from appliance.base.errors import IntegrityError, UsageError
from appliance.cli.exit_codes import DONE
from appliance.cli.key_changes import changing, name_of, write_new
from appliance.cli.key_input import read_recovery_key, read_text
from appliance.cli.session import Session
from appliance.formats.key_share import SHARES, format_share, parse_share
from appliance.formats.keyfile import KEY_BYTES, RECOVERY, Wrap
from appliance.formats.names import format_time
from appliance.formats.recovery_key import format_recovery_file
from appliance.formats.recovery_sheet import format_sheet
from appliance.keys import keyring
from appliance.keys.shares import join_shares, split_key


def split(session: Session, options: argparse.Namespace) -> int:
    """Write three shares of a recovery key, a new one unless one is given."""
    directory: Path = options.out_dir
    if options.recovery_key is not None:
        if options.label is not None:
            raise UsageError("--label is for a new key: the given one keeps its own")
        key = read_recovery_key(options.recovery_key)
        wrap = keyring.open_with_recovery_key(session.state, key)[1]
        paths = _write_shares(session, key, wrap, directory)
    else:
        key = secrets.token_bytes(KEY_BYTES)
        with changing(session) as change:
            wrap = change.prepare(
                RECOVERY, key, "split" if options.label is None else options.label
            )
            paths = _write_shares(session, key, wrap, directory)
            change.add(wrap, key)
    session.console.result(
        {"key": wrap.fingerprint, "shares": [str(path) for path in paths]},
        f"key {name_of(wrap)} is split; any two of these open the store, keep each elsewhere:\n"
        + "\n".join(str(path) for path in paths),
    )
    return DONE


def join(session: Session, options: argparse.Namespace) -> int:
    """Write the recovery key that two shares give; with a store at hand, prove that it opens it."""
    key = read_recovery_key([options.first, options.second])
    store_id, created, name = "not known here", "not known here", ""
    if session.has_store():
        wrap = keyring.open_with_recovery_key(session.state, key)[1]
        store_id = keyring.read_descriptor(session.state).store_id
        created, name = wrap.created or created, name_of(wrap)
    text = format_recovery_file(key, store_id=store_id, created=created, name=name)
    write_new(options.out, text)
    proof = f": it opens store {store_id}" if name else "; there is no store here to try it on"
    session.console.result(
        {"out": str(options.out), "opens": bool(name)},
        f"the recovery key is in {options.out}{proof}",
    )
    return DONE


def sheet(session: Session, options: argparse.Namespace) -> int:
    """Write a recovery key that opens this store as a page to print."""
    key = read_recovery_key(options.recovery_key)
    wrap = keyring.open_with_recovery_key(session.state, key)[1]
    page = format_sheet(
        key,
        store_id=keyring.read_descriptor(session.state).store_id,
        name=name_of(wrap),
        created=wrap.created or "earlier",
        printed=format_time(session.clock.now().replace(microsecond=0)),
    )
    write_new(options.out, page)
    session.console.result(
        {"key": wrap.fingerprint, "out": str(options.out)},
        f"print {options.out}, put it away from this box, and delete the file: it is the key",
    )
    return DONE


def _write_shares(session: Session, key: bytes, wrap: Wrap, directory: Path) -> list[Path]:
    """Three files, durable, and proved: each two of them give the key."""
    store_id = keyring.read_descriptor(session.state).store_id
    shares = split_key(key)
    set_id = shares[0].set_id.hex()
    make_directory(directory.absolute())
    paths = [directory / f"share-{set_id}-{number}.txt" for number in range(1, SHARES + 1)]
    for path, share in zip(paths, shares, strict=True):
        text = format_share(
            share, store_id=store_id, created=wrap.created or "earlier", name=name_of(wrap)
        )
        write_new(path, text)
    for one, other in combinations(paths, 2):
        if join_shares(parse_share(read_text(one)), parse_share(read_text(other))) != key:
            raise IntegrityError(f"{one} and {other} do not give the key: split it again")
    return paths
