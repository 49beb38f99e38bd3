"""A whole daemon whose jobs are acted: `python -m tests.daemon.box STATE`."""

from __future__ import annotations

import sys
from pathlib import Path

from appliance.base.clock import SystemClock
from appliance.daemon.daemon import Daemon
from tests.jobs.actor import COMMAND, VERBS


def main() -> None:
    """Serve until somebody ends us."""
    Daemon(
        Path(sys.argv[1]),
        VERBS,
        command=COMMAND,
        clock=SystemClock(),
        say=lambda line: print(line, file=sys.stderr, flush=True),
    ).run()


if __name__ == "__main__":
    main()
