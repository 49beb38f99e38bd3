"""serve: the daemon."""

from __future__ import annotations

import argparse

from appliance.base.durable import make_directory
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.cli.verbs import build_verbs
from appliance.daemon.daemon import Daemon


def serve(session: Session, _: argparse.Namespace) -> int:
    """Run the daemon until it is asked to end."""
    make_directory(session.state)
    Daemon(
        session.state,
        build_verbs(),
        command=session.command("--json"),
        clock=session.clock,
        say=lambda line: session.console.note(f"holdfast: {line}"),
    ).run()
    return DONE
