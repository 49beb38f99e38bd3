"""A second read when the first is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from appliance.base.clock import SystemClock
from appliance.vault.bucket import TransientError
from appliance.vault.hedge import Hedge
from tests.vault.conftest import Run


class Reads:
    """Reads of which the first may hang or fail."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.begun = 0
        self.cancelled = 0

    async def read(self) -> str:
        answer = self.answers[min(self.begun, len(self.answers) - 1)]
        self.begun += 1
        try:
            if answer == "hang":
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if answer == "fail":
            raise TransientError("broken")
        return answer


def hedge(monkeypatch: pytest.MonkeyPatch) -> Hedge:
    monkeypatch.setattr("appliance.vault.hedge._FIRST_GUESS_S", 0.02)
    monkeypatch.setattr("appliance.vault.hedge._LEAST_S", 0.02)
    return Hedge(SystemClock())


def test_a_read_that_hangs_is_overtaken(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Reads("hang", "second")
    assert run(hedge(monkeypatch).run(reads.read, 100)) == "second"
    assert (reads.begun, reads.cancelled) == (2, 1)


def test_a_read_that_answers_is_not_asked_twice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Reads("first")
    assert run(hedge(monkeypatch).run(reads.read, 100)) == "first"
    assert reads.begun == 1


def test_an_error_is_no_answer_while_the_other_may_come(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = Reads("hang", "fail")

    async def release(ask: Callable[[], Awaitable[str]]) -> str:
        first = asyncio.Event()

        async def slow_first() -> str:
            if reads.begun == 0:
                reads.begun += 1
                await first.wait()
                return "first, late"
            try:
                return await ask()
            finally:
                first.set()

        return await hedge(monkeypatch).run(slow_first, 100)

    assert run(release(reads.read)) == "first, late"


def test_when_all_fail_the_error_comes_through(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TransientError, match="broken"):
        run(hedge(monkeypatch).run(Reads("fail").read, 100))


def test_a_server_in_trouble_is_not_asked_twice_for_everything(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    hedging = hedge(monkeypatch)
    begun = 0

    async def slow() -> int:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0.06)
        return 1

    async def many() -> None:
        for _ in range(10):
            monkeypatch.setattr(hedging, "_usual_s", {7: 0.001})
            await hedging.run(slow, 100)

    run(many())
    assert 10 < begun <= 12
