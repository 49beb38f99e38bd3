"""Runs in the guest, and does there what the host asks for over a serial port.

Owns the guest's side of the conversation: one JSON object a line, an answer for each. The product's
command runs in a fork of this process, which has imported it already: under emulation the imports
take longer than all the rest. Never checks anything.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlite_utils

from appliance.cli.main import main as product

_PORTS = ("/dev/vport0p1", "/dev/vport1p1", "/dev/vport2p1", "/dev/vport3p1")
_SYS_FINIT_MODULE = 313  # x86-64
_OUTPUT_MAX_BYTES = 4 << 20
_IMPORTED = (
    "appliance.cli.health",
    "appliance.cli.health_watch",
    "appliance.cli.disks",
    "appliance.cli.arrays",
)
_LIBC = ctypes.CDLL(None, use_errno=True)


def warm_up() -> None:
    """What each command would do again: imports, and the searches for libudev and for plug-ins."""
    for name in _IMPORTED:
        importlib.import_module(name)
    udev = importlib.import_module("appliance.health.udev")
    udev.read_properties("none")
    sqlite_utils.Database(memory=True).close()


def load(path: str, parameters: str) -> None:
    """Load one module; one that is there already is fine."""
    with Path(path).open("rb") as file:
        if _LIBC.syscall(_SYS_FINIT_MODULE, file.fileno(), parameters.encode(), 0) != 0:
            number = ctypes.get_errno()
            if number != errno.EEXIST:
                raise OSError(number, os.strerror(number), path)


def run_program(argv: list[str], stdin: str, timeout_s: float) -> dict[str, Any]:
    """Run a program to its end."""
    began_s = time.monotonic()
    try:
        done = subprocess.run(
            argv, input=stdin.encode(), capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"code": -1, "out": "", "err": f"no end within {timeout_s} s"}
    seconds = time.monotonic() - began_s
    return {
        "code": done.returncode,
        "out": done.stdout.decode(errors="replace"),
        "err": done.stderr.decode(errors="replace"),
        "seconds": seconds,
    }


def start_product(arguments: list[str], out: str, err: str) -> int:
    """Start the command in a fork; its output goes to these files."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        for number, path in ((0, "/dev/null"), (1, out), (2, err)):
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(path, flags, 0o600), number)
        for source in (signal.SIGINT, signal.SIGTERM):
            signal.signal(source, signal.SIG_DFL)
        sys.stdout = os.fdopen(1, "w")
        sys.stderr = os.fdopen(2, "w")
        code = product(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        sys.stderr.flush()
    finally:
        os._exit(code)


def run_product(arguments: list[str], timeout_s: float) -> dict[str, Any]:
    """Run the command to its end; a late one is killed and not waited for."""
    out, err = "/tmp/product.out", "/tmp/product.err"
    began_s = time.monotonic()
    pid = start_product(arguments, out, err)
    status = _wait(pid, began_s + timeout_s)
    if status is None:
        os.kill(pid, signal.SIGKILL)
        return {"code": -1, "out": "", "err": f"no end within {timeout_s} s: {read(err)}"}
    return {
        "code": os.waitstatus_to_exitcode(status),
        "out": read(out),
        "err": read(err),
        "seconds": time.monotonic() - began_s,
    }


def _wait(pid: int, deadline_s: float) -> int | None:
    while time.monotonic() < deadline_s:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.01)
    return None


def read(path: str) -> str:
    """The text of a file, or of its first megabytes."""
    with contextlib.suppress(OSError), Path(path).open("rb") as file:
        return file.read(_OUTPUT_MAX_BYTES).decode(errors="replace")
    return ""


def start(request: dict[str, Any]) -> dict[str, Any]:
    """Start the product and leave it running."""
    return {"pid": start_product(request["arguments"], request["out"], request["err"])}


def end(pid: int, timeout_s: float) -> dict[str, Any]:
    """End what was started and wait until it is gone; it is killed if it does not listen."""
    os.kill(pid, signal.SIGTERM)
    if _wait(pid, time.monotonic() + timeout_s) is not None:
        return {}
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise TimeoutError(f"the product did not end within {timeout_s} s of SIGTERM")


def time_until(request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """How long after a program was started `text` is added to a file, by this kernel's clock."""
    before = len(read(request["path"]))
    began_s = time.monotonic()
    said = run_program(request["argv"], "", timeout_s)
    if said["code"] != 0:
        raise RuntimeError(said["err"])
    while time.monotonic() < began_s + timeout_s:
        if request["text"] in read(request["path"])[before:]:
            return {"seconds": time.monotonic() - began_s}
        time.sleep(0.02)
    raise TimeoutError(f"not within {timeout_s} s: {request['text']}")


def set_clock(forward_s: float) -> None:
    """Set the clock, as a person would by mistake."""
    time.clock_settime(time.CLOCK_REALTIME, time.time() + forward_s)


def change(request: dict[str, Any]) -> dict[str, Any]:
    """Requests that answer nothing."""
    what = request["what"]
    if what == "signal":
        os.kill(request["pid"], request["number"])
    elif what == "load":
        load(request["path"], request["parameters"])
    elif what == "write":
        Path(request["path"]).write_text(request["text"])
    elif what == "clock":
        set_clock(request["forward_s"])
    else:
        raise ValueError(f"unknown request {what}")
    return {}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do one thing."""
    timeout_s = float(request.get("timeout_s", 300.0))
    doers: dict[str, Callable[[], dict[str, Any]]] = {
        "run": lambda: run_program(request["argv"], request.get("stdin", ""), timeout_s),
        "product": lambda: run_product(request["arguments"], timeout_s),
        "start": lambda: start(request),
        "end": lambda: end(request["pid"], timeout_s),
        "time": lambda: time_until(request, timeout_s),
        "read": lambda: {"text": read(request["path"])},
    }
    return doers.get(request["what"], lambda: change(request))()


def open_port() -> int:
    """The serial port to the host, which appears when its driver is there."""
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        for name in _PORTS:
            with contextlib.suppress(OSError):
                return os.open(name, os.O_RDWR)
        time.sleep(0.05)
    raise RuntimeError("no serial port to the host")


def main() -> None:
    """Answer until the host switches us off."""
    port = open_port()
    warm_up()
    os.write(port, b'{"ready": true}\n')
    waiting = b""
    while True:
        piece = os.read(port, 65536)
        if not piece:
            time.sleep(0.05)  # the host is not connected at the moment
            continue
        waiting += piece
        while b"\n" in waiting:
            line, waiting = waiting.split(b"\n", 1)
            request = json.loads(line)
            try:
                reply = answer(request)
            except Exception as error:
                reply = {"error": f"{type(error).__name__}: {error}"}
            reply["id"] = request["id"]
            data = memoryview(json.dumps(reply).encode() + b"\n")
            while data:
                data = data[os.write(port, data) :]


if __name__ == "__main__":
    main()
