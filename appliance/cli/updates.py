"""update: status, check, install, back."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import appliance
from appliance import __version__
from appliance.base.errors import BusyError, IntegrityError, NotFoundError, UsageError
from appliance.base.text import counted, printable, size
from appliance.cli.daemon_link import DaemonGoneError, DaemonLink
from appliance.cli.exit_codes import DONE, DONE_WITH_GAPS
from appliance.cli.session import Session
from appliance.formats.update import UpdateHeader
from appliance.updates.installing import check_update, go_back, install_update
from appliance.updates.releases import Releases, find_root

_LOOK_S = 1.0
_RESTART = "the daemon starts anew in a moment; 'holdfast update status' tells when it is ready"


def update(session: Session, options: argparse.Namespace) -> int:
    """Do one of the actions."""
    root = find_root()
    if options.action == "status":
        return _status(session, None if root is None else Releases(root, session.clock))
    if root is None:
        raise UsageError(_describe_checkout())
    return _ACTIONS[options.action](session, Releases(root, session.clock), options)


def _describe_checkout() -> str:
    folder = Path(appliance.__file__).parents[1]
    return (
        f"Holdfast {__version__} runs from the checkout {folder} and is updated there: "
        "'git pull', 'make setup', then start it again"
    )


# ---- looking ----


def _status(session: Session, releases: Releases | None) -> int:
    if releases is None:
        value: dict[str, Any] = {
            "version": __version__,
            "is_installed": False,
            "what_to_do": _describe_checkout(),
        }
        session.console.result(value, _describe_checkout())
        return DONE
    value = {"version": __version__, "is_installed": True, **show_releases(releases)}
    session.console.result(value, "\n".join(_status_lines(value)))
    return DONE


def show_releases(releases: Releases) -> dict[str, Any]:
    """How the releases of a box stand, as `--json` prints it."""
    current, history = releases.current(), releases.history()
    before = None if current is None else releases.before(current)
    since = [one.time for one in history if (one.version, one.outcome) == (current, "running")]
    try:
        trial = releases.read_trial()
    except IntegrityError:
        trial = None
    try:
        found = releases.uploaded.stat()
    except OSError:
        found = None
    return {
        "root": str(releases.root),
        "current": current,
        "since": since[-1] if since else None,
        "previous": None if before is None else before.version,
        "releases": [
            {
                "version": one.version,
                "is_current": one.version == current,
                "built": None if one.header is None else one.header.built,
                "notes": "" if one.header is None else one.header.notes,
            }
            for one in releases.installed()
        ],
        "trial": None if trial is None else vars(trial),
        "history": [vars(one) for one in reversed(history)],
        "trusted": sorted(releases.trusted()),
        "uploaded_bytes": None if found is None else found.st_size,
    }


def _status_lines(value: dict[str, Any]) -> list[str]:
    since = f" since {value['since']}" if value["since"] else ""
    lines = [f"Holdfast {value['version']}{since}, below {value['root']}"]
    if value["trial"] and value["trial"]["version"] == value["current"]:
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


def show_header(header: UpdateHeader) -> dict[str, Any]:
    """What an update is, as `--json` prints it."""
    return {
        "version": header.version,
        "follows": header.follows,
        "machine": header.machine,
        "python": header.python,
        "built": header.built,
        "notes": header.notes,
        "key": header.key,
        "size_bytes": header.payload_bytes,
        "tree_bytes": header.tree_bytes,
    }


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
        _idle(session, is_waiting=options.wait),
    )
    releases.forget_upload(options.file)
    session.console.result(
        {"version": header.version}, f"{header.version} is installed, on trial: {_RESTART}"
    )
    return DONE


def _back(session: Session, releases: Releases, options: argparse.Namespace) -> int:
    before, version = go_back(releases, session.state, _idle(session, is_waiting=options.wait))
    session.console.result({"version": version, "left": before}, f"back to {version}: {_RESTART}")
    return DONE


def _choose(releases: Releases, options: argparse.Namespace) -> Path:
    path = options.file
    if path is not None:
        return Path(path)
    if not releases.uploaded.exists():
        raise NotFoundError("no update was uploaded: name a FILE, as holdfast-1.2.0.update")
    return releases.uploaded


def _idle(session: Session, *, is_waiting: bool) -> Callable[[], None]:
    """What returns when a restart of the daemon would end no job but this one."""

    def await_idle() -> None:
        while running := _list_running(session):
            names = ", ".join(f"{job['id']} ({job['verb']})" for job in running[:5])
            if not is_waiting:
                more = len(running)
                raise BusyError(
                    f"{counted(more, 'job')} would be ended by the restart: {names}: --wait waits "
                    "for them"
                )
            session.console.progress.phase("wait for jobs", len(running), "items")
            session.clock.sleep_s(_LOOK_S)

    return await_idle


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
