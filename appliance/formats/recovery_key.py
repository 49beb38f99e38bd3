"""The recovery key as people keep it, on paper or in a file: docs/format/keys.md.

Owns both spellings, base32 and 24 words, and finds typing errors. It never opens anything with
the key, and no message shows a part of it that was typed rightly.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import hmac
import re
from functools import cache
from typing import TYPE_CHECKING

from appliance.base.errors import AccessError, HoldfastError, UsageError
from appliance.base.text import printable

if TYPE_CHECKING:
    from mnemonic import Mnemonic

KEY_BYTES = 32
TEXT_MAX = 65536
WORDS = 24
WORDS_IN_ROW = 4

_CHECK_BYTES = 3
_CHECK_PREFIX = b"holdfast recovery v1"
_BASE32_MARK = "base32:"
_BASE32 = re.compile("[A-Z2-7]{56}")  # 35 bytes; 24 words are longer than 56 letters
_GROUP = 8
_FILE = """\
# Holdfast recovery key
# Store {store_id}, created {created}{name}
#
# With this key everything in the store can be read, on any machine. Without it, and without the
# box, nothing can. Keep it where the box is not: on paper, in a safe, in a password manager.

base32: {base32}

# The same key as words. The number behind a row shows whether the row was typed rightly.
{rows}
"""


def format_recovery_file(key: bytes, *, store_id: str, created: str, name: str = "") -> str:
    """The whole recovery key file for the 32 bytes of `key`; `name` is what the box calls it."""
    return _FILE.format(
        store_id=store_id,
        created=created,
        name=f", key {name}" if name else "",
        base32=format_base32(key),
        rows="\n".join(
            f"{number}  {' '.join(row):<36}  {digits}"
            for number, (row, digits) in enumerate(word_rows(key), 1)
        ),
    )


def format_base32(key: bytes) -> str:
    """The key and its checksum, in groups."""
    return group_base32(key + _check_bytes(key))


def group_base32(data: bytes) -> str:
    """Base32 in groups of 8; the length is a multiple of 5 bytes."""
    base32 = base64.b32encode(data).decode()
    return "-".join(base32[at : at + _GROUP] for at in range(0, len(base32), _GROUP))


def word_rows(key: bytes) -> list[tuple[list[str], str]]:
    """The key as rows of words, each with its two check digits."""
    words = _dictionary().to_mnemonic(key).split()
    rows = [words[at : at + WORDS_IN_ROW] for at in range(0, WORDS, WORDS_IN_ROW)]
    return [(row, f"{_check_digits(row):02}") for row in rows]


def parse_recovery_key(text: str) -> bytes:
    """The 32-byte key in `text`: the whole file, its base32 line, or the words as typed.

    Words may come with or without row numbers and check digits; case does not count. In a file
    whose base32 line is damaged the words are used. Raises UsageError if the text cannot be read,
    AccessError if it can but its checksum says that it was typed wrongly.
    """
    if len(text) > TEXT_MAX:
        raise UsageError(f"a recovery key file has at most {TEXT_MAX} characters")
    lines = [line.strip().lower() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    marked = [line for line in lines if line.startswith(_BASE32_MARK)]
    others = [line for line in lines if not line.startswith(_BASE32_MARK)]
    if marked:
        try:
            return _parse_base32(marked[0].removeprefix(_BASE32_MARK))
        except HoldfastError:
            if not others:
                raise
    words = {word for line in others for word in line.split()}
    if _BASE32.fullmatch(_compact(" ".join(others))) or words.isdisjoint(_known_words()):
        return _parse_base32(" ".join(others))
    return _parse_rows(others)


def _compact(base32: str) -> str:
    return re.sub(r"[\s-]", "", base32).upper()


def _parse_base32(text: str) -> bytes:
    compact = _compact(text)
    if _BASE32.fullmatch(compact) is None:
        raise UsageError(
            f"not a recovery key: it has {WORDS} words, or 'base32:' and 56 characters A-Z and 2-7",
            code="no-recovery-key",
        )
    whole = base64.b32decode(compact)
    key, check = whole[:KEY_BYTES], whole[KEY_BYTES:]
    if not hmac.compare_digest(check, _check_bytes(key)):
        raise AccessError(
            "the recovery key's checksum does not match: compare it with the paper",
            code="recovery-key-mistyped",
        )
    return key


def _parse_rows(lines: list[str]) -> bytes:
    words: list[str] = []
    for line in lines:
        words += _parse_row(line.split(), len(words))
    if len(words) != WORDS:
        raise UsageError(
            f"a recovery key has {WORDS} words, this has {len(words)}", code="recovery-key-mistyped"
        )
    try:
        return bytes(_dictionary().to_entropy(words))
    except (ValueError, LookupError):
        raise AccessError(
            "the words of the recovery key do not belong together: compare them with the paper",
            code="recovery-key-mistyped",
        ) from None


def _parse_row(tokens: list[str], words_before: int) -> list[str]:
    """The words of one line: all 24, some, or a row with its number and check digits."""
    row = words_before // WORDS_IN_ROW + 1
    number = tokens.pop(0).rstrip(".:)") if tokens[0][0].isdigit() else None
    digits = tokens.pop() if tokens and tokens[-1].isdigit() else None
    if number is not None and number != str(row):
        raise UsageError(
            f"row {row} of the recovery key is missing: found '{printable(number)}'",
            code="recovery-key-mistyped",
        )
    for place, word in enumerate(tokens, words_before):
        if word not in _known_words():
            raise UsageError(
                f"row {place // WORDS_IN_ROW + 1}: '{printable(word[:40])}' is not a word of "
                f"recovery keys{_suggest_words(word[:40])}",
                code="recovery-key-mistyped",
            )
    if (number or digits) and len(tokens) != WORDS_IN_ROW:
        raise UsageError(
            f"row {row}: {len(tokens)} words, not {WORDS_IN_ROW}", code="recovery-key-mistyped"
        )
    if digits is not None and digits != f"{_check_digits(tokens):02}":
        raise AccessError(f"row {row}: check digits do not match", code="recovery-key-mistyped")
    return tokens


def _suggest_words(typed: str) -> str:
    near = difflib.get_close_matches(typed, sorted(_known_words()), n=3, cutoff=0.7)
    return f": did you mean {' or '.join(near)}?" if near else ""


def is_key_word(word: str) -> bool:
    """Whether recovery keys are made of such words."""
    return word.lower() in _known_words()


@cache
def _dictionary() -> Mnemonic:
    # Imported here because it costs 13 ms and hardly any command needs it.
    from mnemonic import Mnemonic  # noqa: PLC0415

    return Mnemonic("english")


@cache
def _known_words() -> frozenset[str]:
    return frozenset(_dictionary().wordlist)


def _check_bytes(key: bytes) -> bytes:
    return hashlib.sha256(_CHECK_PREFIX + key).digest()[:_CHECK_BYTES]


def _check_digits(words: list[str]) -> int:
    return int.from_bytes(hashlib.sha256(" ".join(words).encode()).digest()[:2], "big") % 100
