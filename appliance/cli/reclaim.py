"""collect, recompress."""

from __future__ import annotations

import argparse

from appliance.base.errors import UsageError
from appliance.base.process import yield_to_others
from appliance.base.text import counted, printable, size
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.store.collect import Collected, Collection, Rewriting

_MIB = 1 << 20


def collect(session: Session, options: argparse.Namespace) -> int:
    """Free what no point needs."""
    if not 0 <= options.thin <= 100:
        raise UsageError(f"--thin {options.thin} is no percentage: say 0 to 100")
    rewriting = Rewriting(thin_percent=options.thin, bytes_per_s=_rate(options))
    collected = _run(session, rewriting)
    text = (
        f"freed {size(collected.freed_bytes)} in {counted(collected.freed_containers, 'container')}"
    )
    if collected.copied_bytes:
        text += f", of which {size(collected.copied_bytes)} were stored anew"
    session.console.result({**collected.__dict__}, text + _waiting(collected))
    return DONE


def recompress(session: Session, options: argparse.Namespace) -> int:
    """Store again, smaller, what backups compressed in a hurry."""
    rewriting = Rewriting(
        below_level=options.level, level=options.level, bytes_per_s=_rate(options)
    )
    collected = _run(session, rewriting)
    saved = collected.freed_bytes + collected.waiting_bytes - collected.copied_bytes
    text = f"saved {size(max(saved, 0))}: wrote {size(collected.copied_bytes)} anew"
    session.console.result({**collected.__dict__, "saved_bytes": saved}, text + _waiting(collected))
    return DONE


def _run(session: Session, rewriting: Rewriting) -> Collected:
    yield_to_others()
    collected = Collection(session.store, session.clock, session.console.progress, rewriting).run()
    for trouble in session.store.points.trash.troubles():
        session.console.note(f"holdfast: {printable(trouble)}")
    return collected


def _rate(options: argparse.Namespace) -> float | None:
    if options.rate < 0:
        raise UsageError("--rate is not below 0")
    return options.rate * _MIB or None


def _waiting(collected: Collected) -> str:
    if not collected.waiting_bytes:
        return ""
    return (
        f"; {size(collected.waiting_bytes)} are freed when the running backup has ended: "
        "run 'holdfast collect' again"
    )
