"""Name, time zone and addresses of a host that real services of systemd keep.

The services run in namespaces, on a bus of their own; nothing of this machine is changed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.host.house import DEADLINE_S, FIRST, House, running_house, wait_for

SECOND = "10.9.0.7"
COMMAND = (sys.executable, "-m", "appliance.cli.main")
STATIC = ("--address", f"{SECOND}/24", "--gateway", "10.9.0.1")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running_house(tmp_path_factory.mktemp("house")) as house:
        yield house


class Box:
    """The command, inside the house."""

    def __init__(self, house: House, state: Path) -> None:
        self.house = house
        self._words = ["--state", str(state), "box"]
        self._begun: list[subprocess.Popen[str]] = []

    def do(self, *words: str) -> dict[str, Any]:
        code, out, err = self.house.call(*self._words, *words, "--json")
        assert code == 0, err
        answer = json.loads(out)
        assert isinstance(answer, dict)
        return answer

    def refuse(self, *words: str) -> tuple[int, str]:
        code, _, err = self.house.call(*self._words, *words)
        return code, err

    def begin(self, *words: str, then: str = "", within: str = "600") -> subprocess.Popen[str]:
        """A trial, when the port has the address `then`."""
        words = (*words, "--within", within)
        process = subprocess.Popen(
            self.house.argv(*COMMAND, *self._words, "network", "eth0", *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._begun.append(process)
        if then:
            wait_for(lambda: then in self.house.addresses(), f"no {then}")
        return process

    def signal(self, process: subprocess.Popen[str], number: int) -> None:
        """To the command itself, which is a child of what brought it inside."""
        for child in psutil.Process(process.pid).children():
            child.send_signal(number)

    def port(self) -> dict[str, Any]:
        return next(one for one in self.do("show")["network"]["ports"] if one["name"] == "eth0")

    def trial(self) -> Any:
        return self.do("show")["network"]["trial"]

    def close(self) -> None:
        for process in self._begun:
            if process.poll() is None:
                self.signal(process, signal.SIGKILL)
            process.communicate(timeout=DEADLINE_S)


@pytest.fixture
def box(house: House, tmp_path: Path) -> Iterator[Box]:
    """With the addresses that the host had at first."""
    box = Box(house, tmp_path / "state")
    yield box
    box.close()
    house.run("sh", "-c", "rm -rf /etc/systemd/network/*holdfast*")
    house.restart()
    assert house.addresses() == {FIRST}


def test_addresses_that_somebody_keeps_outlive_a_restart(box: Box) -> None:
    before = box.port()
    assert (before["addresses"], before["obstacle"]) == ([f"{FIRST}/24"], None)
    assert before["wanted"]["gateways"] == ["10.9.0.1"]
    process = box.begin(*STATIC, then=SECOND)
    assert box.trial()["port"] == "eth0"
    code, said = box.refuse("network", "eth0", "--dhcp")
    assert (code, "holdfast box keep" in said) == (6, True)
    assert box.do("keep") == {"port": "eth0"}
    assert process.wait(DEADLINE_S) == 0
    assert box.trial() is None
    box.house.restart()
    wait_for(lambda: box.house.addresses() == {SECOND}, "not kept")
    assert f"{SECOND}/24" in box.port()["wanted"]["addresses"]
    assert box.refuse("keep")[0] == 5


def test_addresses_that_nobody_keeps_go_back_by_themselves(box: Box) -> None:
    said = box.house.said()
    process = box.begin(*STATIC, within="1")
    assert process.wait(DEADLINE_S) == 1
    assert "nobody kept the new addresses of eth0" in process.communicate()[1]
    assert "00-holdfast-eth0.network" in box.house.said()[len(said) :]  # networkd had taken them
    wait_for(lambda: box.house.addresses() == {FIRST}, "not as it was")
    assert box.trial() is None


def test_a_trial_of_dhcp_that_is_cancelled_goes_back_at_once(box: Box) -> None:
    process = box.begin("--dhcp", then="10.9.0.100")
    box.signal(process, signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 143
    wait_for(lambda: box.house.addresses() == {FIRST}, "not as it was")


def test_what_a_killed_command_tried_is_undone_by_the_next_one(box: Box) -> None:
    process = box.begin(*STATIC, then=SECOND)
    box.signal(process, signal.SIGKILL)
    process.wait(DEADLINE_S)
    assert box.trial()["port"] == "eth0"
    wait_for(lambda: box.house.addresses() == {SECOND}, "not as tried")
    over = r's/"until_s": [0-9.]*/"until_s": 0/'
    box.house.run("sed", "-i", over, "/run/holdfast/network-trial.json")
    assert box.trial() is None
    wait_for(lambda: box.house.addresses() == {FIRST}, "not as it was")


def test_a_host_that_restarts_during_a_trial_has_its_old_addresses(box: Box) -> None:
    process = box.begin(*STATIC, then=SECOND)
    box.signal(process, signal.SIGKILL)
    process.wait(DEADLINE_S)
    box.house.restart()
    wait_for(lambda: box.house.addresses() == {FIRST}, "not as it was")
    assert box.trial() is None


def test_what_cannot_be_set_says_why_and_nothing_changes(box: Box) -> None:
    for words, code, reason in (
        (("far0", *STATIC), 8, "says more of far0 than addresses"),
        (("eth9", *STATIC), 5, "no port 'eth9'"),
        (("eth0", "--address", "10.9.0.1/24"), 2, "far0 has 10.9.0.1 already"),
        (("eth0", *STATIC, "--dns", "10.9.0.1"), 2, "systemd-resolved does not run"),
        (("eth0", *STATIC, "--within", "9999"), 2, "a trial lasts"),
    ):
        found, said = box.refuse("network", *words)
        assert (found, reason in said) == (code, True), said
    assert box.house.addresses() == {FIRST}


def test_zone_and_name_are_set(box: Box) -> None:
    assert box.do("time", "--zone", "Asia/Shanghai")["zone"] == "Asia/Shanghai"
    assert box.house.run("date", "+%z").strip() == "+0800"
    assert box.do("name", "Vault7.branch.example") == {"name": "vault7.branch.example"}
    assert box.house.run("cat", "/etc/hostname").strip() == "vault7.branch.example"
    shown = box.do("show")
    assert (shown["name"]["now"], shown["time"]["zone"]) == (
        "vault7.branch.example",
        "Asia/Shanghai",
    )
    assert box.refuse("time", "--server", "pool.ntp.org")[0] != 0  # nothing starts services here
    for words in (("time", "--zone", "../../etc/passwd"), ("time",), ("name", "a_b"), ("name", "")):
        assert box.refuse(*words)[0] == 2, words
