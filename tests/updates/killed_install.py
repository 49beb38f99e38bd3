"""Installs an update and is killed at one of its steps: `... ROOT STATE FILE STEP`.

A step is whatever changes something below ROOT. Prints how many there were when it came through.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from appliance.base.progress import Progress
from appliance.updates.installing import install_update
from appliance.updates.releases import Releases
from tests.updates.releasing import CLOCK

CHANGES = {"os.mkdir", "os.rename", "os.symlink", "os.remove", "os.rmdir", "os.link"}


def main() -> None:
    """See the module."""
    root, state, file, last = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    steps = 0

    def count(event: str, words: tuple[Any, ...]) -> None:
        nonlocal steps
        if event not in CHANGES and not (event == "open" and _writes(words)):
            return
        if str(words[0]).startswith(root):
            steps += 1
            if steps == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    install_update(Releases(Path(root), CLOCK), Path(state), Path(file), Progress())
    print(steps)


def _writes(words: tuple[Any, ...]) -> bool:
    return isinstance(words[2], int) and bool(words[2] & (os.O_WRONLY | os.O_RDWR))


if __name__ == "__main__":
    main()
