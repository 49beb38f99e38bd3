"""bundle."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from appliance import __version__
from appliance.base.durable import write_file
from appliance.base.errors import UsageError
from appliance.base.process import run
from appliance.base.text import size
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.support.bundle import Bundle

_ANSWER_S = 120.0  # of one command: a disk that hangs is given up on before


def bundle(session: Session, options: argparse.Namespace) -> int:
    """Write the bundle to a new file, or to standard output."""
    is_piped = options.target == "-"
    if is_piped and session.console.is_json:
        raise UsageError("the bundle itself goes to standard output: drop --json")
    time = session.clock.now().strftime("%Y%m%dT%H%M%SZ")
    path = Path(options.target or f"holdfast-bundle-{time}.tar.gz").absolute()
    if not is_piped and path.exists():
        raise UsageError(f"{path} exists already: choose a new file")
    made = Bundle(
        session.state,
        __version__,
        session.clock,
        lambda words: run(session.command(*words, "--json"), timeout_s=_ANSWER_S),
    )
    if is_piped:
        made.write(sys.stdout.buffer, session.console.progress)
        sys.stdout.buffer.flush()
        return DONE
    data = io.BytesIO()
    missing = made.write(data, session.console.progress)
    try:
        write_file(path, data.getvalue(), replace=False)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already: choose a new file") from error
    session.console.result(
        {"bundle": str(path), "size_bytes": len(data.getvalue()), "missing": missing},
        f"{path}, {size(len(data.getvalue()))}; secrets are hidden, look inside before you send it",
    )
    return DONE
