"""What is told: once, again when worse or over, grouped, tried again, and quiet otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.base.errors import HoldfastError
from appliance.catalog.finding_standing import Standing
from appliance.catalog.notice_log import NoticeLog
from appliance.formats.finding import Finding, Severity
from appliance.formats.notice_channel import Channel, WebhookChannel
from appliance.notices.channels import Channels
from appliance.notices.dispatch import GIVE_UP, OVER_AFTER, Dispatch
from appliance.notices.stuck import judge_channels
from tests.clocks import HandClock
from tests.damage import flip_last
from tests.store.stores import make_store

MINUTE = timedelta(minutes=1)


def finding(name: str = "web1", severity: Severity = "warning", measure: float = 0) -> Finding:
    return Finding(f"machine {name}", "machine.late", severity, "late", (), "", "", measure)


class Room:
    """A dispatch whose channel is the test."""

    def __init__(self, state: Path) -> None:
        self.channels = Channels(make_store(state).points.records)
        self.channels.put(
            WebhookChannel(name="hook", url="https://example.org/", secret="0123456789abcdef")
        )
        self.state = state
        self.clock = HandClock()
        self.fails = False
        self.arrived: list[Mapping[str, Any]] = []
        self.numbers: list[str] = []
        self.log = NoticeLog(state)

    def send(self, channel: Channel, body: Mapping[str, Any], number: str, _: object) -> str:
        self.numbers.append(number)
        if self.fails:
            raise HoldfastError("nobody is there")
        self.arrived.append(body)
        return "200 OK"

    def look(self, *findings: Finding, known: bool = False) -> None:
        now = self.clock.now()
        dispatch = Dispatch(self.channels, self.log, self.clock, "box1", self.send)
        standing = [
            Standing(each, now, now, each.severity, each.measure, None, now if known else None)
            for each in findings
        ]
        dispatch.gather(standing)
        dispatch.deliver()

    def restart(self) -> None:
        self.log.close()
        self.log = NoticeLog(self.state)

    def counts(self) -> list[tuple[int, ...]]:
        """How many came, became worse, and are over, message by message."""
        kinds = ("came", "worse", "over")
        return [tuple(len(body[kind]) for kind in kinds) for body in self.arrived]


@pytest.fixture
def room(state: Path) -> Iterator[Room]:
    found = Room(state)
    yield found
    found.log.close()


def test_many_findings_are_one_message_and_then_it_is_quiet(room: Room) -> None:
    many = [finding(f"m{number}") for number in range(30)]
    for _ in range(5):
        room.look(*many)
        room.clock.go_by(MINUTE)
        room.restart()
    assert room.counts() == [(30, 0, 0)]


def test_it_is_told_again_when_it_becomes_worse_and_when_it_is_over(room: Room) -> None:
    room.look(finding())
    room.look(finding(measure=1))
    room.look(finding(severity="critical"))
    room.look(finding())  # better is no news
    room.look()
    room.clock.go_by(OVER_AFTER)
    room.look()
    room.look()
    assert room.counts() == [(1, 0, 0), (0, 1, 0), (0, 1, 0), (0, 0, 1)]


def test_what_comes_and_goes_is_one_finding(room: Room) -> None:
    for _ in range(10):
        room.look(finding())
        room.clock.go_by(MINUTE)
        room.look()
        room.clock.go_by(MINUTE)
    assert room.counts() == [(1, 0, 0)]


def test_what_is_known_or_not_severe_enough_stays_on_the_box(room: Room) -> None:
    room.look(finding(severity="notice"))
    room.look(finding("web2"), known=True)
    assert not room.arrived


def test_a_message_is_tried_again_more_and_more_seldom_with_the_same_number(room: Room) -> None:
    room.fails = True
    room.look(finding())
    begin = room.clock.now()
    tries: list[float] = []
    while len(tries) < 9:
        before = len(room.numbers)
        room.clock.go_by(MINUTE)
        room.restart()
        room.look(finding())
        if len(room.numbers) > before:
            tries.append((room.clock.now() - begin) / MINUTE)
    assert tries[:6] == [1, 3, 7, 15, 31, 63]
    assert tries[-1] - tries[-2] == 60
    assert len(set(room.numbers)) == 1
    room.fails = False
    room.clock.go_by(timedelta(hours=1))
    room.look(finding())
    assert room.counts() == [(1, 0, 0)]
    (message,) = room.log.list(10)
    assert (message.state, message.tries, message.answer) == ("sent", 11, "200 OK")


def test_after_a_day_it_is_given_up_and_the_log_says_why(room: Room) -> None:
    room.fails = True
    end = room.clock.now() + GIVE_UP + timedelta(hours=2)
    while room.clock.now() < end:
        room.look(finding())
        room.clock.go_by(timedelta(minutes=30))
    (message,) = room.log.list(10)
    assert (message.state, message.answer) == ("failed", "nobody is there")


def test_a_clock_that_was_ahead_does_not_hold_messages_back(room: Room) -> None:
    room.clock.jump(timedelta(days=365))
    room.fails = True
    room.look(finding())
    room.clock.jump(-timedelta(days=365))
    room.fails = False
    room.look(finding())
    assert room.counts() == [(1, 0, 0)]


def test_a_stop_between_noting_and_sending_loses_and_repeats_nothing(room: Room) -> None:
    now = room.clock.now()
    dispatch = Dispatch(room.channels, room.log, room.clock, "box1", room.send)
    dispatch.gather([Standing(finding(), now, now, "warning", 0)])
    room.restart()
    room.look(finding())
    room.look(finding())
    assert room.counts() == [(1, 0, 0)]


def test_a_damaged_channel_holds_up_no_other(room: Room, state: Path) -> None:
    room.channels.put(
        WebhookChannel(name="a-first", url="https://example.org/", secret="0123456789abcdef")
    )
    path = state / "store/notices/a-first.channel"
    path.write_bytes(flip_last(path.read_bytes()))
    room.look(finding())
    assert room.counts() == [(1, 0, 0)]


def test_a_test_is_sent_at_once_and_noted(room: Room) -> None:
    dispatch = Dispatch(room.channels, room.log, room.clock, "box1", room.send)
    assert dispatch.test("hook") == "200 OK"
    room.fails = True
    with pytest.raises(HoldfastError):
        dispatch.test("hook")
    assert [message.state for message in room.log.list(10)] == ["failed", "sent"]
    room.fails = False
    room.look()
    assert room.counts() == [(0, 0, 0)]  # the test alone: a failed one is not tried again


def test_a_channel_that_takes_nothing_is_a_finding_until_it_does(room: Room) -> None:
    room.fails = True
    for _ in range(4):
        assert not list(judge_channels(room.log, room.clock.now()))
        room.look(finding())
        room.clock.go_by(timedelta(minutes=10))
    (stuck,) = judge_channels(room.log, room.clock.now())
    assert (stuck.subject, stuck.severity) == ("channel hook", "warning")
    assert "nobody is there" in stuck.summary
    room.fails = False
    room.clock.go_by(timedelta(hours=1))
    room.look(finding())
    assert not list(judge_channels(room.log, room.clock.now()))
