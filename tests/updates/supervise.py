"""Starts a program whenever it ends, as systemd does: `python -m tests.updates.supervise ARGV`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

# A release keeps what was compiled of it, as on a box: else each start compiles everything.
LEFT_OUT = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")


def main() -> None:
    """Until SIGTERM, which the program gets, too."""
    environment = {key: value for key, value in os.environ.items() if key not in LEFT_OUT}
    over = threading.Event()
    children: list[subprocess.Popen[bytes]] = []

    def end(*_: object) -> None:
        over.set()
        for child in children[-1:]:
            child.terminate()

    signal.signal(signal.SIGTERM, end)
    while not over.is_set():
        children[:] = [subprocess.Popen(sys.argv[1:], env=environment, cwd="/")]
        if over.is_set():
            children[0].terminate()
        children[0].wait()


if __name__ == "__main__":
    main()
