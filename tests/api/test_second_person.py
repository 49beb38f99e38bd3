"""Where two have to agree, nobody makes the second one."""

from __future__ import annotations

from collections.abc import Iterator

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
