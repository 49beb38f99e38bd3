"""What to wait for, and how a connection that only QEMU took is told from one the guest took."""

from __future__ import annotations

import pytest

from appliance.base.errors import UsageError
from appliance.base.progress import Progress
from appliance.recovery.ready import LOGIN, Wait, is_established

# The layout in which QEMU 7.2 prints its table; the state of our connection is filled in.
USERNET = """Hub -1 (net):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[{state}]      21       127.0.0.1 34453       10.0.2.15    80     0     0
  TCP[HOST_FORWARD]   9       127.0.0.1 34453       10.0.2.15    80     0     0
"""


def rows(state: str) -> list[list[str]]:
    return [
        row for line in USERNET.format(state=state).splitlines() if len(row := line.split()) > 5
    ]


@pytest.mark.parametrize("text", ["login", "none", "tcp:1", "tcp:65535"])
def test_what_can_be_waited_for_is_read(text: str) -> None:
    assert str(Wait.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "LOGIN", "tcp", "tcp:", "tcp:0", "tcp:65536", "tcp:-1", "tcp:8 0", "tcp:\u0661"]
)
def test_anything_else_is_refused_with_what_is_possible(text: str) -> None:
    with pytest.raises(UsageError, match="login, tcp:PORT or none"):
        Wait.parse(text)


def test_progress_says_what_is_waited_for() -> None:
    progress = Progress()
    for wait, said in (
        (LOGIN, "waiting for the login prompt"),
        (Wait("tcp", 22), "waiting for tcp:22"),
    ):
        wait.tell(progress)
        assert progress.snapshot().title == said


def test_only_the_guests_side_counts() -> None:
    assert is_established(rows("ESTABLISHED"), "34453")
    assert is_established(rows("CLOSE_WAIT"), "34453")
    assert not is_established(rows("SYN_SENT"), "34453")
    assert not is_established(rows("ESTABLISHED"), "34454")
    assert not is_established([], "34453")
