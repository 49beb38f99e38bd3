"""Gates: a thread that reaches a function waits there, so that a race happens on purpose."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

# Nothing in these tests takes this long: a thread that waits longer is stuck.
STUCK_S = 120.0


class Gate:
    """Holds the first thread that comes by until `open`; all others pass."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._opened = threading.Event()
        self._lock = threading.Lock()
        self._is_taken = False

    def hold(self) -> None:
        """Called where the thread should wait."""
        with self._lock:
            is_first, self._is_taken = not self._is_taken, True
        if is_first:
            self._reached.set()
            assert self._opened.wait(STUCK_S), "the gate was never opened"

    def wait(self) -> None:
        """Until a thread stands at the gate."""
        assert self._reached.wait(STUCK_S), "nobody came to the gate"

    def open(self) -> None:
        """Let it go on."""
        self._opened.set()


def gate_before(patch: pytest.MonkeyPatch, owner: type, name: str) -> Gate:
    """A gate in front of method `name` of `owner`."""
    gate, method = Gate(), getattr(owner, name)

    def gated(*arguments: Any, **options: Any) -> Any:
        gate.hold()
        return method(*arguments, **options)

    patch.setattr(owner, name, gated)
    return gate


def gate_after(
    patch: pytest.MonkeyPatch, owner: type, name: str, when: Callable[[], bool] = lambda: True
) -> Gate:
    """A gate behind method `name` of `owner`, passed freely unless `when` says to wait."""
    gate, method = Gate(), getattr(owner, name)

    def gated(*arguments: Any, **options: Any) -> Any:
        result = method(*arguments, **options)
        if when():
            gate.hold()
        return result

    patch.setattr(owner, name, gated)
    return gate
