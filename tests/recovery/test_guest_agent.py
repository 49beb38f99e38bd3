"""Talking with a guest agent: one that answers, one that is silent, one that talks nonsense."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from appliance.recovery import guest_agent
from appliance.recovery.guest_agent import (
    AgentError,
    GuestAgent,
    still_filesystems,
    thaw_filesystems,
)
from appliance.recovery.hardware import AGENT_SOCKET
from appliance.sources.wire import bind_unix

Answer = Callable[[dict[str, Any]], bytes]


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine an agent that is there answers late."""
    monkeypatch.setattr(guest_agent, "ANSWER_TIMEOUT_S", 60.0)


@contextmanager
def agent(folder: Path, answer: Answer) -> Iterator[list[str]]:
    """Something that answers each line; gives what it was asked."""
    asked: list[str] = []
    listener = bind_unix(folder / AGENT_SOCKET)

    def talk() -> None:
        connection, _ = listener.accept()
        with suppress(OSError), connection, connection.makefile("rb") as lines:
            for line in lines:
                request = json.loads(line.lstrip(b"\xff"))
                asked.append(request["execute"])
                connection.sendall(answer(request))

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    yield asked
    thread.join()
    listener.close()


def obedient(request: dict[str, Any]) -> bytes:
    if request["execute"] == "guest-sync-delimited":
        number = request["arguments"]["id"]
        return b'what was left\n\xff{"return": %d}\n' % number
    return b'{"return": 2}\n'


@pytest.mark.usefixtures("patience")
def test_filesystems_are_still_while_the_block_runs_and_thaw_after(tmp_path: Path) -> None:
    with agent(tmp_path, obedient) as asked, still_filesystems(tmp_path) as is_still:
        assert is_still
        assert asked[-1] == "guest-fsfreeze-freeze"
    assert asked[-1] == "guest-fsfreeze-thaw"


@pytest.mark.usefixtures("patience")
def test_what_a_killed_command_left_still_is_thawed(tmp_path: Path) -> None:
    thaw_filesystems(tmp_path)  # no agent: nothing to do
    with agent(tmp_path, obedient) as asked:
        thaw_filesystems(tmp_path)
    assert asked[-1] == "guest-fsfreeze-thaw"


@pytest.mark.usefixtures("patience")
def test_they_thaw_although_the_block_fails(tmp_path: Path) -> None:
    with (
        agent(tmp_path, obedient) as asked,
        pytest.raises(ValueError, match="meanwhile"),
        still_filesystems(tmp_path),
    ):
        raise ValueError("meanwhile")
    assert asked[-1] == "guest-fsfreeze-thaw"


@pytest.mark.parametrize(
    "said",
    [
        b"\xff\n",
        b'\xff{"return": 1}\n',
        b'\xff{"error": {"class": "GenericError"}}\n',
        b"\xff[" * 9,
        b"\xff" + b"x" * (2 << 20),
    ],
)
def test_who_talks_nonsense_is_no_agent(tmp_path: Path, said: bytes) -> None:
    with agent(tmp_path, lambda _: said), pytest.raises(AgentError):
        GuestAgent(tmp_path)


def test_a_silent_agent_costs_seconds_and_the_block_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_agent, "ANSWER_TIMEOUT_S", 0.2)
    with still_filesystems(tmp_path) as is_still:
        assert not is_still
    listener = bind_unix(tmp_path / AGENT_SOCKET)
    with listener, still_filesystems(tmp_path) as is_still:
        assert not is_still


@pytest.mark.usefixtures("patience")
def test_an_agent_that_refuses_to_freeze_is_thawed_all_the_same(tmp_path: Path) -> None:
    def refuses(request: dict[str, Any]) -> bytes:
        is_freeze = request["execute"] == "guest-fsfreeze-freeze"
        return b'{"error": {"desc": "no"}}\n' if is_freeze else obedient(request)

    with agent(tmp_path, refuses) as asked, still_filesystems(tmp_path) as is_still:
        assert not is_still
    assert asked[-1] == "guest-fsfreeze-thaw"
