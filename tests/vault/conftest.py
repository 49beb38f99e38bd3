"""Fixtures of the vault's tests: one event loop per test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def run() -> Iterator[Run]:
    """Run a coroutine to its end; all of one test in the same loop."""
    with asyncio.Runner() as runner:
        yield runner.run
