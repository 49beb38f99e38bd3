"""/machines/{machine}/points and /points/{machine}/{time}: recovery points."""

from __future__ import annotations

import msgspec

from appliance.api.route import Ask, Count, Page, PageQuery, Reply, Route, Time


class PointDisk(msgspec.Struct, kw_only=True):
    """A disk of a point."""

    number: Count
    size_bytes: Count


class Point(msgspec.Struct, kw_only=True):
    """A recovery point. `where`: `box` and `vault:NAME`.

    `state` is `complete`, `incomplete` (parts could not be read) or `damaged`. `is_doubtful`: what
    it counted on was found damaged. `immutable_until`: no vault deletes it before. `drilled_at`: a
    drill proved then that it boots.
    """

    name: str
    machine: str
    time: Time
    state: str
    disks: list[PointDisk]
    new_bytes: Count
    stored_bytes: Count
    read_bytes: Count
    seconds: float
    where: list[str]
    is_held: bool
    is_inconsistent: bool
    is_doubtful: bool
    immutable_until: Time | None
    drilled_at: Time | None


class PointsQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """Which points, newest first; `since` and `until` are times."""

    since: Time | None = None
    until: Time | None = None


async def list_points(ask: Ask) -> Reply:
    """Newest first."""
    query: PointsQuery = ask.query
    page = await ask.parts.machines.points(
        ask.name("machine"), query.after, query.limit, query.since, query.until
    )
    return Reply(page)


async def get_point(ask: Ask) -> Reply:
    """One point."""
    return Reply(await ask.parts.machines.point(ask.name("machine"), ask.name("time")))


ROUTES = (
    Route(
        "GET",
        "/machines/{machine}/points",
        "Points of a machine, newest first",
        list_points,
        "viewer",
        query=PointsQuery,
        answer=Page[Point],
        also=frozenset({"console"}),
    ),
    Route(
        *("GET", "/points/{machine}/{time}", "One point", get_point, "viewer"),
        answer=Point,
        also=frozenset({"console"}),
    ),
)
