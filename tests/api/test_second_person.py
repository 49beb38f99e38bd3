"""Where two have to agree, nobody makes the second one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.box import PASSWORD, Box, Client


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    box = Box(tmp_path_factory.mktemp("two") / "state")
    box.start()
    yield box
    box.stop()


@pytest.fixture(scope="module")
def ann(box: Box) -> Client:
    """One of two administrators of a box that wants both."""
    client = box.client()
    client.post("/setup/open", {"code": box.code}, expect=204)
    client.post("/setup/admin", {"user": "ann", "password": PASSWORD}, expect=204)
    for name, role in (("bea", "admin"), ("vic", "viewer"), ("old", "admin")):
        client.post("/users", {"name": name, "role": role}, expect=201)
    assert client.ask("PUT", "/users/old", {"is_disabled": True}).status == 200
    assert client.ask("PUT", "/second-person", {"is_required": True}).status == 200
    return client


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/users", {"name": "eve", "role": "admin"}),
        ("PUT", "/users/vic", {"role": "admin"}),
        ("PUT", "/users/old", {"is_disabled": False}),
        ("POST", "/users/bea/password", None),
    ],
)
def test_nobody_becomes_a_second_administrator_unless_the_second_one_agrees(
    ann: Client, method: str, path: str, body: dict[str, object] | None
) -> None:
    """Else one administrator makes another, or takes the place of one, and agrees with himself."""
    answer = ann.ask(method, path, body)
    assert answer.status == 403, answer.body
    assert answer.code == "needs-approval"
    waiting = {one["id"] for one in ann.get("/approvals")["items"]}
    assert answer.json()["approval"] in waiting


def test_lesser_people_are_let_in_and_administrators_put_out_by_one_alone(ann: Client) -> None:
    ann.post("/users", {"name": "oscar", "role": "operator"}, expect=201)
    ann.post("/users/oscar/password")
    assert ann.ask("PUT", "/users/oscar", {"role": "viewer"}).status == 200
    assert ann.ask("PUT", "/users/bea", {"is_disabled": True}).status == 200


def test_the_second_one_agrees_to_a_point_and_not_to_whatever_is_the_latest_then(
    box: Box, ann: Client, tmp_path: Path
) -> None:
    """A request to forget `web1@latest` was agreed to, and took the next point."""
    ann.post("/setup/store", {}, expect=201)
    (tmp_path / "disk.raw").write_bytes(bytes(1 << 20))
    told = {"sources": [str(tmp_path / "disk.raw")], "machine": "web1"}
    first = ann.run("backup", told)["result"]["name"]
    asked = ann.ask("POST", "/run/forget", {"point": "web1@latest"})
    assert asked.code == "needs-approval"
    (waiting,) = [one for one in ann.get("/approvals")["items"] if one["verb"] == "forget"]
    assert json.loads(waiting["arguments"])["point"] == first
    agree(box, waiting["id"])
    second = ann.run("backup", told)["result"]["name"]
    assert second != first
    again = ann.ask("POST", "/run/forget", {"point": "web1@latest"})
    assert again.code == "needs-approval"  # that is another one now
    assert again.json()["approval"] != waiting["id"]
    ann.run("forget", {"point": first})
    assert [one["name"] for one in ann.post("/run/points", {})["result"]["points"]] == [second]


def agree(box: Box, request: str) -> None:
    """As somebody else would, in a session that has just been confirmed."""
    with sqlite3.connect(box.state / "access.sqlite", timeout=60) as database:
        database.execute(
            "update approvals set decided_by = 'bea', decided_s = 1, is_approved = 1 where id = ?",
            (request,),
        )
    database.close()
