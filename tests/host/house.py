"""A host of its own in namespaces: real networkd, timedated and hostnamed on a private bus.

    python -m tests.host.house FOLDER

is its first process: it runs commands of the box and restarts the services when it is told to on
its standard input, and everything ends with it. It has a port `eth0` with a cable to `far0`, and a
private /etc, /run and host name. What is missing is systemd itself: services that timedated would
start are not. And nothing in it may set the clock, of which a machine has only one: the first to
tell a kernel its time zone moves that by the zone's hours, which systemd prevents where it starts
first (kernel: timekeeping_warp_clock).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.command import call_main

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 180.0  # a busy machine must not fail a test
FIRST = "10.9.0.5"
"""What eth0 has at first, by a file of whoever installed the host."""
FILES = {
    "10-lan.network": f"[Match]\nName=eth0\n\n[Network]\nAddress={FIRST}/24\nGateway=10.9.0.1\n"
    "LinkLocalAddressing=no\n",
    # The other end of the cable gives addresses to who asks.
    "10-far.network": "[Match]\nName=far0\n\n[Network]\nAddress=10.9.0.1/24\nDHCPServer=yes\n"
    "LinkLocalAddressing=no\n\n[DHCPServer]\nPoolOffset=100\nPoolSize=1\n",
}
_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path=/run/dbus/system_bus_socket</listen><servicedir>{folder}</servicedir>
<auth>EXTERNAL</auth><policy context="default"><allow user="*"/><allow own="*"/>
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/></policy></busconfig>
"""
_SERVICE = (
    "[D-BUS Service]\nName=org.freedesktop.{word}1\nExec=/lib/systemd/systemd-{word}d\nUser=root\n"
)
_SPACES = ("--mount", "--net", "--uts", "--pid")
_SYS_TIME = 1 << 25  # capabilities(7), linux/capability.h
_NO_CLOCK = ("setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time")


class House:
    """The host, seen from outside."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        words = [*_NO_CLOCK, "unshare", *_SPACES, "--fork", "--kill-child", "--mount-proc"]
        self._process = subprocess.Popen(
            [*words, sys.executable, "-m", "tests.host.house", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._listen()
        self._first = psutil.Process(self._process.pid).children()[0].pid

    def _listen(self) -> Any:
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said, "the host has ended: what it said is above"
        return json.loads(said)

    def _tell(self, words: Sequence[str]) -> Any:
        assert self._process.stdin is not None
        print(json.dumps(words), file=self._process.stdin, flush=True)
        return self._listen()

    def restart(self) -> None:
        """As if it had been switched off and on: /run is empty, networkd reads its files."""
        self._tell([])

    def call(self, *words: str | Path) -> tuple[int, str, str]:
        """The command, in the first process: exit code, standard output, standard error."""
        code, out, err = self._tell([str(word) for word in words])
        return code, out, err

    def argv(self, *words: str) -> list[str]:
        """What runs `words` inside."""
        return ["nsenter", f"--target={self._first}", *_SPACES, "--", *words]

    def run(self, *words: str) -> str:
        """What `words` say inside; they have to go well."""
        done = subprocess.run(
            self.argv(*words), capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def said(self) -> str:
        """What its services have said."""
        return (self._folder / "said.log").read_text(errors="replace")

    def addresses(self) -> set[str]:
        """Those of eth0."""
        links = json.loads(self.run("ip", "-json", "-4", "address", "show", "eth0"))
        return {one["local"] for link in links for one in link.get("addr_info", ())}

    def close(self) -> None:
        """End it and all that runs inside."""
        inside = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.communicate()
        psutil.wait_procs(inside, timeout=DEADLINE_S)


@contextlib.contextmanager
def running_house(folder: Path) -> Iterator[House]:
    """A host for the block."""
    house = House(folder)
    try:
        yield house
    finally:
        house.close()


def wait_for(is_so: Callable[[], bool], what: str) -> None:
    """Until it is, or fail."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.05)


# ---- inside -------------------------------------------------------------------------------------


def _call(*words: str) -> None:
    subprocess.run(words, check=True)


class _Inside:
    """The services of the host."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._services: list[subprocess.Popen[bytes]] = []

    def furnish(self) -> None:
        """Private /etc, /run and /sys, and a port with a cable."""
        said = Path("/proc/self/status").read_text()
        capabilities = int(said.split("CapBnd:")[1].split()[0], 16)
        assert not capabilities & _SYS_TIME, "the services here could set this machine's clock"
        _call("mount", "--make-rprivate", "/")
        _call("cp", "-a", "/etc", str(self._folder))
        _call("mount", "--bind", str(self._folder / "etc"), "/etc")
        _call("mount", "-t", "sysfs", "-o", "ro", "sysfs", "/sys")
        networks = Path("/etc/systemd/network")
        shutil.rmtree(networks, ignore_errors=True)
        networks.mkdir(parents=True)
        for name, text in FILES.items():
            (networks / name).write_text(text)
        _call("ip", "link", "set", "lo", "up")

    def start(self) -> None:
        """As a host that was switched on."""
        _call("mount", "-t", "tmpfs", "tmpfs", "/run")
        _call("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0")
        for name in ("dbus", "systemd/system", "systemd/network"):
            Path("/run", name).mkdir(parents=True)
        for name in ("netif", "netif/links", "netif/leases", "netif/lldp"):
            place = Path("/run/systemd", name)
            place.mkdir()
            shutil.chown(place, "systemd-network", "systemd-network")
        bus = self._folder / "bus.conf"
        bus.write_text(_BUS.format(folder=self._folder))
        for word in ("timedate", "hostname"):
            (self._folder / f"{word}.service").write_text(_SERVICE.format(word=word))
        self._begin("dbus-daemon", f"--config-file={bus}", "--nofork", "--nopidfile")
        wait_for(Path("/run/dbus/system_bus_socket").exists, "no bus")
        self._begin("/lib/systemd/systemd-networkd")
        wait_for(self._has_begun, "networkd does not configure the ports")

    def stop(self) -> None:
        """As a host whose power goes."""
        for service in self._services:
            service.kill()
            service.wait()
        self._services.clear()
        _call("umount", "--lazy", "/run")
        _call("ip", "link", "delete", "eth0")

    def _begin(self, *words: str) -> None:
        with (self._folder / "said.log").open("ab") as said:
            self._services.append(
                subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            )

    def _has_begun(self) -> bool:
        done = subprocess.run(
            ["networkctl", "--json=short", "list"], capture_output=True, check=False
        )
        if done.returncode != 0:
            return False
        links = {one["Name"]: one for one in json.loads(done.stdout)["Interfaces"]}
        has_address = {
            name: any(one.family == socket.AF_INET for one in psutil.net_if_addrs()[name])
            for name in ("eth0", "far0")
        }
        return all(has_address[name] and "NetworkFile" in links[name] for name in has_address)


def main(arguments: Sequence[str]) -> int:
    """Live until standard input ends."""
    inside = _Inside(Path(arguments[0]))
    inside.furnish()
    inside.start()
    print("true", flush=True)
    for line in sys.stdin:
        words = json.loads(line)
        if words:
            code, out, err = call_main(words)
            print(json.dumps([code, out.decode(), err.decode()]), flush=True)
        else:
            inside.stop()
            inside.start()
            print("true", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
