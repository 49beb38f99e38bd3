"""Channels as records: golden files, what is refused, and that no text shows a secret."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import IntegrityError
from appliance.formats.notice_channel import (
    Channel,
    MailChannel,
    WebhookChannel,
    decode_channel,
    encode_channel,
)
from tests.formats.examples import assert_survives, read_golden

SECRET = "hunter2-hunter2-hunter2"
MAIL = MailChannel(
    name="it",
    least="critical",
    host="mail.example.org",
    port=465,
    security="tls",
    user="box",
    password=SECRET,
    sender="box@example.org",
    recipients=("it@example.org",),
)
HOOK = WebhookChannel(name="hook", url="https://example.org/in?key=1", secret=SECRET)
GOLDEN: list[tuple[str, Channel]] = [("notice-mail.json", MAIL), ("notice-webhook.json", HOOK)]


@pytest.mark.parametrize(("golden", "channel"), GOLDEN)
def test_the_golden_files_are_what_the_page_describes(golden: str, channel: Channel) -> None:
    assert decode_channel(read_golden(golden)) == channel
    assert encode_channel(channel) == read_golden(golden)


@pytest.mark.parametrize("channel", [MAIL, HOOK])
def test_no_text_shows_a_secret(channel: Channel) -> None:
    assert SECRET not in f"{channel} {channel!r} {channel.to_json()}"
    assert "key=1" not in str(channel.to_json())


@pytest.mark.parametrize(
    ("golden", "change"),
    [
        ("notice-mail.json", {"kind": "notice-pigeon"}),
        ("notice-mail.json", {"name": "../it"}),
        ("notice-mail.json", {"security": "none"}),
        ("notice-mail.json", {"user": ""}),
        ("notice-mail.json", {"password": None}),
        ("notice-mail.json", {"port": 0}),
        ("notice-mail.json", {"host": "a b"}),
        ("notice-mail.json", {"sender": "box@example.org\r\nBcc: x@example.org"}),
        ("notice-mail.json", {"recipients": []}),
        ("notice-mail.json", {"recipients": ["nobody"]}),
        ("notice-webhook.json", {"secret": "short"}),
        ("notice-webhook.json", {"url": "http://example.org/"}),
        ("notice-webhook.json", {"url": "file:///etc/passwd"}),
        ("notice-webhook.json", {"url": "https://user:word@example.org/"}),
        ("notice-webhook.json", {"url": "https://example.org/\r\nX: y"}),
        ("notice-webhook.json", {"url": "https://example.org:port/"}),
        ("notice-webhook.json", {"least": "all"}),
    ],
)
def test_what_is_out_of_range_is_refused_without_showing_a_secret(
    golden: str, change: dict[str, object]
) -> None:
    members = {**json.loads(read_golden(golden)), **change}
    with pytest.raises(IntegrityError) as caught:
        decode_channel(json.dumps(members).encode())
    assert SECRET not in str(caught.value)


@given(st.binary(max_size=200))
def test_garbage_is_an_integrity_error(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_channel(data)


def test_damaged_bytes_are_refused_or_read(seed: int) -> None:
    for channel in (MAIL, HOOK):
        assert_survives(decode_channel, encode_channel(channel), seed)
