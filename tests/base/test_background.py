"""Tasks that begin one by one and end together."""

from __future__ import annotations

import asyncio

from appliance.base.background import Background


def test_what_begins_runs_until_the_end_and_has_ended_then() -> None:
    async def try_it() -> list[str]:
        said: list[str] = []
        begun = asyncio.Event()

        async def work() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)  # ending may take a while
                said.append("ended")

        background = Background()
        background.begin(work())
        await begun.wait()
        await background.end()
        return said

    assert asyncio.run(try_it()) == ["ended"]


def test_one_that_failed_keeps_the_others_from_nothing() -> None:
    async def try_it() -> bool:
        went_on = asyncio.Event()

        async def fail() -> None:
            raise OSError("gone")

        async def work() -> None:
            went_on.set()

        background = Background()
        background.begin(fail(), work())
        await went_on.wait()
        await background.end()
        return True

    assert asyncio.run(try_it())


def test_where_nothing_began_there_is_nothing_to_end() -> None:
    asyncio.run(Background().end())
