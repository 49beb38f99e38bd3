"""What somebody with some rights might try to get more of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.api.box import PASSWORD, Box, Client

PLAN = """\
name = "x"
[[machines]]
name = "web1"
ready = "none"
[[machines.checks]]
kind = "script"
argv = ["/usr/bin/touch", "{mark}"]
"""


def test_cve_2026_21708_a_plan_runs_programs_of_the_box_so_only_an_admin_names_its_file(
    tokens: dict[str, Client], tmp_path: Path
) -> None:
    """A guest's serial log is a file that an operator can write: it must not become a plan."""
    plan = tmp_path / "serial.log"
    plan.write_text(PLAN.format(mark=tmp_path / "mark"))
    for what in (str(plan), "plan.toml", "/etc/shadow"):
        answer = tokens["operator"].ask("POST", "/run/drill/run", {"what": what})
        assert answer.status == 403, answer.body
        assert answer.code == "forbidden"


def test_an_operator_does_not_repeat_the_drill_of_a_plan_that_an_admin_ran(
    admin: Client, tokens: dict[str, Client]
) -> None:
    job = admin.run("drill/run", {"what": "/there/is/none.toml"}, expect="failed")
    answer = tokens["operator"].ask("POST", f"/jobs/{job['id']}/retry")
    assert answer.status == 403, answer.body


def test_an_operator_still_rehearses_a_machine(tokens: dict[str, Client]) -> None:
    answer = tokens["operator"].ask("POST", "/run/drill/run", {"what": "web9"})
    assert answer.status == 202, answer.body


@pytest.fixture
def hurried(box: Box, admin: Client) -> Client:
    """The administrator, logged in with the password, who has not confirmed anything."""
    client = box.client()
    client.post("/session", {"user": "ann", "password": PASSWORD}, expect=204)
    return client


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("drill/report", {"out": "STATE/store/store.json"}),
        ("drill/report", {"out": "/proc/none"}),
        ("nbd", {"point": "web1@latest", "touched": "STATE/store/store.json"}),
        ("nbd", {"point": "web1@latest", "socket": "/proc/none"}),
        ("drill/run", {"what": "/tmp/plan.toml"}),
        ("get", {"point": "web1@latest", "paths": ["/docs"], "target": "/proc/none"}),
        ("get", {"point": "web1@latest", "paths": ["/docs"], "target": "/mnt/../proc/none"}),
        ("get", {"point": "web1@latest", "paths": ["/docs"], "target": "../proc/none"}),
        ("restore", {"point": "web1@latest", "target": "STATE/plans/x.toml"}),
        ("restore", {"point": "web1@latest", "target": "nbd:///proc/none/x"}),
        ("export", {"point": "web1@latest", "target": "/proc/none/x", "format": "raw"}),
        ("migrate", {"name": "web1", "targets": ["/proc/none/x"]}),
        ("failback", {"name": "web1", "targets": ["/proc/none/x"]}),
        ("mount", {"directory": "/proc/none"}),
        ("bundle", {"target": "/proc/none/x"}),
        ("init", {"recovery_out": "/proc/none/x"}),
        ("vault/seed", {"directory": "/proc/none"}),
    ],
)
def test_the_administrators_password_alone_writes_nowhere_that_makes_one_master_of_the_box(
    box: Box,
    hurried: Client,
    tokens: dict[str, Client],
    verb: str,
    arguments: dict[str, object],
) -> None:
    """Nobody needs what is forbidden to delete, who can replace the store or the box's programs."""
    told = json.loads(json.dumps(arguments).replace("STATE", str(box.state)))
    answer = hurried.ask("POST", f"/run/{verb}", told)
    assert (answer.status, answer.code) == (403, "needs-confirmation"), answer.body
    assert tokens["admin"].ask("POST", f"/run/{verb}", told).code == "forbidden"


def test_a_link_does_not_lead_out_of_the_places_where_anybody_restores_to(
    hurried: Client, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("/proc")
    told = {"point": "web1@latest", "target": str(tmp_path / "link" / "none")}
    assert hurried.ask("POST", "/run/restore", told).code == "needs-confirmation"


def test_files_are_still_fetched_to_a_disk_without_being_asked_who_one_is(
    hurried: Client, tmp_path: Path
) -> None:
    told = {"point": "web1@latest", "paths": ["/docs/hello.txt"], "target": str(tmp_path / "x")}
    hurried.run("get", told)


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("backup", {"sources": ["/etc/shadow"], "machine": "loot"}),
        ("backup", {"machine": "web1", "changed": "/etc/shadow"}),
        ("machines/add", {"name": "web1", "sources": ["/dev/null"]}),
        ("machines/pause", {"name": "web1"}),
        ("notices/add", {"name": "night", "url": "https://evil.example/", "secret_file": "x" * 16}),
        ("vault/limit", {"rate": 0.001}),
        ("vault/limit", {"rpo": 900000}),
    ],
)
def test_the_administrators_password_alone_neither_reads_the_box_nor_ends_its_protection(
    hurried: Client, tokens: dict[str, Client], verb: str, arguments: dict[str, object]
) -> None:
    """A file of the box was backed up and restored to where everybody reads, alarms led away."""
    answer = hurried.ask("POST", f"/run/{verb}", arguments)
    assert (answer.status, answer.code) == (403, "needs-confirmation"), answer.body
    assert tokens["admin"].ask("POST", f"/run/{verb}", arguments).code == "forbidden"
    assert tokens["operator"].ask("POST", f"/run/{verb}", arguments).code == "forbidden"


def test_an_operator_stops_what_he_began_and_nothing_of_others(
    admin: Client, tokens: dict[str, Client]
) -> None:
    """A backup that is always cancelled is none, and nobody is told."""
    answer = admin.ask("POST", "/run/scrub", {})
    path = f"/jobs/{answer.json()['id']}/cancel"
    refused = tokens["operator"].ask("POST", path)
    assert (refused.status, refused.code) == (403, "forbidden"), refused.body
    assert "ann" in refused.json()["detail"]
    assert admin.ask("POST", path).status in (202, 422)  # it may be over by now
    own = tokens["operator"].ask("POST", "/run/scrub", {}).json()
    assert tokens["operator"].ask("POST", f"/jobs/{own['id']}/cancel").status in (202, 422)


def test_the_address_of_a_webhook_is_told_to_nobody(
    admin: Client, tokens: dict[str, Client]
) -> None:
    """Whoever knows the address of a chat's webhook may write there."""
    told = {"name": "chat", "url": "https://hooks.example/T0/B0/planted", "secret_file": "s" * 16}
    admin.run("notices/add", told)
    viewer = tokens["viewer"]
    channels = viewer.wait_for("/notices", lambda known: known["items"])
    (job,) = viewer.get("/jobs?verb=notices%20add")["items"]
    assert channels["items"][0]["url"] == "https://hooks.example/..."
    assert job["arguments"]["url"] == "..."
    log = viewer.get(f"/jobs/{job['id']}/log")
    for seen in (channels, job, log, viewer.get(f"/jobs/{job['id']}")):
        assert "planted" not in json.dumps(seen)
    ran = viewer.post("/run/notices/list", {})
    assert "planted" not in json.dumps(ran)
    admin.run("notices/remove", {"name": "chat"})
