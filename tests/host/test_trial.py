"""A trial of addresses when networkd fails, and what waits for it in the daemon.

What networkd makes of the files is asked of a real one in `test_house`.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from appliance.base.errors import AccessError, HoldfastError, NotFoundError, UsageError
from appliance.daemon.trial_watch import TrialWatch
from appliance.host.addressing import parse_addressing
from appliance.host.host import Host, Obstacle
from appliance.host.ports import Port, Ports
from appliance.host.timing import find_server_obstacle, read_timing, set_servers
from appliance.host.trial import Trials
from tests.clocks import HandClock
from tests.host.house import DEADLINE_S

WANTED = parse_addressing(is_dynamic=False, addresses=["10.9.0.7/24"])
PORT = Port("eth0", True, (), None, "", None)


class StubbornHost(Host):
    """Its networkd follows one file, whatever there is; it can be told to fail."""

    def __init__(self, root: Path, follows: str = "") -> None:
        super().__init__(root)
        (root / "run/systemd/system").mkdir(parents=True)
        self.follows = follows
        self.fails = False
        self.asked: list[tuple[str, ...]] = []

    def run(self, *argv: str, timeout_s: float = 0.0) -> str:
        self.asked.append(argv)
        if self.fails:
            raise HoldfastError("networkd does not answer")
        if argv[-1] != "list":
            return ""
        link = {"Name": "eth0", "AdministrativeState": "configured", "NetworkFile": self.follows}
        return json.dumps({"Interfaces": [link]})

    def left(self) -> list[str]:
        """Files of a trial."""
        return [path.name for path in self.root.rglob("*") if path.suffix in (".network", ".json")]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


TAKEN = "/run/systemd/network/00-holdfast-eth0.network"


def test_what_networkd_does_not_take_up_is_taken_away_again(
    tmp_path: Path, clock: HandClock
) -> None:
    host = StubbornHost(tmp_path, "/etc/systemd/network/00-a.network")
    with pytest.raises(HoldfastError, match=r"it follows /etc/systemd/network/00-a\.network"):
        Trials(host, clock).begin(PORT, WANTED, 60)
    assert not host.left()
    assert host.asked[-1] == ("networkctl", "reload")


def test_a_trial_that_networkd_does_not_undo_is_undone_when_it_answers_again(
    tmp_path: Path, clock: HandClock
) -> None:
    host = StubbornHost(tmp_path, TAKEN)
    trials = Trials(host, clock)
    trials.begin(PORT, WANTED, 60)
    assert trials.undo_late() is None
    clock.sleep_s(61)
    with pytest.raises(NotFoundError):
        trials.keep()  # too late, though nobody has undone it yet
    host.fails = True
    with pytest.raises(HoldfastError, match="does not answer"):
        trials.undo_late()
    host.fails = False
    assert trials.undo_late() is not None
    assert not host.left()


def test_a_trial_is_of_one_port_that_can_be_set(tmp_path: Path, clock: HandClock) -> None:
    trials = Trials(StubbornHost(tmp_path, TAKEN), clock)
    held = Port("eth0", True, (), None, "", Obstacle("ifupdown", "ifupdown keeps them"))
    with pytest.raises(AccessError, match="ifupdown"):
        trials.begin(held, WANTED, 60)
    with pytest.raises(UsageError, match="a trial lasts"):
        trials.begin(PORT, WANTED, 0)
    trial = trials.begin(PORT, WANTED, 60)
    trials.undo(trial)
    with pytest.raises(NotFoundError):
        trials.undo(trial)


def test_a_note_that_nobody_can_read_ends_the_trial(tmp_path: Path, clock: HandClock) -> None:
    host = StubbornHost(tmp_path, TAKEN)
    trials = Trials(host, clock)
    trials.begin(PORT, WANTED, 60)
    (tmp_path / "run/holdfast/network-trial.json").write_text('{"id": 1')
    with pytest.raises(NotFoundError):
        trials.keep()
    assert trials.undo_late() is not None
    assert not host.left()


def test_the_daemon_undoes_what_a_killed_command_tried(tmp_path: Path, clock: HandClock) -> None:
    host, said = StubbornHost(tmp_path, TAKEN), list[str]()
    trials = Trials(host, clock)
    trials.begin(PORT, WANTED, 60)
    clock.sleep_s(61)

    async def watch() -> None:
        part = TrialWatch(trials, said.append)
        await part.start()
        async with asyncio.timeout(DEADLINE_S):
            while not said:
                await asyncio.sleep(0.01)
        await part.stop()

    asyncio.run(watch())
    assert said == ["nobody kept the new addresses of eth0: it is as it was"]
    assert not host.left()


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("run/NetworkManager/x", "network-manager"),
        ("run/network/ifstate", "ifupdown"),
        ("run/systemd/container", "container"),
        ("x", "no-networkd"),
    ],
)
def test_who_keeps_the_addresses_is_said(tmp_path: Path, file: str, reason: str) -> None:
    host = StubbornHost(tmp_path)
    host.fails = True  # networkd does not run
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("lo=lo\neth0=eth0\n")
    obstacle = Ports(host).find_obstacle()
    assert obstacle is not None
    assert obstacle.reason == reason


def test_time_servers_are_written_down_and_taken_away_again(tmp_path: Path) -> None:
    host = StubbornHost(tmp_path)
    obstacle = find_server_obstacle(host)
    assert obstacle is not None
    assert obstacle.reason == "no-timesyncd"
    (tmp_path / "lib/systemd").mkdir(parents=True)
    (tmp_path / "lib/systemd/systemd-timesyncd").touch()
    set_servers(host, ["ntp1.example.org", " 2001:DB8::1 "])
    assert read_timing(host).servers == ("ntp1.example.org", "2001:db8::1")
    assert ("timedatectl", "set-ntp", "true") in host.asked
    assert host.asked[-1] == ("systemctl", "restart", "systemd-timesyncd.service")
    for wrong in ("a b", "-x", "ntp\nFallbackNTP=evil.example", "", "http://x", "1.2.3"):
        with pytest.raises(UsageError, match="no time server"):
            set_servers(host, [wrong])
    with pytest.raises(UsageError, match="at most"):
        set_servers(host, ["a.example"] * 11)
    set_servers(host, [])
    assert read_timing(host).servers == ()
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/chronyd").touch()
    with pytest.raises(AccessError, match="chrony keeps the clock"):
        set_servers(host, ["ntp1.example.org"])
