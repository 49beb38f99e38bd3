"""The unit of systemd: systemd reads it without a word, and it leaves the daemon what it needs."""

from __future__ import annotations

import configparser
import subprocess
from pathlib import Path

from appliance.cli import parser
from appliance.daemon.daemon import STOP_S
from appliance.updates.releases import READY_WITHIN_S
from tests.command import ROOT

UNIT = ROOT / "image" / "holdfast.service"
# What brings a list of devices, or a view of mounts that nobody else has.
CUTS_OFF = {
    *("ProtectClock", "PrivateDevices", "DevicePolicy", "PrivateMounts"),
    *("PrivateTmp", "ProtectSystem", "ProtectHome", "ProtectKernelLogs", "ProtectKernelModules"),
    *("ProtectKernelTunables", "ProtectControlGroups", "ProtectHostname", "ReadOnlyPaths"),
    *("InaccessiblePaths", "TemporaryFileSystem", "RootDirectory", "PrivateUsers", "ProtectProc"),
}


def test_systemd_takes_every_line_of_it(tmp_path: Path) -> None:
    """The program is not installed here: only its place is another one."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/holdfast", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if UNIT.name in line]
    assert not said
    assert done.returncode == 0, done.stderr


def test_it_cuts_the_daemon_off_from_no_disk_and_no_mount() -> None:
    """On Debian 12 ProtectClock= let the daemon open no device but the clock's."""
    assert not CUTS_OFF & read().keys()
    allowed = [line for line in UNIT.read_text().splitlines() if line.startswith("DeviceAllow=")]
    assert allowed == ["DeviceAllow=block-* rwm", "DeviceAllow=char-* rwm"]


def test_what_it_waits_for_is_what_the_daemon_does() -> None:
    service = read()
    assert service["Type"] == "notify"
    assert float(service["TimeoutStopSec"]) > STOP_S
    assert float(service["TimeoutStartSec"]) > READY_WITHIN_S
    words = service["ExecStart"].split()[1:]
    assert parser.build("").parse_args(words).command == "serve"
    assert service["KillMode"] == "process"  # workers and recovered VMs outlive a daemon that died


def read() -> dict[str, str]:
    """The service's settings."""
    found = configparser.ConfigParser(interpolation=None, strict=False)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string(UNIT.read_text())
    return dict(found["Service"])
