"""One mail over SMTP. Owns the connection; never sends a password in the clear."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from appliance.base.errors import HoldfastError
from appliance.base.text import printable
from appliance.formats.notice_channel import MailChannel
from appliance.notices.bulletin import describe_body, describe_subject
from appliance.notices.failures import REASON_MAX_CHARACTERS, describe_failure
from appliance.notices.trust import make_context

TIMEOUT_S = 30.0


def send_mail(channel: MailChannel, body: Mapping[str, Any], number: str, now: datetime) -> str:
    """Send a message and give the server's answer. Raises HoldfastError with what went wrong.

    `number` makes its id: sent again it can be told that it is the same.
    """
    message = EmailMessage()
    message["From"] = channel.sender
    message["To"] = ", ".join(channel.recipients)
    message["Subject"] = describe_subject(body)
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{number}@{channel.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(describe_body(body))
    try:
        with _connect(channel) as server:
            if channel.security == "starttls":
                server.starttls(context=make_context(channel.ca))
            if channel.password is not None:
                server.login(channel.user, channel.password)
            refused = server.send_message(message)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise HoldfastError(f"{channel.host}: {_explain(error)}") from error
    if refused:
        raise HoldfastError(
            f"{channel.host} refused {', '.join(sorted(refused))}", code="mail-refused"
        )
    return f"{channel.host} took it for {len(channel.recipients)} recipients"


def _connect(channel: MailChannel) -> smtplib.SMTP:
    if channel.security == "tls":
        context = make_context(channel.ca)
        return smtplib.SMTP_SSL(channel.host, channel.port, timeout=TIMEOUT_S, context=context)
    return smtplib.SMTP(channel.host, channel.port, timeout=TIMEOUT_S)


def _explain(error: Exception) -> str:
    """What a server said or a connection came to, in one line without anything secret."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"it refused {', '.join(sorted(error.recipients))}"
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        return printable(f"it said {error.smtp_code} {text}")[:REASON_MAX_CHARACTERS]
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return describe_failure(error)
