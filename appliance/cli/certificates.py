"""certificates show, make, import, export."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.access.box_names import list_names
from appliance.access.certificate_check import PEM_MAX_BYTES
from appliance.access.certificates import Certificates, Served
from appliance.base.durable import write_file
from appliance.base.errors import UsageError
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.formats.names import format_time

_TRUST = "'holdfast certificates export' gives its authority, for browsers to trust"


def certificates(session: Session, options: argparse.Namespace) -> int:
    """Do one of the actions."""
    names = list_names()
    kept = Certificates(session.state, session.clock, names[0])
    return _ACTIONS[options.action](session, kept, names, options)


def _show(session: Session, kept: Certificates, names: list[str], _: argparse.Namespace) -> int:
    return _say(session, kept.ensure(names), "")


def _make(session: Session, kept: Certificates, names: list[str], _: argparse.Namespace) -> int:
    kept.forget_upload()
    kept.make(names)
    return _say(session, kept.ensure(names), "made; ")


def _import(
    session: Session, kept: Certificates, names: list[str], options: argparse.Namespace
) -> int:
    served = kept.upload(_read(options.certificate), _read(options.private_key), names)
    return _say(session, served, "served from the next start or within a minute; ")


def _export(
    session: Session, kept: Certificates, names: list[str], options: argparse.Namespace
) -> int:
    kept.ensure(names)
    pem = kept.export_authority().decode()
    out: Path | None = options.out
    if out is not None:
        try:
            write_file(out.absolute(), pem.encode(), 0o644, replace=False)
        except FileExistsError as error:
            raise UsageError(f"{out} exists already: choose a new file") from error
    session.console.result(
        {"authority": pem, "out": None if out is None else str(out)},
        pem.rstrip() if out is None else f"{out}: let browsers trust it",
    )
    return DONE


def _say(session: Session, served: Served, before: str) -> int:
    value = show_served(served)
    whose = "uploaded" if served.is_uploaded else f"the box's own; {_TRUST}"
    session.console.result(
        value,
        f"{before}{', '.join(value['names'])}\nuntil {value['not_after']}, {whose}\n"
        f"SHA-256 {value['sha256']}",
    )
    return DONE


def show_served(served: Served) -> dict[str, Any]:
    """As `--json` prints it."""
    facts = served.description
    return {
        "names": list(facts.names),
        "subject": facts.subject,
        "issuer": facts.issuer,
        "not_before": format_time(facts.not_before.replace(microsecond=0)),
        "not_after": format_time(facts.not_after.replace(microsecond=0)),
        "sha256": facts.sha256,
        "is_uploaded": served.is_uploaded,
    }


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(PEM_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


_ACTIONS: dict[str, Callable[[Session, Certificates, list[str], argparse.Namespace], int]] = {
    "show": _show,
    "make": _make,
    "import": _import,
    "export": _export,
}
