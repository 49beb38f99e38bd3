"""The holdfast command: arguments, signals, errors to exit codes."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from appliance import __version__
from appliance.base.clock import SystemClock
from appliance.base.durable import named_os_errors
from appliance.base.errors import HoldfastError
from appliance.base.text import printable
from appliance.cli import parser
from appliance.cli.console import Console
from appliance.cli.exit_codes import FAILED, exit_code
from appliance.cli.session import Session, default_state

if TYPE_CHECKING:
    from appliance.jobs.reporting import Reporter


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code."""
    reporter = _reporter()
    if reporter is None:
        return _main(arguments, None)
    code = FAILED
    try:
        code = _main(arguments, reporter)
    except SystemExit as end:  # what the parser does not understand
        code = end.code if isinstance(end.code, int) else FAILED
    finally:
        reporter.end(code)
    return code


def _reporter() -> Reporter | None:
    """Where this is the worker of a job."""
    if "HOLDFAST_JOB_ROOM" not in os.environ:
        return None
    from appliance.jobs.reporting import Reporter  # slow to import, and seldom needed

    return Reporter.of_environment(SystemClock())


def _main(arguments: Sequence[str] | None, reporter: Reporter | None) -> int:
    options = parser.build(__version__).parse_args(arguments)
    console = Console(is_json=bool(getattr(options, "json", False)), reporter=reporter)
    session = Session(
        state=Path(getattr(options, "state", None) or default_state()).absolute(),
        console=console,
        passphrase_file=getattr(options, "passphrase_file", None),
    )
    _cancel_on_signals(console)
    try:
        return _run(session, options)
    except BrokenPipeError:
        # Whoever read our output went away; Python must not complain about it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except HoldfastError as error:
        console.fail(printable(str(error)), error.code)
        return exit_code(error)
    except Exception as error:
        if os.environ.get("HOLDFAST_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        console.fail(
            f"unexpected failure, please report it ({printable(what)}); "
            "HOLDFAST_DEBUG=1 shows where",
            "unexpected",
        )
        return FAILED


def _run(session: Session, options: argparse.Namespace) -> int:
    try:
        _heal(session)
        code = _ask_daemon(session, options)
        return parser.handler(options.command)(session, options) if code is None else code
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        with named_os_errors(str(error.filename or options.command)):
            raise
        raise  # unreachable: named_os_errors raised
    finally:
        session.close()


def _ask_daemon(session: Session, options: argparse.Namespace) -> int | None:
    """Have a daemon do what takes long, and give the exit code; None where we do it ourselves."""
    if not session.console.is_alone or not (session.state / "run" / "sock").exists():
        return None
    from appliance.cli import by_daemon  # slow to import, and needed beside a daemon only

    return by_daemon.run(session, options)


def _heal(session: Session) -> None:
    """Detach what killed processes left; costs a few directory listings when nothing runs."""
    if list((session.state / "run" / "drills").glob("*.lock")):
        from appliance.cli import drills  # slow to import, and seldom needed

        drills.heal(session)
    if (session.state / "run").is_dir() or (session.state / "vms").is_dir():
        from appliance.cli.virtual import heal  # slow to import, and seldom needed

        heal(session)


def _cancel_on_signals(console: Console) -> None:
    def on_signal(number: int, _: FrameType | None) -> None:
        if console.is_cancelled:
            raise KeyboardInterrupt  # asked twice: end now
        console.cancel(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)


def run() -> None:
    """The entry point of the installed command."""
    _open_standard_files()
    sys.exit(main())


def _open_standard_files() -> None:
    """Whoever closed one of the three gets none of our files, and none of our words, in its place.

    What is to be read or to be given fails then, and says so; words beside it go nowhere.
    """
    for name, flags, mode in (
        ("stdin", os.O_WRONLY, "rb"),
        ("stdout", os.O_RDONLY, "wb"),
        ("stderr", os.O_WRONLY, "wb"),
    ):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, flags)
            os.set_inheritable(descriptor, True)  # what we start is to be no worse off
            file = os.fdopen(descriptor, mode, buffering=0, closefd=False)
            setattr(sys, name, io.TextIOWrapper(file, write_through=True))


if __name__ == "__main__":
    run()
