"""What somebody with some rights might try to get more of them."""

from __future__ import annotations

from pathlib import Path

from tests.api.box import Client

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
