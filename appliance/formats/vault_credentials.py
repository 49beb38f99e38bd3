"""What opens a bucket: access key, secret key, and a session token where there is one.

Owns their JSON in a sealed record (docs/format/record.md) and the rule that no text shows them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from appliance.base.errors import IntegrityError, UsageError
from appliance.formats.record import decode_fields, encode_fields

KIND = "vault-credentials"
# Nothing that could end a header or a line; the longest are session tokens.
_KEY = re.compile(r"[\x21-\x7e]{1,256}")
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")


@dataclass(frozen=True)
class Credentials:
    """Keys of an S3 account. Neither str() nor repr() shows a secret."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Raises UsageError for what no provider gives out."""
        if not _KEY.fullmatch(self.access_key):
            raise UsageError("the access key is not 1 to 256 printable characters without spaces")
        if not _KEY.fullmatch(self.secret_key):
            raise UsageError("the secret key is not 1 to 256 printable characters without spaces")
        if self.session_token is not None and not _TOKEN.fullmatch(self.session_token):
            raise UsageError("the session token is not printable characters without spaces")


def encode_credentials(credentials: Credentials) -> bytes:
    """The plaintext of the record."""
    return encode_fields(
        KIND,
        {
            "access_key": credentials.access_key,
            "secret_key": credentials.secret_key,
            "session_token": credentials.session_token,
        },
    )


def decode_credentials(data: bytes) -> Credentials:
    """Read what `encode_credentials` wrote. Raises IntegrityError."""
    fields = decode_fields(KIND, data)
    token = None if fields.get("session_token") is None else fields.text("session_token")
    try:
        return Credentials(fields.text("access_key"), fields.text("secret_key"), token)
    except UsageError as error:
        raise IntegrityError(f"{KIND}: {error}") from error
