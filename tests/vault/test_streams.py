"""How many streams are open, as requests end well or badly."""

from __future__ import annotations

import asyncio

import pytest

from appliance.vault.streams import STREAMS_MAX, Streams, for_each
from appliance.vault.traffic import Outcome, Request

MIB = 1 << 20


def done(wait_s: float = 0.05) -> Request:
    return Request("PUT", Outcome.DONE, sent_bytes=MIB, seconds=1.0, wait_s=wait_s)


def grown() -> Streams:
    streams = Streams()
    for _ in range(100):
        streams.note(done())
    return streams


def test_streams_grow_while_it_goes_well_and_never_beyond_the_most() -> None:
    streams = Streams()
    first = streams.limit
    for _ in range(first + 1):
        streams.note(done())
    assert streams.limit == first + 1
    assert grown().limit == STREAMS_MAX
    assert grown().bytes_per_s == pytest.approx(MIB)


@pytest.mark.parametrize(
    "trouble", [Request("PUT", Outcome.SLOW_DOWN), Request("PUT", Outcome.TIMEOUT), done(wait_s=3)]
)
def test_trouble_halves_them_once(trouble: Request) -> None:
    streams = grown()
    for _ in range(3):  # of the same moment
        streams.note(trouble)
    assert streams.limit == STREAMS_MAX // 2
    for _ in range(50):
        streams.note(trouble)
    assert streams.limit == 1


def test_a_connection_that_was_cut_costs_nothing() -> None:
    streams = grown()
    for _ in range(20):
        streams.note(Request("PUT", Outcome.BROKEN, sent_bytes=MIB))
    assert streams.limit == STREAMS_MAX


def test_no_more_are_open_than_allowed() -> None:
    streams = Streams()
    most = busy = 0

    async def work(_: int) -> None:
        nonlocal most, busy
        async with streams.stream():
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0)
            busy -= 1

    asyncio.run(for_each(range(50), work, 20))
    assert most == streams.limit


def test_the_first_failure_ends_the_others() -> None:
    ended: list[int] = []

    async def work(number: int) -> None:
        if number == 3:
            raise ValueError("three")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(number)
            raise

    with pytest.raises(ValueError, match="three"):
        asyncio.run(for_each(range(10), work, 4))
    assert sorted(ended) == [0, 1, 2]
