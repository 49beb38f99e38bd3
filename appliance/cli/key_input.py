"""Keys as people hand them in: files, what is typed, and passphrases without echo."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from appliance.base.errors import HoldfastError, UsageError
from appliance.base.secret_file import read_secret
from appliance.cli.console import Console
from appliance.formats.key_share import KeyShare, is_share, parse_share
from appliance.formats.recovery_key import TEXT_MAX, parse_recovery_key
from appliance.keys.shares import join_shares

PASSPHRASE_SHORT = 12


def read_recovery_key(paths: Sequence[Path]) -> bytes:
    """The recovery key in a file, or in two files with a share each."""
    texts = [read_text(path) for path in paths]
    if len(texts) == 1 and not is_share(texts[0]):
        return parse_recovery_key(texts[0])
    if len(texts) == 1:
        raise UsageError(f"{paths[0]} is one share of a recovery key: give two", code="one-share")
    if len(texts) > 2:
        raise UsageError("give one recovery key, or two shares of it")
    return join_shares(*(_parse_share(path, text) for path, text in zip(paths, texts, strict=True)))


def _parse_share(path: Path, text: str) -> KeyShare:
    try:
        return parse_share(text)
    except HoldfastError as error:
        raise type(error)(f"{path}: {error}", code=error.code) from None


def type_recovery_key(console: Console) -> bytes:
    """The recovery key as somebody types it, or as a pipe brings it."""
    if sys.stdin.isatty():
        console.note("Type the recovery key, row by row; end with Ctrl-D:")
    return parse_recovery_key(sys.stdin.buffer.read(TEXT_MAX).decode("utf-8", "replace"))


def read_new_passphrase(console: Console, path: Path | None) -> str:
    """A passphrase to be: the first line of a file, or typed twice. Raises UsageError for none."""
    if path is not None:
        passphrase = read_secret(path)
    else:
        if not sys.stdin.isatty():
            raise UsageError("no new passphrase given: use --new-passphrase-file F")
        passphrase = getpass.getpass("New passphrase: ")
        if not passphrase:
            raise UsageError("the passphrase is empty")
        if getpass.getpass("Once more: ") != passphrase:
            raise UsageError("the two passphrases differ: nothing was changed")
    if len(passphrase) < PASSPHRASE_SHORT:
        console.note(
            f"warning: the passphrase has fewer than {PASSPHRASE_SHORT} characters: whoever copies "
            "the store can try many; a few random words are better"
        )
    return passphrase


def read_text(path: Path) -> str:
    """The text of a small file. Raises UsageError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(TEXT_MAX).decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
