"""/audit: what was done by whom."""

from __future__ import annotations

from asyncio import to_thread

import msgspec

from appliance.api.route import Ask, Page, PageQuery, Reply, Route, Time, read_number


class AuditLine(msgspec.Struct, kw_only=True):
    """One entry of the log, which is never changed. `outcome`: done, refused, failed."""

    number: int
    time: Time
    who: str
    address: str
    action: str
    target: str
    outcome: str
    detail: str


async def list_audit(ask: Ask) -> Reply:
    """Newest first."""
    query: PageQuery = ask.query
    before = None if query.after is None else read_number(query.after)
    newest = ask.parts.access.audit.newest
    found = await to_thread(lambda: newest(before=before, limit=query.limit))
    more = str(found[-1].number) if len(found) == query.limit else None
    return Reply(Page(items=found, next=more))


ROUTES = (
    Route(
        *("GET", "/audit", "Who did what, newest first", list_audit, "admin"),
        query=PageQuery,
        answer=Page[AuditLine],
    ),
)
