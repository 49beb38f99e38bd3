"""The generated part of docs/API.md: `python -m tests.api.page` writes it, a test compares it."""

from __future__ import annotations

from typing import Any, get_args, get_origin

from appliance.api.route import Route
from appliance.api.routes import list_routes
from appliance.cli.verbs import build_verbs
from tests.api.codes import list_codes
from tests.command import ROOT

PAGE = ROOT / "docs" / "API.md"
MARK = "<!-- written by: python -m tests.api.page -->\n"


def render_tables() -> str:
    """The tables of routes, of verbs and of codes."""
    routes = list_routes(build_verbs())
    lines = ["| | route | who | body | answer |", "|---|---|---|---|---|"]
    lines += [_row(route) for route in routes if route.verb is None]
    lines += ["", "## Verbs", "", "| POST /api/v1/run/... | who | how |", "|---|---|---|"]
    for route in routes:
        if route.verb is not None:
            path = route.path.removeprefix("/run/")
            lines.append(f"| {path} | {_who(route)} | {_how(route)} |")
    lines += ["", "## Codes of errors", "", "| code | the line beside it, or what it means |"]
    lines += ["|---|---|", *(f"| {code} | {line} |" for code, line in list_codes().items())]
    return "\n".join(lines) + "\n"


def _row(route: Route) -> str:
    answer = route.content_type if route.answer is bytes else _name(route.answer)
    query = ""
    if route.query is not None:
        query = "?" + "&".join(route.query.__struct_fields__)
    body = _name(route.body)
    return f"| {route.method} | {route.path}{query} | {_who(route)} | {body} | {answer} |"


def _who(route: Route) -> str:
    who = ", ".join([route.role, *sorted(route.also)])
    return f"{who}; confirmed" if route.is_destructive else who


def _how(route: Route) -> str:
    if route.answer is bytes:
        return "bytes"
    return "job" if route.status == 202 else "at once: Ran"


def _name(kind: Any) -> str:
    if kind is None:
        return ""
    if get_origin(kind) is not None:
        inner = ", ".join(_name(one) for one in get_args(kind))
        return f"{get_origin(kind).__name__} of {inner}"
    return str(kind.__name__)


def main() -> None:
    """Write it."""
    PAGE.write_text(PAGE.read_text().split(MARK)[0] + MARK + render_tables())


if __name__ == "__main__":
    main()
