"""/audit and /approvals: what was done by whom, and what waits for a second administrator."""

from __future__ import annotations

from asyncio import to_thread

import msgspec

from appliance.api.route import Ask, Page, PageQuery, Reply, Route, Time, read_number
from appliance.api.v1.users import time_of
from appliance.catalog.access_file import ApprovalRow


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


class Approval(msgspec.Struct, kw_only=True):
    """Something that cannot be undone, asked for by one administrator."""

    id: str
    verb: str
    arguments: str
    asked_by: str
    asked_at: Time
    expires_at: Time
    decided_by: str | None
    is_approved: bool


class Decision(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Whether to agree."""

    is_approved: bool


class SecondPerson(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Whether a second administrator has to agree to what cannot be undone."""

    is_required: bool


def show_approval(row: ApprovalRow) -> Approval:
    """A row of the table as it is shown."""
    return Approval(
        id=row.id,
        verb=row.verb,
        arguments=row.arguments,
        asked_by=row.asked_by,
        asked_at=time_of(row.asked_s) or "",
        expires_at=time_of(row.expires_s) or "",
        decided_by=row.decided_by or None,
        is_approved=bool(row.is_approved),
    )


async def list_approvals(ask: Ask) -> Reply:
    """Oldest first."""
    rows = await to_thread(ask.parts.access.approvals.list)
    return Reply(Page(items=[show_approval(row) for row in rows]))


async def decide(ask: Ask) -> Reply:
    """Agree, or refuse; then who asked asks again."""
    approvals, body = ask.parts.access.approvals, ask.body
    row = await to_thread(
        lambda: approvals.decide(ask.caller, ask.name("approval"), is_approved=body.is_approved)
    )
    return Reply(show_approval(row))


async def get_second_person(ask: Ask) -> Reply:
    """Whether it is on."""
    approvals = ask.parts.access.approvals
    return Reply(SecondPerson(is_required=await to_thread(lambda: approvals.is_required)))


async def set_second_person(ask: Ask) -> Reply:
    """Turn it on; to turn it off takes a second person, too."""
    approvals, body = ask.parts.access.approvals, ask.body
    if not body.is_required:
        await to_thread(approvals.check, ask.caller, "second person off", {})
    await to_thread(approvals.require_from_now_on, ask.caller, body.is_required)
    return Reply(body)


ROUTES = (
    Route(
        *("GET", "/approvals", "What waits for a second administrator", list_approvals, "admin"),
        answer=Page[Approval],
    ),
    Route(
        *("POST", "/approvals/{approval}", "Agree, or refuse", decide, "admin"),
        body=Decision,
        answer=Approval,
        is_destructive=True,
    ),
    Route(
        *("GET", "/second-person", "Whether two have to agree", get_second_person, "admin"),
        answer=SecondPerson,
    ),
    Route(
        *("PUT", "/second-person", "Whether two have to agree", set_second_person, "admin"),
        body=SecondPerson,
        answer=SecondPerson,
        is_destructive=True,
    ),
    Route(
        *("GET", "/audit", "Who did what, newest first", list_audit, "admin"),
        query=PageQuery,
        answer=Page[AuditLine],
    ),
)
