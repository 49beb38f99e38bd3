"""A real NUT with its dummy driver: the power goes, runs low, comes back, and falls silent."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.base.process import find_program
from appliance.health.kernel_tree import KernelTree
from appliance.health.power import Power, look_at_power
from appliance.recovery.runtime import poll
from tests.command import Child, Holdfast

NUT = Path("/lib/nut")
PATIENCE_S = 120
ON_LINE = "battery.charge: 80\nups.status: OL\n"
ON_BATTERY = "battery.charge: 60\nups.status: OB DISCHRG\n"
LOW = "battery.charge: 9\nups.status: OB DISCHRG LB\n"


class Nut:
    """NUT's server, and a UPS whose state is a file."""

    def __init__(self, folder: Path) -> None:
        find_program("upsc", "nut-client")
        self.folder = folder
        self.tree = KernelTree(folder / "tree")
        self._seconds = itertools.count(1)
        self._write("ups.conf", "[rack]\ndriver = dummy-ups\nport = rack.dev\nmode = dummy-once\n")
        # On a busy machine the driver is late: that is no news of the supply.
        self._write("upsd.conf", f"LISTEN 127.0.0.1 3493\nMAXAGE {PATIENCE_S}\n")
        self._write("upsd.users", "")
        self.say(ON_LINE)
        names = ("NUT_CONFPATH", "NUT_STATEPATH", "NUT_PIDPATH", "NUT_ALTPIDPATH")
        self._environment = {**os.environ, **dict.fromkeys(names, str(folder))}
        self.driver = self._start("dummy-ups", "-a", "rack")
        self.server = self._start("upsd")

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o600)

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{program}.log").open("wb")
        argv = [str(NUT / program), *arguments, "-F", "-u", "root"]
        with log:
            return subprocess.Popen(argv, env=self._environment, stdout=log, stderr=log)

    def say(self, text: str) -> None:
        """Change the state of the UPS.

        The driver reads the file again when its time differs in whole seconds: each state has a
        second of its own.
        """
        fresh = self.folder / "fresh"
        fresh.write_text(text)
        os.utime(fresh, (0, next(self._seconds)))
        fresh.rename(self.folder / "rack.dev")

    def look(self) -> Power:
        return look_at_power(self.tree)

    def close(self) -> None:
        for process in (self.driver, self.server):
            process.terminate()
            process.wait(PATIENCE_S)


@pytest.fixture
def nut(tmp_path: Path) -> Iterator[Nut]:
    made = Nut(tmp_path)
    yield made
    made.close()


def test_the_power_goes_and_comes_back(nut: Nut, holdfast: Holdfast) -> None:
    assert poll(lambda: [ups.charge_percent for ups in nut.look().supplies] == [80], PATIENCE_S)
    power = nut.look()
    assert (power.is_on_battery, power.wants_stop) == (False, False)
    assert "rack (NUT): on line, 80 %" in holdfast("health", "--power", expect=0).out
    nut.say(ON_BATTERY)
    assert poll(lambda: nut.look().is_on_battery, PATIENCE_S)
    assert not nut.look().wants_stop
    nut.say(LOW)
    assert poll(lambda: nut.look().wants_stop, PATIENCE_S)
    said = holdfast("--json", "health", "--power", expect=3).json()
    assert (said["on_battery"], said["wants_stop"]) == (True, True)
    assert said["ups"][0]["charge_percent"] == 9
    nut.say(ON_LINE)
    assert poll(lambda: not nut.look().is_on_battery, PATIENCE_S)
    nut.driver.kill()
    assert poll(lambda: [ups.is_silent for ups in nut.look().supplies] == [True], PATIENCE_S)
    assert not nut.look().wants_stop
    nut.server.terminate()
    assert poll(lambda: not nut.look().supplies, PATIENCE_S)


def test_the_watch_tells_that_the_line_is_gone_and_back(nut: Nut, holdfast: Holdfast) -> None:
    assert poll(lambda: [ups.is_on_battery for ups in nut.look().supplies] == [False], PATIENCE_S)
    watch = holdfast.start("--json", "health", "--watch")
    assert '"power.ups"' not in watch.read_line().decode()  # what stands at first
    nut.say(ON_BATTERY)
    rack = tell_next(watch, "came")
    assert (rack["subject"], rack["severity"]) == ("ups rack", "warning")
    nut.say(ON_LINE)
    assert tell_next(watch, "went")["subject"] == "ups rack"


def tell_next(watch: Child, what: str) -> dict[str, str]:
    """What the watch says next of a line that is gone."""
    while line := watch.read_line():
        said: list[dict[str, str]] = json.loads(line)[what]
        for finding in said:
            if finding["rule"] == "power.ups":
                return finding
    raise AssertionError("the watch ended")
