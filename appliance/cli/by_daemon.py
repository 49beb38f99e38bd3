"""A command that the daemon carries out: same progress, same output, same exit code.

Owns which commands the daemon is asked for. Without a daemon, and for all other commands, it does
nothing.
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from appliance import __version__
from appliance.base.errors import HoldfastError
from appliance.base.progress import Snapshot
from appliance.cli.daemon_link import DaemonGoneError, DaemonHangsError, DaemonLink
from appliance.cli.exit_codes import FAILED
from appliance.cli.session import Session
from appliance.cli.verb_notes import NOTES

PRIORITY = 70
"""Somebody waits: before what policies ask for."""
_BACK_S = 30.0
"""A daemon that was killed is started again within so long, or the command gives up on it."""
_RETRY_S = 0.2
_OWN_FILES = ("/dev/fd/", "/dev/std", "/proc/self/", "/dev/tty")


def run(session: Session, options: argparse.Namespace) -> int | None:
    """Have the daemon do it, and give the exit code; None where the command is to do it itself."""
    name = verb_name(options)
    if name not in NOTES or not NOTES[name].is_long or session.passphrase_file is not None:
        return None
    arguments = _arguments(name, options)
    job = None if arguments is None else _submit(session, name, arguments)
    return None if job is None else _Following(session, job["id"]).run()


def _submit(session: Session, name: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """The new job; None where there is no daemon that could do it as we would."""
    try:
        with DaemonLink(session.state) as link:
            if not link.serves_us() or link.ask("hello")["version"] != __version__:
                return None
            job: dict[str, Any] = link.ask(
                "submit",
                verb=name,
                arguments=arguments,
                priority=PRIORITY,
                directory=str(Path.cwd()),
            )
            return job
    except DaemonGoneError:
        return None
    except DaemonHangsError as error:
        session.console.note(f"holdfast: {error}; this command works without it")
        return None


def verb_name(options: argparse.Namespace) -> str:
    """The verb that was called."""
    whole = f"{options.command} {getattr(options, 'action', '')}"
    return whole if whole in NOTES else str(options.command)


def _arguments(name: str, options: argparse.Namespace) -> dict[str, Any] | None:
    """The arguments by name; None where one of them means something in this process only."""
    from appliance.cli.verbs import build_verbs  # only for what takes long anyway

    arguments: dict[str, Any] = {}
    for parameter in build_verbs().get(name).parameters:
        value = getattr(options, parameter.name)
        if value is None or value in (parameter.default, []):
            continue
        texts = [str(one) for one in (value if isinstance(value, list) else [value])]
        if any(text == "-" or text.startswith(_OWN_FILES) for text in texts):
            return None
        is_text = parameter.kind in ("path", "string")
        arguments[parameter.name] = (
            texts if is_text and parameter.is_list else texts[0] if is_text else value
        )
    return arguments


class _Following:
    """Shows what happens to a job, whichever daemon works on it."""

    def __init__(self, session: Session, job_id: int) -> None:
        self._session = session
        self._console = session.console
        self._job_id = job_id
        self._place = 0
        self._last_words = ""
        self._is_cancelled = False
        self._said_waiting = False

    def run(self) -> int:
        """Until it has ended; gives its exit code."""
        clock = self._session.clock
        gone_s = clock.monotonic_s()
        while True:
            try:
                with DaemonLink(self._session.state) as link:
                    for step in link.stream("follow", id=self._job_id, after=self._place):
                        if "end" in step:
                            return self._end(step)
                        gone_s = clock.monotonic_s()
                        self._show(step)
                        self._pass_on_cancellation()
            except DaemonGoneError:
                if clock.monotonic_s() - gone_s > _BACK_S:
                    raise HoldfastError(
                        f"the daemon went away, and job {self._job_id} goes on with it or without: "
                        f"'holdfast jobs show {self._job_id}' tells how it fares"
                    ) from None
                clock.sleep_s(_RETRY_S)

    def _show(self, step: dict[str, Any]) -> None:
        for line in step.get("log", ()):
            self._place = line["id"]
            self._last_words = line["text"]
            self._console.note(line["text"])
        job = step.get("job")
        if job is None:
            return
        if job["state"] == "queued" and step["blockers"] and not self._said_waiting:
            self._said_waiting = True
            before = ", ".join(map(str, step["blockers"]))
            self._console.note(f"job {self._job_id} waits for job {before}")
        if job["phase"]:
            rate = job["rate_per_s"]
            elapsed_s = job["done"] / rate if rate else 0.0
            self._console.show(
                Snapshot(
                    *(job["phase"], job["done"], job["total"], job["unit"], elapsed_s),
                    about=job["about"],
                )
            )

    def _pass_on_cancellation(self) -> None:
        if self._console.is_cancelled and not self._is_cancelled:
            self._is_cancelled = True
            with contextlib.suppress(DaemonGoneError), DaemonLink(self._session.state) as link:
                link.ask("cancel", id=self._job_id)

    def _end(self, step: dict[str, Any]) -> int:
        """The exit code. Raises DaemonGoneError where it is the daemon that has ended."""
        job = step["end"]
        if job["retried_as"] is not None and job["state"] == "interrupted":
            self._job_id, self._place = job["retried_as"], 0
            raise DaemonGoneError
        if job["state"] in ("queued", "running") or (
            job["state"] == "interrupted" and job["error"] is None
        ):
            raise DaemonGoneError  # it goes on when the next one has started
        if job["result"] is not None:
            self._console.result(job["result"], step["shown"])
        self._console.finish()
        if job["error"] and job["error"] not in self._last_words:
            self._console.note(f"holdfast: job {job['id']}: {job['error']}")
        code = job["exit_code"]
        if self._console.is_cancelled and job["state"] == "cancelled":
            return self._console.cancelled_code
        return FAILED if code is None else int(code)
