"""failback and migrate."""

from __future__ import annotations

import argparse

from appliance.base.errors import UsageError
from appliance.base.text import size
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.cli.virtual import serve_argv
from appliance.recovery.failback import fail_back
from appliance.recovery.migrate import migrate as move_disks
from appliance.recovery.runtime import Runtime


def failback(session: Session, options: argparse.Namespace) -> int:
    """Bring a VM home."""
    if options.grace < 0:
        raise UsageError("--grace is in seconds and not less than 0")
    console = session.console
    done = fail_back(
        Runtime(session.state),
        options.name,
        options.targets,
        force=options.force,
        grace_s=options.grace,
        serve_argv=serve_argv(session),
        clock=session.clock,
        progress=console.progress,
    )
    paused = ""
    if done.pause_s is not None:
        how = "shut down" if done.shut_down else "stopped"
        paused = f", its guest was {how} for the last {done.pause_s:.1f} s"
    console.result(
        {**vars(done), "targets": options.targets},
        f"{done.name} is at home: {size(done.written_bytes)} written of "
        f"{size(done.compared_bytes)} compared{paused}\n"
        f"'holdfast stop {done.name} --discard' removes the VM when the machine runs again",
    )
    return DONE


def migrate(session: Session, options: argparse.Namespace) -> int:
    """Move a VM's disks."""
    done = move_disks(
        Runtime(session.state),
        options.name,
        options.targets,
        image_format=options.format,
        force=options.force,
        progress=session.console.progress,
    )
    where = ", ".join(done.targets)
    text = f"{done.name} runs from {where} now; {size(done.copied_bytes)} copied"
    if not done.copied_bytes:
        text = f"{done.name} lives at {where} already"
    session.console.result({**vars(done), "targets": list(done.targets)}, text)
    return DONE
