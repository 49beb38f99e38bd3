"""/drills: what rehearsed recoveries proved."""

from __future__ import annotations

import re
import secrets
from asyncio import to_thread

from aiohttp import web

from appliance.access.browser_rules import FOREIGN_HEADERS
from appliance.api.route import Ask, Known, Reply, Route
from appliance.base import durable
from appliance.base.errors import NotFoundError
from appliance.drills.places import evidence_folder
from appliance.drills.records import DrillSummary
from appliance.formats.drill import DrillRecord
from appliance.recovery.runtime import Runtime

_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_PICTURE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@ -]{0,200}\.png")


async def list_drills(ask: Ask) -> Reply:
    """Oldest first, as trends want it."""
    return Reply(ask.parts.snapshots.known("drill list", "drills"))


async def get_drill(ask: Ask) -> Reply:
    """Everything that was measured; `evidence` names its pictures."""
    return Reply(await ask.parts.workers.ask(["drill", "show", "--", _drill(ask)]))


async def read_report(ask: Ask) -> web.StreamResponse:
    """The report as a page that can be printed."""
    folder = ask.parts.state / "run"
    page = folder / f"report-{secrets.token_hex(8)}.html"
    await to_thread(durable.make_directory, folder)
    try:
        await ask.parts.workers.ask(["drill", "report", f"--out={page}", "--", _drill(ask)])
        data = await to_thread(page.read_bytes)
    finally:
        page.unlink(missing_ok=True)
    return web.Response(body=data, content_type="text/html", headers=FOREIGN_HEADERS)


async def get_picture(ask: Ask) -> web.StreamResponse:
    """A screenshot, by the name that the drill's evidence gives it."""
    name = ask.name("picture")
    if not _PICTURE.fullmatch(name):
        raise NotFoundError("there is no such picture")
    path = evidence_folder(Runtime(ask.parts.state), _drill(ask)) / name
    with durable.named_os_errors(name):
        data = await to_thread(path.read_bytes)
    return web.Response(body=data, content_type="image/png", headers=FOREIGN_HEADERS)


def _drill(ask: Ask) -> str:
    drill = ask.name("drill")
    if not _ID.fullmatch(drill):
        raise NotFoundError(
            "there is no such drill: 'holdfast drill list' lists them", code="no-drill"
        )
    return drill


ROUTES = (
    Route(
        *("GET", "/drills", "Drills, oldest first", list_drills, "viewer"),
        answer=Known[DrillSummary],
        also=frozenset({"console"}),
    ),
    Route(
        *("GET", "/drills/{drill}", "One drill, all that was measured", get_drill, "viewer"),
        answer=DrillRecord,
    ),
    Route(
        *("GET", "/drills/{drill}/report", "Its report, to print", read_report, "viewer"),
        answer=bytes,
        content_type="text/html",
    ),
    Route(
        *("GET", "/drills/{drill}/screens/{picture}", "A screenshot", get_picture, "viewer"),
        answer=bytes,
        content_type="image/png",
    ),
)
