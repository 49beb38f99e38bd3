"""What must not leave: secrets in arguments, settings and logs are replaced by a mark.

Owns the patterns. Two nets: a member whose name says that it is secret, and text that has the form
of one of this product's own secrets. It never decides who may see what.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from appliance.formats.recovery_key import is_key_word

HIDDEN = "[hidden]"
# `key` alone names a place ("the key of a finding"), with one of these before it a secret.
_SECRET_NAME = re.compile(
    r"pass(word|phrase|wd)|secret|token|credential|cookie|authorization|otp\b|totp"
    r"|(recovery|private|secret|access|api|box|master|session)[_ -]?key|session[_ -]?(id|token)"
    r"|\bpin\b|(setup|recovery|presence|one[_ -]?time)[_ -]?code|^code$",
    re.IGNORECASE,
)
_FORMS = (
    re.compile(r"hf_[A-Za-z0-9_-]{8,}"),  # a token of ours
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S),
    re.compile(r"\$argon2i?d?\$[^\s\"']+"),
    re.compile(r"\b(?:[A-Z2-7]{8}[ -]?){6,}[A-Z2-7]{0,8}\b"),  # base32 of a recovery key or share
    re.compile(r"(?i)\b(?:bearer|basic)[ \t]+[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"\b(?:[0-9A-HJKMNP-TV-Z]{5}-){3}[0-9A-HJKMNP-TV-Z]{5}\b"),  # a code at the box
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),  # a user and a password in an address
)
_WORDS = re.compile(r"\b[A-Za-z]{3,8}(?:\s+[A-Za-z]{3,8}\b){3,}")
_WORDS_SECRET = 4  # one row of a recovery key
_ASSIGNED = re.compile(
    r"(?i)([\"']?\b[\w-]*(?:passwor[dt]|passphrase|secret|token|api[_-]?key|access[_-]?key"
    r"|private[_-]?key|recovery[_-]?key)\w*[\"']?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&}]+)"
)


def is_secret_name(name: str) -> bool:
    """Whether a member of this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


def hide_in(value: object) -> object:
    """A JSON value without what is secret by its name or by its form."""
    if isinstance(value, Mapping):
        return {
            hide_in_text(str(name)): (
                HIDDEN if is_secret_name(str(name)) and _holds(inner) else hide_in(inner)
            )
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [hide_in(inner) for inner in value]
    return hide_in_text(value) if isinstance(value, str) else value


def _holds(value: object) -> bool:
    """Whether there is something to hide; a yes or no says only that there is."""
    return value not in (None, "", [], {}) and not isinstance(value, bool)


def hide_in_text(text: str) -> str:
    """Text without what has the form of a secret or is assigned to the name of one."""
    for form in _FORMS:
        text = form.sub(HIDDEN, text)
    text = _WORDS.sub(lambda found: _hide_words(found[0]), text)
    return _ASSIGNED.sub(lambda found: found[1] + HIDDEN, text)


def _hide_words(text: str) -> str:
    """Runs of words that recovery keys are made of are hidden, the others stay."""
    words = text.split()
    shown: list[str] = []
    at = 0
    while at < len(words):
        end = at
        while end < len(words) and is_key_word(words[end]):
            end += 1
        is_secret = end - at >= _WORDS_SECRET
        shown += [HIDDEN] if is_secret else words[at : end + 1]
        at = end if is_secret else end + 1
    return " ".join(shown) if HIDDEN in shown else text


def hide_secrets(members: Mapping[str, object]) -> str:
    """`members` as JSON for a log."""
    return json.dumps(hide_in(members), ensure_ascii=True, default=str)
