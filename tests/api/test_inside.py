"""What lies inside points is for those who may look into them, also when a job says it."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.api.box import Client


@pytest.mark.parametrize("role", ["viewer", "console"])
def test_names_of_files_that_an_operator_found_are_not_for_those_who_may_not_look_inside(
    admin: Client, tokens: dict[str, Client], role: str
) -> None:
    job = tokens["operator"].run("find", {"machine": "web1", "name": "hello.*"})
    assert "/docs/hello.txt" in json.dumps(job["result"])
    told = tokens[role].get(f"/jobs/{job['id']}")
    assert told["state"] == "done"
    assert told["result"] is None
    assert "hello.txt" in json.dumps(admin.get(f"/jobs/{job['id']}")["result"])


@pytest.mark.parametrize("role", ["viewer", "console"])
def test_the_log_of_who_looked_inside_is_not_for_those_who_may_not(
    tokens: dict[str, Client], role: str
) -> None:
    job = tokens["operator"].run("find", {"machine": "web1", "name": "hello.*"})
    answer = tokens[role].ask("GET", f"/jobs/{job['id']}/log")
    assert (answer.status, answer.code) == (403, "forbidden")
    tokens["operator"].get(f"/jobs/{job['id']}/log")


def test_events_do_not_tell_everybody_which_files_were_found(tokens: dict[str, Client]) -> None:
    found: list[dict[str, Any]] = []
    is_open = threading.Event()

    def listen() -> None:
        for _, kind, data in tokens["viewer"].listen():
            is_open.set()
            if kind == "job" and data["job"]["verb"] == "find" and data["job"]["ended_at"]:
                found.append(data["job"])
                return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    while not is_open.wait(0.1):
        tokens["operator"].run("drill/run", {"what": "web9"}, expect="failed")
    tokens["operator"].run("find", {"machine": "web1", "name": "hello.*"})
    listener.join(60)
    assert found
    assert found[0]["result"] is None
