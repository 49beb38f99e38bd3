"""update: status, check, install, back."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from appliance.base.errors import BusyError, NotFoundError, UsageError
from appliance.base.text import counted, printable, size
from appliance.cli.daemon_link import DaemonGoneError, DaemonLink
from appliance.cli.exit_codes import DONE, DONE_WITH_GAPS
from appliance.cli.session import Session
from appliance.formats.update import UpdateHeader
from appliance.updates.installing import check_update, go_back, install_update
from appliance.updates.releases import Releases, find_root
from appliance.updates.standing import describe_checkout, show_header, show_releases

_LOOK_S = 1.0
_RESTART = "the daemon starts anew in a moment; 'holdfast update status' tells when it is ready"


def update(session: Session, options: argparse.Namespace) -> int:
    """Do one of the actions."""
    root = find_root()
    releases = None if root is None else Releases(root, session.clock)
    if options.action == "status":
        value = show_releases(releases)
        session.console.result(value, value["what_to_do"] or "\n".join(_status_lines(value)))
        return DONE
    if releases is None:
        raise UsageError(describe_checkout())
    return _ACTIONS[options.action](session, releases, options)


# ---- looking ----


def _status_lines(value: dict[str, Any]) -> list[str]:
    since = f" since {value['since']}" if value["since"] else ""
    lines = [f"Holdfast {value['version']}{since}, below {value['root']}"]
    if value["trial"]:
        lines.append(
            f"{value['current']} has yet to show that it becomes ready, or "
            f"{value['trial']['previous']} takes over again"
        )
    elif value["current"] != value["version"]:
        lines.append(f"{value['current']} runs from the next start of the daemon on")
    lines += [
        f"  {one['time']}  {one['version']}: "
        + ("ran" if one["outcome"] == "running" else f"did not become ready; {one['previous']} ran")
        for one in value["history"][:10]
    ]
    if value["previous"]:
        lines.append(f"'holdfast update back' goes back to {value['previous']}")
    if not value["trusted"]:
        lines.append(f"no key is trusted: put one into {value['root']}/trusted")
    if value["uploaded_bytes"]:
        lines.append(f"{size(value['uploaded_bytes'])} were uploaded: 'holdfast update check'")
    return lines


def _check(session: Session, releases: Releases, options: argparse.Namespace) -> int:
    path = _choose(releases, options)
    header, refusal = check_update(releases, session.state, path, session.console.progress)
    text = _describe(header, releases.current() or "")
    session.console.result(
        {**show_header(header), "current": releases.current(), "refusal": refusal or None},
        f"{text}\n{printable(refusal) or 'It can be installed.'}",
    )
    return DONE_WITH_GAPS if refusal else DONE


def _describe(header: UpdateHeader, current: str) -> str:
    lines = [
        f"Holdfast {header.version} of {header.built}, signed by the trusted key {header.key}",
        f"here runs {current}; {size(header.tree_bytes)} when it is unpacked",
        *(printable(line) for line in header.notes.splitlines()),
    ]
    return "\n".join(lines)


# ---- changing ----


def _install(session: Session, releases: Releases, options: argparse.Namespace) -> int:
    header = install_update(
        releases,
        session.state,
        _choose(releases, options),
        session.console.progress,
        partial(await_jobs, session, options),
    )
    releases.forget_upload(options.file)
    session.console.result(
        {"version": header.version}, f"{header.version} is installed, on trial: {_RESTART}"
    )
    return DONE


def _back(session: Session, releases: Releases, options: argparse.Namespace) -> int:
    before, version = go_back(releases, session.state, partial(await_jobs, session, options))
    session.console.result({"version": version, "left": before}, f"back to {version}: {_RESTART}")
    return DONE


def _choose(releases: Releases, options: argparse.Namespace) -> Path:
    path = options.file
    if path is not None:
        return Path(path)
    if not releases.uploaded.exists():
        raise NotFoundError("no update was uploaded: name a FILE, as holdfast-1.2.0.update")
    return releases.uploaded


def await_jobs(session: Session, options: argparse.Namespace) -> None:
    """Return when a restart of the daemon would end no job but this one.

    Raises BusyError naming those that run, unless they are to be waited for.
    """
    while running := _list_running(session):
        names = ", ".join(f"{job['id']} ({job['verb']})" for job in running[:5])
        if not options.wait:
            raise BusyError(
                f"{counted(len(running), 'job')} would be ended by the restart: {names}: --wait "
                "waits for them"
            )
        session.console.progress.phase("wait for jobs", len(running), "items")
        session.clock.sleep_s(_LOOK_S)


def _list_running(session: Session) -> list[dict[str, Any]]:
    """Jobs that run, without the one that this is: there is no other update beside it."""
    try:
        with DaemonLink(session.state) as link:
            found = link.ask("list", state="running", limit=100)["items"]
    except DaemonGoneError:
        return []
    return [job for job in found if not job["verb"].startswith("update ")]


_ACTIONS: dict[str, Callable[[Session, Releases, argparse.Namespace], int]] = {
    "check": _check,
    "install": _install,
    "back": _back,
}
