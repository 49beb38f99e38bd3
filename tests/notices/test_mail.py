"""Mail through a real server: encrypted, logged in, and honest about what went wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.base.errors import HoldfastError
from appliance.formats.finding import Evidence, Finding
from appliance.formats.notice_channel import MailChannel
from appliance.notices.bulletin import Bulletin, make_test
from appliance.notices.mail import send_mail
from tests.notices.servers import PASSWORD, USER, MailServer

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
FINDING = Finding(
    "disk S1\nBcc: evil@example.org",
    "disk.pending-sectors",
    "critical",
    "12 sectors \x1b[31mcannot be read\u202e",
    (Evidence("197", ((NOW, 3.0), (NOW, 12.0)), "", "0"),),
    "Data is lost.",
    "Replace it.",
)
BODY = Bulletin(came=[FINDING]).to_json("box1", NOW)


def channel(port: int, certificates: Path, **members: Any) -> MailChannel:
    made = MailChannel(
        name="it",
        host="127.0.0.1",
        port=port,
        user=USER,
        password=PASSWORD,
        sender="box@example.org",
        recipients=("it@example.org", "boss@example.org"),
        ca=(certificates / "cert.pem").read_text(),
    )
    return msgspec.structs.replace(made, **members)


@pytest.mark.parametrize("members", [{}, {"security": "tls", "user": "", "password": None}])
def test_a_mail_arrives_encrypted(certificates: Path, members: dict[str, Any]) -> None:
    with MailServer(certificates, is_tls=bool(members)) as server:
        answer = send_mail(channel(server.port, certificates, **members), BODY, "7", NOW)
    assert answer == "127.0.0.1 took it for 2 recipients"
    (mail,) = server.mails
    assert mail["To"] == "it@example.org, boss@example.org"
    assert mail["Message-ID"] == "<7@example.org>"
    assert "critical: disk S1" in mail["Subject"].replace("\n", "")
    text = mail.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert b"do      Replace it." in text
    assert b"because 197: 3.0 -> 12.0  (limit 0)" in text


def test_hostile_text_stays_text(certificates: Path) -> None:
    with MailServer(certificates) as server:
        send_mail(channel(server.port, certificates), BODY, "7", NOW)
    (mail,) = server.mails
    assert mail["Bcc"] is None
    text = mail.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert b"\x1b" not in text
    assert "\u202e" not in text.decode()
    assert b"S1\\nBcc" in text


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"password": "wrong"}, "535"),
        ({"ca": ""}, "certificate is not trusted"),
        ({"security": "none", "user": "", "password": None}, "530"),
    ],
)
def test_what_goes_wrong_is_said_without_the_password(
    certificates: Path, members: dict[str, Any], what: str
) -> None:
    with MailServer(certificates) as server, pytest.raises(HoldfastError, match=what) as caught:
        send_mail(channel(server.port, certificates, **members), BODY, "7", NOW)
    assert not server.mails
    assert PASSWORD not in str(caught.value)


def test_a_server_that_refuses_is_quoted(certificates: Path) -> None:
    with MailServer(certificates) as server:
        server.answer = "552 mailbox is full"
        with pytest.raises(HoldfastError, match="552 mailbox is full"):
            send_mail(channel(server.port, certificates), make_test("box1", NOW), "7", NOW)


def test_no_server_at_all_is_an_error_in_a_line(certificates: Path) -> None:
    with pytest.raises(HoldfastError, match="refused"):
        send_mail(channel(1, certificates), BODY, "7", NOW)


def test_neither_text_shows_the_password() -> None:
    made = MailChannel(
        name="it",
        host="h",
        user=USER,
        password=PASSWORD,
        sender="a@example.org",
        recipients=("b@example.org",),
    )
    assert PASSWORD not in f"{made} {made!r} {made.to_json()}"
