"""Where findings go when they leave the box: sealed records, with what opens the way.

Owns their JSON (docs/format/record.md), the ranges of their members, and the rule that no text
shows a password or a secret.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from appliance.base.errors import IntegrityError, UsageError
from appliance.base.text import printable
from appliance.formats.finding import Severity
from appliance.formats.record import RECORD_MAX_BYTES

NAME_RULE = "1 to 32 of a-z, 0-9 and '-', beginning with a letter"
SECRET_MIN = 16
CA_MAX = 32 << 10
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")

Security = Literal["tls", "starttls", "none"]
Secret = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Pem = Annotated[str, msgspec.Meta(max_length=CA_MAX)]


class MailChannel(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="notice-mail"):
    """Mail over SMTP.

    Attributes:
        security: TLS from the first byte, after STARTTLS, or none, then without a password.
        ca: certificates to trust instead of the box's, in PEM; "" for the box's.
        least: findings that are less severe stay on the box.
    """

    format: Literal[1] = 1
    name: str
    least: Severity = "warning"
    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 587
    security: Security = "starttls"
    user: Annotated[str, msgspec.Meta(max_length=320)] = ""
    password: Secret | None = None
    sender: str
    recipients: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=50)]
    ca: Pem = ""

    def __repr__(self) -> str:
        """Without the password."""
        return f"MailChannel({self.name!r})"

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it: without the password."""
        return {
            "name": self.name,
            "kind": "mail",
            "least": self.least,
            "server": f"{self.host}:{self.port}",
            "security": self.security,
            "user": self.user,
            "sender": self.sender,
            "recipients": list(self.recipients),
        }


class WebhookChannel(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="notice-webhook"
):
    """A signed POST (docs/format/notice.md).

    Attributes:
        allow_private: the address may be one of the inside, and the URL plain HTTP.
    """

    format: Literal[1] = 1
    name: str
    least: Severity = "warning"
    url: Annotated[str, msgspec.Meta(max_length=2048)]
    secret: Secret
    allow_private: bool = False
    ca: Pem = ""

    def __repr__(self) -> str:
        """Without the secret."""
        return f"WebhookChannel({self.name!r})"

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it: no secret, and of the URL, which often is one, the host."""
        parts = urlsplit(self.url)
        return {
            "name": self.name,
            "kind": "webhook",
            "least": self.least,
            "url": f"{parts.scheme}://{parts.netloc}/" + ("..." if parts.path.strip("/") else ""),
            "allow_private": self.allow_private,
        }


Channel = MailChannel | WebhookChannel


def check_channel(channel: Channel) -> Channel:
    """`channel`, if its members go together. Raises UsageError."""
    if not _NAME.fullmatch(channel.name):
        raise UsageError(f"a channel's name is {NAME_RULE}")
    if isinstance(channel, WebhookChannel):
        _check_url(channel)
        return channel
    if not _HOST.fullmatch(channel.host):
        raise UsageError("the mail server is no host name")
    for address in (channel.sender, *channel.recipients):
        if not _ADDRESS.fullmatch(address):
            raise UsageError(f"'{address[:80]!r}' is no mail address")
    if (channel.password is None) != (not channel.user):
        raise UsageError("a user goes with a password, and a password with a user")
    if channel.password is not None and channel.security == "none":
        raise UsageError("a password is never sent in the clear: choose starttls or tls")
    return channel


def encode_channel(channel: Channel) -> bytes:
    """The plaintext of the record."""
    return msgspec.json.encode(channel)


def decode_channel(data: bytes) -> Channel:
    """Read what `encode_channel` wrote. Raises IntegrityError, which shows nothing of it."""
    if len(data) > RECORD_MAX_BYTES:
        raise IntegrityError(f"channel: longer than {RECORD_MAX_BYTES} bytes")
    try:
        found: Channel = msgspec.json.decode(data, type=Channel)
        return check_channel(found)
    except (ValueError, RecursionError, UsageError) as error:
        raise IntegrityError(f"channel: {printable(str(error))}") from error


def _check_url(channel: WebhookChannel) -> None:
    try:
        parts = urlsplit(channel.url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"the webhook's URL cannot be read: {error}") from error
    if not host or parts.scheme not in ("https", "http"):
        raise UsageError("a webhook's URL looks like https://example.org/hook")
    if parts.username is not None or any(not "!" <= letter <= "~" for letter in channel.url):
        raise UsageError("a webhook's URL has no user, password, spaces or letters beyond ASCII")
    if parts.scheme == "http" and not channel.allow_private:
        raise UsageError("a webhook is https://, or stays inside with --allow-private")
    if len(channel.secret) < SECRET_MIN:
        raise UsageError(f"a webhook's secret has at least {SECRET_MIN} characters")
