"""jobs: list, show, log, cancel, retry. Without a daemon what it left is shown."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from appliance.base.errors import NotFoundError
from appliance.base.text import printable, size
from appliance.catalog.job_table import JobTable
from appliance.cli.console import describe_bottleneck
from appliance.cli.daemon_link import DaemonGoneError, DaemonLink
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.jobs.workroom import LogLine, Workroom

_PAGE = 1000
Ask = Callable[..., Any]


def jobs(session: Session, options: argparse.Namespace) -> int:
    """Do what `options.action` says."""
    actions = {"list": _list, "show": _show, "log": _log, "cancel": _cancel, "retry": _retry}
    try:
        with DaemonLink(session.state) as link:
            actions[options.action](session, options, link.ask)
    except DaemonGoneError:
        if options.action in ("cancel", "retry") or not _path(session).exists():
            raise
        table = JobTable(_path(session))
        try:
            actions[options.action](session, options, _Left(session, table).ask)
        finally:
            table.close()
    return DONE


def _path(session: Session) -> Any:
    return session.state / "jobs.sqlite"


class _Left:
    """What a daemon that does not run any more has left."""

    def __init__(self, session: Session, table: JobTable) -> None:
        self._rooms = session.state / "run" / "jobs"
        self._table = table

    def ask(self, do: str, **arguments: Any) -> Any:
        """As the daemon would answer."""
        if do == "list":
            found = self._table.page(**arguments)
            is_more = len(found) >= arguments["limit"]
            return {
                "items": [job.to_json() for job in found],
                "next": found[-1].id if is_more else None,
            }
        job = self._table.find(arguments["id"])
        if job is None:
            raise NotFoundError(f"job {arguments['id']}: there is none")
        if do == "get":
            return job.to_json()
        after = arguments["after"]
        if job.has_ended:
            lines = [LogLine(*line) for line in self._table.log(job.id, after, _PAGE)]
        else:
            lines = Workroom(self._rooms / str(job.id)).read_log(after, _PAGE)
        return {"items": [line.to_json() for line in lines]}


def _list(session: Session, options: argparse.Namespace, ask: Ask) -> None:
    names = ("after", "limit", "machine", "verb")
    page = ask("list", state=options.only, **{name: getattr(options, name) for name in names})
    lines = [_line(job) for job in page["items"]]
    if page["next"] is not None:
        lines.append(f"older ones: 'holdfast jobs list --after {page['next']}'")
    session.console.result(page, "\n".join(lines) or "no jobs")


def _line(job: dict[str, Any]) -> str:
    at = job["ended_at"] or job["started_at"] or job["asked_at"]
    words = [f"{job['id']:>6}  {job['state']:<11}  {at}  {job['verb']}"]
    if job["machine"]:
        words.append(f"of {printable(job['machine'])}")
    if job["state"] == "running" and job["phase"]:
        words.append(f"({_standing(job)})")
    if job["error"]:
        words.append(f": {printable(job['error'])}")
    return " ".join(words)


def _standing(job: dict[str, Any]) -> str:
    show = size if job["unit"] == "bytes" else str
    total = f" of {show(job['total'])}" if job["total"] else ""
    return f"{job['phase']} {job['about']}".rstrip() + f", {show(job['done'])}{total}"


def _show(session: Session, options: argparse.Namespace, ask: Ask) -> None:
    job = ask("get", id=options.job)
    lines = [_line(job), f"  asked for by {printable(job['asked_by'])} at {job['asked_at']}"]
    lines += [
        f"  {name}: {printable(str(value))}" for name, value in sorted(job["arguments"].items())
    ]
    if job["bottleneck"]:
        lines.append(f"  {describe_bottleneck(job['bottleneck'])}")
    if job["retry_of"] is not None:
        lines.append(f"  does again what job {job['retry_of']} did")
    if job["retried_as"] is not None:
        lines.append(f"  was done again by job {job['retried_as']}")
    session.console.result(job, "\n".join(lines))


def _log(session: Session, options: argparse.Namespace, ask: Ask) -> None:
    lines: list[dict[str, Any]] = []
    after = 0
    while page := ask("log", id=options.job, after=after, limit=_PAGE)["items"]:
        lines += page
        after = page[-1]["id"]
    text = "\n".join(f"{line['at'] or '':<20} {printable(line['text'])}" for line in lines)
    session.console.result({"lines": lines}, text)


def _cancel(session: Session, options: argparse.Namespace, ask: Ask) -> None:
    job = ask("cancel", id=options.job)
    text = f"job {job['id']} is {job['state']}"
    if job["state"] == "running":
        text = f"job {job['id']} was asked to stop"
    session.console.result(job, text)


def _retry(session: Session, options: argparse.Namespace, ask: Ask) -> None:
    job = ask("retry", id=options.job)
    session.console.result(job, f"job {job['id']} does it again")
