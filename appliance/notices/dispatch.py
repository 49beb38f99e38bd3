"""From findings to messages, and messages on their way until they have arrived.

Owns what is worth a message: a finding is told once, and again when it becomes worse or is over;
what changed since the last look goes in one message per channel. A message that does not get
through is tried again, more and more seldom, for a day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError
from appliance.catalog.finding_standing import Standing
from appliance.catalog.notice_log import Message, NoticeLog, Told
from appliance.formats.finding import SEVERITIES, Finding
from appliance.formats.notice_channel import Channel, MailChannel
from appliance.notices.bulletin import Bulletin, make_test
from appliance.notices.channels import Channels
from appliance.notices.mail import send_mail
from appliance.notices.webhook import send_webhook

OVER_AFTER = timedelta(minutes=15)
"""What comes and goes within less is one finding that stands."""
FIRST_AGAIN = timedelta(minutes=1)
AGAIN_MAX = timedelta(hours=1)
GIVE_UP = timedelta(days=1)
TRIES_LEAST = 8
"""Before it is given up, whatever the clock says."""

Send = Callable[[Channel, Mapping[str, Any], str, datetime], str]


def send(channel: Channel, body: Mapping[str, Any], number: str, now: datetime) -> str:
    """Send by whatever the channel is. Raises HoldfastError."""
    if isinstance(channel, MailChannel):
        return send_mail(channel, body, number, now)
    return send_webhook(channel, body, number, now)


class Dispatch:
    """The notices of one box. One process at a time."""

    def __init__(
        self, channels: Channels, log: NoticeLog, clock: Clock, box: str, send: Send = send
    ) -> None:
        self._channels = channels
        self._log = log
        self._clock = clock
        self._box = box
        self._send = send

    def gather(self, standing: Iterable[Standing]) -> int:
        """Put what changed on its way, durably; gives how many messages that are."""
        now = self._clock.now()
        found = [(one.finding, one.is_quiet or one.acknowledged is not None) for one in standing]
        count = 0
        for name in self._channels.names():
            try:
                channel = self._channels.get(name)
            except HoldfastError:
                continue  # 'notices list' says so
            before = self._log.told(name)
            told, bulletin = compare(before, found, channel.least, now)
            body = None
            if bulletin.came or bulletin.worse or bulletin.over:
                body = bulletin.to_json(self._box, now)
                count += 1
            if body is not None or told != before:
                self._log.note(name, told, body, now)
        return count

    def deliver(self) -> list[tuple[Message, str, str]]:
        """Try what is due: messages with their new state and the answer, durably noted."""
        done = []
        now = self._clock.now()
        for message in self._log.waiting(now, now + AGAIN_MAX + FIRST_AGAIN):
            now = self._clock.now()
            number = f"{self._box}-{message.id}-{int(message.made.timestamp())}"
            try:
                channel = self._channels.get(message.channel)
                answer = self._send(channel, message.body, number, now)
                state, when = "sent", now
            except HoldfastError as error:
                answer = str(error)
                state, when = "waiting", now + min(FIRST_AGAIN * 2**message.tries, AGAIN_MAX)
                if now - message.made > GIVE_UP and message.tries >= TRIES_LEAST:
                    state, when = "failed", now
            self._log.tried(message, state, answer, when)
            done.append((message, state, answer))
        return done

    def test(self, name: str) -> str:
        """Send a test message at once and give the answer. Raises HoldfastError."""
        channel, now = self._channels.get(name), self._clock.now()
        number = f"{self._box}-test-{int(now.timestamp())}"
        try:
            answer = self._send(channel, make_test(self._box, now), number, now)
        except HoldfastError as error:
            self._log.record_test(name, "failed", str(error), now)
            raise
        self._log.record_test(name, "sent", answer, now)
        return answer


def compare(
    before: Mapping[str, Told],
    found: Iterable[tuple[Finding, bool]],
    least: str,
    now: datetime,
) -> tuple[dict[str, Told], Bulletin]:
    """What a channel will have been told, and what it is told now.

    `found`: what stands, and whether nobody wants to hear of it. Pure.
    """
    enough = SEVERITIES[: SEVERITIES.index(least) + 1]
    told: dict[str, Told] = {}
    came, worse, over = [], [], []
    standing = set()
    for finding, is_known in found:
        standing.add(finding.key)
        last = before.get(finding.key)
        if finding.severity not in enough or is_known:
            if last is not None:
                told[finding.key] = replace(last, gone=None)
        elif last is None:
            came.append(finding)
            told[finding.key] = Told(finding)
        elif finding.is_worse_than(last.finding.severity, last.finding.measure):
            worse.append(finding)
            told[finding.key] = Told(finding)
        else:
            told[finding.key] = replace(last, gone=None)
    for key, last in before.items():
        if key in standing:
            continue
        if last.gone is not None and now - last.gone >= OVER_AFTER:
            over.append(last.finding)
        else:
            told[key] = replace(last, gone=last.gone or now)
    return told, Bulletin(came, worse, over)
