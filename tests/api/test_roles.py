"""Every route with every role: who may ask is what the table says, and nothing else."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from appliance.access.callers import SCOPES
from appliance.api.route import Route
from appliance.api.routes import list_routes
from appliance.cli.verbs import build_verbs
from tests.api.box import Box, Client

ROUTES = list_routes(build_verbs())
ROLES = ("viewer", "operator", "admin", "console", "agent")
NEEDED = {"viewer": "read", "operator": "operate", "admin": "administer", "setup": "setup"}
NEEDED |= {"agent": "add", "console": "telemetry", "remote": "request"}


def may(role: str, route: Route) -> bool:
    """What the table says, worked out again here."""
    if route.role == "nobody":
        return True
    return any(NEEDED[one] in SCOPES[role] for one in (route.role, *route.also))


def path_of(route: Route) -> str:
    """The route about things that are not there."""
    names = {"machine": "web9", "time": "2020-01-01T00:00:00Z"}
    return re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], "none"), route.path)


def ask(client: Client, route: Route) -> tuple[int, str]:
    """Status and code. The body is wrong on purpose: nobody may get as far as to do anything."""
    if route.is_stream and route.answer is not None:
        connection = client.connect()
        connection.request(route.method, f"/api/v1{path_of(route)}", headers=client.head(None))
        response = connection.getresponse()
        status = response.status
        connection.close()
        return status, ""
    raw = b'{"no such member": 1}' if route.method != "GET" else None
    answer = client.ask(route.method, path_of(route), raw=raw)
    kind = answer.headers.get("content-type", "")
    return answer.status, str(answer.json()["code"]) if "problem" in kind else ""


@pytest.mark.parametrize("role", ROLES)
def test_every_route_admits_a_role_or_refuses_it_as_the_table_says(
    role: str, tokens: dict[str, Client]
) -> None:
    wrong = []
    for route in ROUTES:
        status, code = ask(tokens[role], route)
        if not may(role, route):
            is_right = status == 403
        elif route.is_destructive:
            is_right = (status, code) == (403, "forbidden")  # a token can confirm nothing
        else:
            is_right = status not in (401, 403, 500)
        if not is_right and (route.method, route.path) not in HANDLED:
            wrong.append(f"{role} {route.method} {route.path}: {status} {code}")
    assert not wrong, "\n".join(wrong)


# A token is no session: these say so themselves.
HANDLED = {("POST", "/session/confirm"), ("POST", "/session"), ("DELETE", "/session")}


@pytest.mark.parametrize("who", ["nobody", "unknown token", "revoked token", "expired token"])
def test_nobody_gets_in_anywhere_else(who: str, box: Box, admin: Client) -> None:
    client = box.client()
    client.address = {"revoked token": "127.0.0.2", "expired token": "127.0.0.3"}.get(
        who, "127.0.0.4"
    )  # whoever guesses is limited by where from
    if who == "unknown token":
        client.token = "hf_0123456789ab_" + "x" * 43
    elif who != "nobody":
        made = admin.post("/tokens", {"name": who, "role": "admin"}, expect=201)
        client.token, name = made["secret"], made["token"]["id"]
        assert client.ask("GET", "/box").status == 200
        if who == "revoked token":
            assert admin.ask("DELETE", f"/tokens/{name}").status == 200
        else:
            expire(box.state, name)
    wrong = []
    for route in ROUTES:
        if route.role != "nobody":
            status, _ = ask(client, route)
            if status not in (401, 429):
                wrong.append(f"{route.method} {route.path}: {status}")
        if who == "unknown token":
            break  # guessing is limited: one is as good as all
    assert not wrong, "\n".join(wrong)


def expire(state: Path, token: str) -> None:
    """Let a token have ended long ago."""
    with sqlite3.connect(state / "access.sqlite", timeout=60) as database:
        database.execute("update tokens set expires_s = 1 where id = ?", (token,))
    database.close()


def test_what_cannot_be_undone_needs_a_confirmation(box: Box, admin: Client) -> None:
    made = admin.post("/users", {"name": "bob", "role": "admin"}, expect=201)
    bob = box.client()
    login = {"user": "bob", "password": made["initial_password"]}
    bob.post("/session", login, expect=204)
    assert bob.get("/session")["must_choose_password"]
    assert bob.ask("GET", "/box").status == 403  # first a password of one's own
    own = {"old": made["initial_password"], "new": "another long password 77"}
    assert bob.ask("PUT", "/session/password", own).status == 204
    bob.cookie = None
    bob.post("/session", {"user": "bob", "password": own["new"]}, expect=204)
    for route in ROUTES:
        if route.is_destructive and route.role == "admin":
            status, code = ask(bob, route)
            assert (status, code) == (403, "needs-confirmation"), route.path
    answer = bob.ask("POST", "/session/confirm", {"password": own["new"]})
    assert (answer.status, answer.code) == (401, "needs-code")
    restore = {"point": "web1@latest", "target": "/nowhere", "force": True}
    answer = bob.ask("POST", "/run/restore", restore)
    assert (answer.status, answer.code) == (403, "needs-confirmation")
    assert bob.ask("DELETE", "/session").status == 204
    assert bob.ask("GET", "/box").status == 401
