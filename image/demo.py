"""The demo: a real disk is protected, changed, restored, mounted, booted, and back from a vault.

Owns: the story of `make demo` and its report. Never does: reach behind the `holdfast` command; what
it shows is what a person can do by hand. Wipes `demo/state` at its start and keeps the report.

`demo/report.json` (times in seconds, sizes in bytes):

    first, second   one object per recovery point:
        point           its name
        disk_bytes      size of the disk
        used_bytes      of those, allocated in the source file
        read_bytes      read from the source
        new_bytes       not known to the store before, uncompressed
        stored_bytes    what the point added to the store
        ratio           used_bytes / stored_bytes
        seconds         wall time of the whole backup command
    restore         of the first point to a file: seconds, sha256, identical
    mount           of both points through FUSE: seconds (to hash both disks), identical
    boot            of the second point, its source file deleted:
        point, ready_s (power-on to login prompt), seconds (of the whole command),
        accelerator, screenshot (a PNG in demo/)
    store_bytes     size of all files of the store before it is lost
    vault           both points uploaded to a directory, the state wiped, the vault opened with the
                    recovery key and the second point booted from there:
        sent_bytes, upload_s, open_s (from nothing to a list of points), and as under boot
    total_s         the whole demo, the making of the disks included
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from appliance.base.errors import HoldfastError
from appliance.base.text import duration, size
from image.workbench import say

CHECKOUT = Path(__file__).resolve().parent.parent
DEMO = CHECKOUT / "demo"
STATE = DEMO / "state"
VAULT = DEMO / "vault"
RECOVERY_KEY = DEMO / "recovery-key.txt"
POINTS = DEMO / "points"
MACHINE = "web1"
_HOLDFAST = Path(sys.executable).with_name("holdfast")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def holdfast(*arguments: str | Path) -> dict[str, Any]:
    """Run a command and give the JSON object it printed; its progress shows as it comes.

    Raises HoldfastError if it fails or prints something else.
    """
    shown = " ".join(str(_shorten(argument)) for argument in arguments)
    say(f"$ holdfast {shown}")
    argv = [_HOLDFAST, "--state", STATE, "--json", *arguments]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise HoldfastError(f"'holdfast {shown}' ended with exit code {done.returncode}")
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise HoldfastError(f"'holdfast {shown}' did not print one JSON object") from error
    if not isinstance(answer, dict):
        raise HoldfastError(f"'holdfast {shown}' printed something else than a JSON object")
    return answer


def run_demo() -> dict[str, Any]:
    """Do everything and give the report. Raises HoldfastError at the first mismatch."""
    began_s = time.monotonic()
    disk, before = DEMO / "web1.raw", DEMO / "web1-before.raw"
    report: dict[str, Any] = {}
    say("--- a real Debian 12 disk")
    _make_disk("--out", disk)
    say("--- protect it")
    holdfast("init", "--recovery-out", RECOVERY_KEY)
    report["first"] = _protect(disk)
    say("--- some days pass: a package installed, files edited, logs grown")
    _make_disk("--out", before, "--second", disk)
    say("--- protect it again")
    report["second"] = _protect(disk)
    later_sha256 = _hash_file(disk)
    # From here on there is only the backup.
    disk.unlink()
    say("--- restore the first point, compare")
    report["restore"] = _restore(report["first"]["point"], _hash_file(before))
    before.unlink()
    say("--- mount the points, compare")
    expected = {
        report["first"]["point"]: report["restore"]["sha256"],
        report["second"]["point"]: later_sha256,
    }
    report["mount"] = _mount(expected)
    say("--- boot the second point")
    report["boot"] = _boot(report["second"]["point"], "screenshot.png")
    files = (path for path in (STATE / "store").rglob("*") if path.is_file())
    report["store_bytes"] = sum(path.stat().st_size for path in files)
    say("--- upload to a vault, lose the box, come back from vault and recovery key")
    report["vault"] = _come_back(report["second"]["point"])
    report["total_s"] = round(time.monotonic() - began_s, 2)
    return report


def _make_disk(*arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "image.debian_disk", *arguments], cwd=CHECKOUT, check=False
    )
    if done.returncode != 0:
        raise HoldfastError("the disk could not be made: the reason stands above")


def _protect(disk: Path) -> dict[str, Any]:
    used_bytes = disk.stat().st_blocks * 512
    began_s = time.monotonic()
    point = holdfast("backup", disk, "--machine", MACHINE)
    seconds = time.monotonic() - began_s
    if point["state"] != "complete":
        raise HoldfastError(f"{point['name']} is {point['state']}, not complete")
    return {
        "point": point["name"],
        "disk_bytes": sum(disk["size_bytes"] for disk in point["disks"]),
        "used_bytes": used_bytes,
        "read_bytes": point["read_bytes"],
        "new_bytes": point["new_bytes"],
        "stored_bytes": point["stored_bytes"],
        "ratio": round(used_bytes / max(1, point["stored_bytes"]), 2),
        "seconds": round(seconds, 2),
    }


def _restore(point: str, expected_sha256: str) -> dict[str, Any]:
    restored = DEMO / "restored.raw"
    began_s = time.monotonic()
    holdfast("restore", point, restored)
    seconds = time.monotonic() - began_s
    sha256 = _hash_file(restored)
    restored.unlink()
    if sha256 != expected_sha256:
        raise HoldfastError(f"{point} restored differs from its disk: {sha256}")
    say(f"identical: SHA-256 {sha256}")
    return {"seconds": round(seconds, 2), "sha256": sha256, "identical": True}


def _mount(expected: dict[str, str]) -> dict[str, Any]:
    POINTS.mkdir()
    holdfast("mount", POINTS)
    try:
        began_s = time.monotonic()
        for point, sha256 in expected.items():
            machine, _, moment = point.partition("@")
            if _hash_file(POINTS / machine / moment / "disk0.raw") != sha256:
                raise HoldfastError(f"{point} read through the mount differs from its disk")
            say(f"identical through the mount: {point}")
        seconds = time.monotonic() - began_s
    finally:
        holdfast("umount", POINTS)
    POINTS.rmdir()
    return {"seconds": round(seconds, 2), "identical": True}


def _come_back(expected_point: str) -> dict[str, Any]:
    url = f"file://{VAULT}"
    holdfast("vault", "add", url)
    began_s = time.monotonic()
    sent_bytes = holdfast("vault", "sync", "--all", "--wait")["traffic"]["sent_bytes"]
    upload_s = time.monotonic() - began_s
    shutil.rmtree(STATE)
    began_s = time.monotonic()
    opened = holdfast("vault", "open", url, "--recovery-key", RECOVERY_KEY)
    if opened["points"] != 2:
        raise HoldfastError(f"the vault gave {opened['points']} points back, not 2")
    return {
        "sent_bytes": sent_bytes,
        "upload_s": round(upload_s, 2),
        "open_s": round(time.monotonic() - began_s, 2),
        **_boot(expected_point, "screenshot-vault.png"),
    }


def _boot(expected_point: str, picture_name: str) -> dict[str, Any]:
    picture = DEMO / picture_name
    began_s = time.monotonic()
    boot = ("boot", f"{MACHINE}@latest", "--wait", "login", "--screenshot", picture)
    try:
        vm = holdfast(*boot)
    except HoldfastError:
        # Nothing of a demo that failed may run on.
        _stop_vms()
        raise
    seconds = time.monotonic() - began_s
    holdfast("stop", vm["name"], "--discard")
    if vm["point"] != expected_point:
        raise HoldfastError(f"{MACHINE}@latest booted {vm['point']}, not {expected_point}")
    if picture.read_bytes()[:8] != _PNG_MAGIC:
        raise HoldfastError(f"{picture} is not a PNG picture")
    return {
        "point": vm["point"],
        "ready_s": round(vm["ready_s"], 2),
        "seconds": round(seconds, 2),
        "accelerator": vm["accelerator"],
        "screenshot": picture.name,
    }


def write_table(report: dict[str, Any]) -> str:
    """The report for people, as aligned lines."""
    rows: list[tuple[str, ...]] = [
        ("", "disk", "used", "read", "new", "stored", "ratio", "seconds")
    ]
    for title, key in (("first full", "first"), ("some days later", "second")):
        point = report[key]
        sizes = (size(point[f"{name}_bytes"]) for name in ("disk", "used", "read", "new", "stored"))
        rows.append((title, *sizes, f"{point['ratio']:.1f}", f"{point['seconds']:.1f}"))
    lines = _align(rows)
    boot, restore, mount = report["boot"], report["restore"], report["mount"]
    vault = report["vault"]
    facts = [
        ("store", f"{size(report['store_bytes'])} for both points"),
        ("restore", f"identical, {restore['seconds']:.1f} s"),
        ("mount", f"both points identical, {mount['seconds']:.1f} s to hash them"),
        ("boot", f"login prompt after {boot['ready_s']:.1f} s ({boot['accelerator']})"),
        ("screenshot", f"demo/{boot['screenshot']}"),
        ("vault", f"{size(vault['sent_bytes'])} uploaded in {vault['upload_s']:.1f} s"),
        ("from the vault", f"points after {vault['open_s']:.1f} s, login {vault['ready_s']:.1f} s"),
        ("whole demo", duration(report["total_s"])),
    ]
    return "\n".join([*lines, "", *(f"{name:<15}  {text}" for name, text in facts)]) + "\n"


def _align(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]


def _hash_file(path: Path) -> str:
    say(f"hashing {_shorten(path)}")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shorten(argument: str | Path) -> str | Path:
    if isinstance(argument, Path) and argument.is_relative_to(CHECKOUT):
        return argument.relative_to(CHECKOUT)
    return argument


def _clear_last_run() -> None:
    """End what an interrupted demo left running, and remove its files but the report."""
    DEMO.mkdir(exist_ok=True)
    if STATE.exists():
        _stop_vms()
    if os.path.ismount(POINTS):
        holdfast("umount", POINTS)
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    if any(line.split()[4].startswith(f"{DEMO}/") for line in mounts):
        raise HoldfastError(f"something is still mounted under {DEMO}: unmount it first")
    shutil.rmtree(STATE, ignore_errors=True)
    shutil.rmtree(VAULT, ignore_errors=True)
    if POINTS.is_dir():
        POINTS.rmdir()
    for name in ("web1.raw", "web1-before.raw", "restored.raw", "recovery-key.txt"):
        (DEMO / name).unlink(missing_ok=True)


def _stop_vms() -> None:
    for vm in holdfast("vms")["vms"]:
        holdfast("stop", vm["name"], "--discard")


def main() -> int:
    """Run the demo, print its table and keep it. Gives the exit status."""
    try:
        if os.geteuid() != 0:
            raise HoldfastError("the demo makes a disk, mounts and boots it: run it as root")
        _clear_last_run()
        report = run_demo()
    except HoldfastError as error:
        say(f"demo failed: {error}")
        return 1
    except KeyboardInterrupt:
        say("demo cancelled; the next run clears up")
        return 130
    table = write_table(report)
    (DEMO / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (DEMO / "report.txt").write_text(table)
    sys.stdout.write(f"\n{table}\nKept: demo/report.txt, demo/report.json, demo/screenshot.png\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
