"""Errors as problem+json (RFC 9457). A test holds this map and the error tree together."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from appliance.base import errors

STATUSES: dict[type[errors.HoldfastError], int] = {
    errors.HoldfastError: 500,
    errors.UsageError: 422,
    errors.IntegrityError: 500,
    errors.NotFoundError: 404,
    errors.BusyError: 409,
    errors.NoSpaceError: 507,
    errors.AccessError: 403,
    errors.Cancelled: 503,
}
CONTENT_TYPE = "application/problem+json"


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What went wrong. `code` is for programs, `detail` for people.

    `approval` names the request that a second administrator has to agree to.
    """

    title: str
    status: int
    code: str
    detail: str = ""
    retry_after_s: float | None = None
    approval: str | None = None


def status_of(error: errors.HoldfastError) -> int:
    """The status of an error: its own, else that of its nearest listed class."""
    own = getattr(error, "status", None)
    if isinstance(own, int):
        return own
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def describe_error(error: errors.HoldfastError) -> web.Response:
    """The answer for an error of the tree."""
    retry_after_s = getattr(error, "retry_after_s", None)
    return describe(
        status_of(error),
        error.code,
        str(error),
        retry_after_s=retry_after_s,
        approval=getattr(error, "approval", None),
    )


def describe(status: int, code: str, detail: str = "", **more: Any) -> web.Response:
    """A problem as it is sent."""
    title = HTTPStatus(status).phrase
    problem = Problem(title=title, status=status, code=code, detail=detail, **more)
    headers = {"Cache-Control": "no-store"}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(problem.retry_after_s)))
    return web.Response(
        status=status,
        body=msgspec.json.encode(problem),
        content_type=CONTENT_TYPE,
        headers=headers,
    )
