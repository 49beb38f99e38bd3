"""health --watch: findings as they come and go.

Owns what is told and when: what stands once, then only news, whoever noticed it.
"""

from __future__ import annotations

import argparse
import sys
import threading
from contextlib import ExitStack, suppress
from datetime import datetime

from appliance.base.durable import make_directory
from appliance.base.errors import HoldfastError
from appliance.base.text import printable
from appliance.catalog.catalog import Catalog
from appliance.catalog.disk_seats import DiskSeats
from appliance.catalog.finding_log import FindingLog
from appliance.cli.exit_codes import DONE
from appliance.cli.look import describe_finding, finding_json, take_look
from appliance.cli.session import Session
from appliance.formats.finding import Finding
from appliance.formats.names import format_time
from appliance.health.glances import Glances
from appliance.health.kernel_tree import KernelTree
from appliance.health.udev import Change, Changes, read_properties
from appliance.health.watch import Glance, Watch, Watchdog


def watch(session: Session, options: argparse.Namespace) -> int:
    """Print findings as they come and go, until somebody stops us or nobody reads them."""
    tree = KernelTree()
    with ExitStack() as stack:
        changes = stack.enter_context(Changes(tree, sys.stdout.fileno()))
        watchdog = Watchdog(options.watchdog) if options.watchdog else None
        if watchdog is not None:
            stack.callback(watchdog.close)
        glances = Glances(tree, read_properties)
        stack.callback(glances.close)
        teller = _Teller(session, glances)
        Watch(
            changes,
            session.clock,
            session.console.progress,
            look=teller.look,
            glance=teller.glance,
            watchdog=watchdog,
        ).run()
    return DONE


class _Teller:
    """Looks, and tells what is new since it last did, whoever noticed it."""

    def __init__(self, session: Session, glances: Glances) -> None:
        self._session = session
        self._glances = glances
        self._lock = threading.Lock()  # a glance is taken beside the look at everything
        self._has_looked = False
        self._early: set[str] = set()  # told before the first look had ended
        with self._open() as catalog:
            self._told = FindingLog(catalog).newest()

    def _open(self) -> Catalog:
        with suppress(HoldfastError):  # without a place to remember, trends are unknown
            make_directory(self._session.state)
        return Catalog(self._session.state / "catalog.db")

    def look(self, seen: list[Change]) -> None:
        """Look at everything. What stood before we came is told once, whenever it was found."""
        report = take_look(self._session).report
        self._glances.note_look(report.inventory, has_supplies=bool(report.box.supplies))
        with self._lock, self._open() as catalog:
            if self._has_looked:
                self._tell_news(FindingLog(catalog), seen)
            else:
                self._has_looked = True
                self._tell_standing(FindingLog(catalog), seen)

    def glance(self, at: Glance) -> None:
        """What no disk that hangs can hold up."""
        now = self._session.clock.now()
        with self._open() as catalog:
            log = FindingLog(catalog)
            began = log.newest()
            found, whose = self._glance(at, catalog, now)
            if found is None:
                return
            log.observe(
                found,
                now,
                looked_at=lambda subject: bool(whose) and subject.startswith(whose),
                began=began,
            )
            with self._lock:
                self._tell_news(log, [])

    def _glance(
        self, at: Glance, catalog: Catalog, now: datetime
    ) -> tuple[list[Finding] | None, str]:
        """What was found, and how the subjects begin of which that is all; "" for none."""
        if at == "array":
            return self._glances.glance_at_arrays(DiskSeats(catalog).recall(), now), "array "
        if at == "power":
            return self._glances.glance_at_power(now), "ups "
        if at == "port":
            return self._glances.glance_at_ports(now), "port "
        # A look finds more about disks: what this one does not see may still stand.
        return self._glances.glance_at_log(now), ""

    def _tell_standing(self, log: FindingLog, seen: list[Change]) -> None:
        self._told = log.newest()
        standing = [item.finding for item in log.list_standing() if item.acknowledged is None]
        fresh = [item for item in standing if item.key not in self._early]
        _tell(self._session, seen, fresh, [])

    def _tell_news(self, log: FindingLog, seen: list[Change]) -> None:
        news = log.news_since(self._told)
        self._told = news.number
        came = [*news.new, *news.worse]
        if not self._has_looked:
            self._early |= {item.key for item in came}
        if not news.is_quiet or _list_plugged(seen):
            _tell(self._session, seen, came, list(news.gone))


def _list_plugged(seen: list[Change]) -> list[Change]:
    """Disks that came or went."""
    return [change for change in seen if change.action in ("add", "remove") and change.name]


def _tell(session: Session, seen: list[Change], came: list[Finding], went: list[Finding]) -> None:
    plugged = _list_plugged(seen)
    if session.console.is_json:
        value = {
            "time": format_time(session.clock.now().replace(microsecond=0)),
            "changes": [{"action": change.action, "name": change.name} for change in plugged],
            "came": [finding_json(item) for item in came],
            "went": [finding_json(item) for item in went],
        }
        session.console.result(value, "")
        return
    lines = [f"{change.action} {change.name}" for change in plugged]
    lines += [line for item in came for line in describe_finding(item).splitlines()]
    lines += [f"over: {item.subject}: {item.summary}" for item in went]
    session.console.result({}, "\n".join(printable(line) for line in lines))
