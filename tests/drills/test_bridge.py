"""Recovered VMs on a bridge of the box: reached from there, each under a MAC address of its own."""

from __future__ import annotations

import http.client
import subprocess
from functools import partial
from pathlib import Path

import pytest

from appliance.recovery import accelerator
from appliance.recovery.runtime import poll
from tests.command import Holdfast
from tests.drills.linux_guest import build_disk, build_initrd

OLD_MAC = "52:54:00:ab:cd:01"
EVERYBODYS_MAC = "52:54:00:12:34:56"  # what QEMU gives each guest that is not told
PATIENCE_S = 300


def fetch(host: str) -> str:
    """The page of a guest, "" while it does not answer."""
    connection = http.client.HTTPConnection(host, 80, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def is_served(name: str, host: str) -> bool:
    return f"this is {name}" in fetch(host)


def macs(bridge: str) -> dict[str, str]:
    """IPv4 address -> MAC address of those who were spoken to on the bridge."""
    argv = ["ip", "-4", "neigh", "show", "dev", bridge]
    lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
    words = [line.split() for line in lines if "lladdr" in line]
    return {each[0]: each[each.index("lladdr") + 1] for each in words}


def test_vms_on_a_bridge_are_reached_under_the_old_and_under_a_new_mac(
    holdfast: Holdfast, tmp_path: Path, bridge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(accelerator.ENVIRONMENT, "tcg")
    holdfast("init", "--recovery-out", tmp_path / "key.txt", expect=0)
    kernel, initrd, _ = build_initrd(tmp_path)
    for command in (
        ["addr", "add", "198.51.100.1/24", "dev", bridge],
        ["link", "set", bridge, "up"],
    ):
        subprocess.run(["ip", *command], check=True)
    hosts = {"shop": "198.51.100.10", "data": "198.51.100.11"}
    for name, host in hosts.items():
        image = tmp_path / "image.raw"
        image.write_bytes(build_disk(tmp_path, kernel, initrd, f"page={name} address={host}/24"))
        holdfast("backup", image, "--machine", name, expect=0)
        mac = ("--mac", OLD_MAC) if name == "shop" else ()
        words = ("boot", f"{name}@latest", "--name", name, "--memory", "192", "--wait", "none")
        holdfast(*words, "--network", f"bridge:{bridge}", *mac, expect=0)
    for name, host in hosts.items():
        assert poll(partial(is_served, name, host), PATIENCE_S), name
    seen = macs(bridge)
    assert seen[hosts["shop"]] == OLD_MAC
    assert seen[hosts["data"]] not in (OLD_MAC, EVERYBODYS_MAC)
    for name in hosts:
        holdfast("stop", name, "--discard", expect=0)
    assert not list(Path(f"/sys/class/net/{bridge}/brif").iterdir())
