"""The arguments of the key commands."""

from __future__ import annotations

import argparse
from pathlib import Path

from appliance.cli.global_options import add_action
from appliance.formats.keyfile import KINDS

_KEY = """\
Every key of a store opens a wrap of the same master key, so keys come and go without any data
being written again. The recovery key is for disasters and lives on paper; the box key opens the
store by itself after a restart; a passphrase opens it when somebody types it.
"""
_ADD = """\
Let one more key open the store. A recovery key is written to --out, or shown once. A box key is
made where box.key was lost, after 'unlock --recovery-key F'. A passphrase is typed twice, or read
from --new-passphrase-file; --passphrase-file stays the one that opens the store now.
"""
_ROTATE = """\
Put a new key in the place of an old one. The new key is on the disk and proved to open the store
before the old one goes; whatever interrupts this leaves a store that opens. Data is not written
again. What an old key still opens: copies of the store made before.
"""
_REVOKE = """\
Remove a key from the store. The last recovery key stays. An old key still opens copies of the
store made before, and whoever took the master key out of the store can go on reading it: only a
new store with new backups ends that.
"""

_SPLIT = """\
Split a recovery key into three shares, each in a file of its own: any two give the key, one alone
tells nothing. The box does not keep recovery keys, so either give one with --recovery-key, which
then goes on opening the store, or a new one is made that exists in its shares only. To have no
undivided key at all, revoke the old one afterwards. A share is used as any recovery key, twice:
'unlock --recovery-key SHARE --recovery-key SHARE'.
"""
_JOIN = """\
Write the recovery key that two shares give to a new file. If there is a store, the key must open
it. Without a store this works as well, but proves only that the two shares belong together.
"""


def add_key(parser: argparse.ArgumentParser) -> None:
    """Arguments of key and what it can do."""
    parser.description = _KEY
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_action(actions, "list", "the keys that open this store, and damaged key files")
    _add_add(add_action(actions, "add", "let one more key open the store", _ADD))
    _add_rotate(add_action(actions, "rotate", "put a new key in the place of an old one", _ROTATE))
    revoke = add_action(actions, "revoke", "remove a key", _REVOKE)
    revoke.add_argument("key", metavar="KEY", help="its fingerprint or file, as 'key list' shows")
    check = add_action(
        actions,
        "check",
        "prove that a recovery key opens this store",
        "Prove that a recovery key, in a file or typed, opens this store, and say which it is. "
        "Nothing is changed or kept.",
    )
    add_recovery_key(check, "the key to check (default: read what is typed, until Ctrl-D)")
    split = add_action(actions, "split", "split a recovery key: any two of three open", _SPLIT)
    add_recovery_key(split, "split this key (default: a new one)")
    split.add_argument(
        "--out-dir", metavar="D", type=Path, default=Path(), help="for the shares (default: here)"
    )
    split.add_argument("--label", metavar="TEXT", help="of a new key (default: split)")
    join = add_action(actions, "join", "write the recovery key that two shares give", _JOIN)
    join.add_argument("first", metavar="SHARE", type=Path, help="a file with a share")
    join.add_argument("second", metavar="SHARE", type=Path, help="another of the same set")
    join.add_argument("--out", metavar="F", type=Path, required=True, help="a new file for the key")
    sheet = add_action(
        actions,
        "sheet",
        "a page to print: QR code, words, how to restore",
        "Write a recovery key that opens this store as one HTML page to print. The page holds the "
        "key: print it, put it away from the box, delete the file.",
    )
    add_recovery_key(sheet, "the key to print", required=True)
    sheet.add_argument("--out", metavar="F", type=Path, required=True, help="a new file, .html")


def add_recovery_key(
    parser: argparse.ArgumentParser, purpose: str, *, required: bool = False
) -> None:
    """The recovery key that a command uses; twice for two shares."""
    purpose += "; twice for two shares of it"
    parser.add_argument(
        "--recovery-key", metavar="F", type=Path, action="append", required=required, help=purpose
    )


def _add_add(parser: argparse.ArgumentParser) -> None:
    _add_new_key(parser)
    parser.add_argument(
        "--label", metavar="TEXT", default="", help="where or whose it is, shown by 'key list'"
    )


def _add_rotate(parser: argparse.ArgumentParser) -> None:
    _add_new_key(parser)
    parser.add_argument("--label", metavar="TEXT", help="of the new key (default: the old one's)")
    parser.add_argument(
        "--key", metavar="KEY", help="which key of this kind goes, if there are several"
    )


def _add_new_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=KINDS, help="what kind of key")
    parser.add_argument(
        "--out", metavar="F", type=Path, help="write a new recovery key to this new file"
    )
    parser.add_argument(
        "--new-passphrase-file",
        metavar="F",
        type=Path,
        help="file whose first line is the new passphrase (default: ask twice)",
    )
