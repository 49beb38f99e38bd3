"""A console has a few things done, each once, and reads no data."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.box import Client


def ask_for(client: Client, verb: str, arguments: dict[str, Any], nonce: str | None = None) -> Any:
    """The answer to an action with a fresh nonce, or with one that is given."""
    fresh = nonce or client.post("/console/nonces", expect=201)["nonce"]
    body = {"nonce": fresh, "verb": verb, "arguments": arguments}
    return client.ask("POST", "/console/actions", body)


def test_a_console_has_a_machine_rehearsed_and_hears_how_it_went(
    tokens: dict[str, Client],
) -> None:
    listed = [verb["name"] for verb in tokens["console"].get("/console/actions")["items"]]
    assert "backup" in listed
    answer = ask_for(tokens["console"], "verify", {})
    assert answer.status == 202, answer.body
    job = answer.json()
    assert job["asked_by"] == "token:console"
    path = f"/jobs/{job['id']}"
    done = tokens["console"].wait_for(path, lambda one: one["ended_at"])
    assert done["state"] == "done", done


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("forget", {"point": "web1@latest"}),
        ("get", {"point": "web1@latest", "paths": ["/"], "target": "/tmp/x"}),
        ("find", {"machine": "web1", "name": "*"}),
        ("backup", {"sources": ["/etc/shadow"], "machine": "loot"}),
        ("drill run", {"what": "/tmp/plan.toml"}),
        ("key list", {}),
        ("machines pause", {"name": "web1"}),
    ],
)
def test_a_console_that_was_taken_over_deletes_nothing_and_reads_no_data(
    tokens: dict[str, Client], verb: str, arguments: dict[str, Any]
) -> None:
    answer = ask_for(tokens["console"], verb, arguments)
    assert (answer.status, answer.code) == (403, "forbidden"), answer.body


def test_a_nonce_is_good_once_and_for_whom_it_was_given(
    admin: Client, tokens: dict[str, Client]
) -> None:
    made = admin.post("/tokens", {"name": "other", "role": "console"}, expect=201)
    other = Client(admin.port, admin.authority, token=made["secret"])
    nonce = tokens["console"].post("/console/nonces", expect=201)["nonce"]
    stolen = ask_for(other, "disks locate", {"bay": "none"}, nonce)
    assert stolen.status == 422, stolen.body
    assert ask_for(tokens["console"], "verify", {"depth": "no such"}, nonce).status == 422
    assert ask_for(tokens["console"], "disks locate", {"bay": "none"}, nonce).status == 202
    again = ask_for(tokens["console"], "disks locate", {"bay": "none"}, nonce)
    assert again.status == 422
    assert "done already" in again.json()["detail"]
    for forged in ("", ".", nonce[:-1] + "0", "x" * 100):
        assert ask_for(tokens["console"], "verify", {}, forged or "-").status == 422


def test_nobody_else_asks_as_a_console_and_one_that_only_reads_does_not(
    admin: Client, tokens: dict[str, Client]
) -> None:
    told = {"name": "reader", "role": "console", "scopes": ["telemetry"]}
    made = admin.post("/tokens", told, expect=201)
    reader = Client(admin.port, admin.authority, token=made["secret"])
    assert reader.get("/box")["is_set_up"]
    for client in (reader, admin, tokens["operator"], tokens["agent"]):
        answer = client.ask("POST", "/console/nonces")
        assert (answer.status, answer.code) == (403, "forbidden")
