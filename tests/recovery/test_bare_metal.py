"""An empty machine pulls a point onto its disk with the kernel's own NBD client, and boots."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from tests.command import Holdfast
from tests.images import MIB, mixed_image
from tests.recovery.guests import SAYS_LOGIN
from tests.recovery.small_linux import pack_linux, run_linux

SIZE = 24 * MIB


def test_a_point_is_pulled_onto_an_empty_disk_and_boots(
    holdfast: Holdfast, tmp_path: Path, seed: int
) -> None:
    disk = SAYS_LOGIN + bytes(mixed_image(seed, 12)).ljust(SIZE - len(SAYS_LOGIN), b"\0")
    (tmp_path / "disk").write_bytes(disk)
    holdfast("init", "--recovery-out", tmp_path / "recovery.txt", expect=0)
    holdfast("backup", tmp_path / "disk", "--machine", "web1", expect=0)
    server = holdfast.start("--json", "nbd", "web1@latest", "--listen", "127.0.0.1:0")
    (address,) = json.loads(server.read_line())["addresses"]
    port = address.removeprefix("nbd://127.0.0.1:").removesuffix("/disk0")
    empty = tmp_path / "empty"
    with empty.open("wb") as file:
        file.truncate(SIZE)
    script = (
        "ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up\n"
        "for turn in $(seq 100); do test -e /dev/vda && break; sleep 0.1; done\n"
        f"nbd-client 10.0.2.2 {port} /dev/nbd0 -name disk0 && "
        "dd if=/dev/nbd0 of=/dev/vda bs=1M && sync && echo PULLED\n"
        "poweroff -f\n"
    )
    archive = pack_linux(script, ["/usr/sbin/nbd-client"])
    console = run_linux(tmp_path, archive, [empty], network=True, timeout_s=240)
    assert "PULLED" in console, console[-3000:]
    assert empty.read_bytes() == disk
    server.terminate()
    assert server.wait() == 0
    assert boots_to_login(empty, tmp_path)


def boots_to_login(disk: Path, place: Path) -> bool:
    serial = place / "serial.txt"
    argv = ["qemu-system-x86_64", "-accel", "tcg", "-nodefaults", "-display", "none", "-m", "32"]
    argv += ["-drive", f"file={disk},format=raw,if=virtio", "-serial", f"file:{serial}"]
    with subprocess.Popen(argv) as machine:
        deadline_s = time.monotonic() + 240
        while b"login:" not in (serial.read_bytes() if serial.exists() else b""):
            if time.monotonic() > deadline_s:
                break
            time.sleep(0.05)
        machine.kill()
    return b"login:" in serial.read_bytes()
