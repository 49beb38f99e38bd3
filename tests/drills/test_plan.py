"""Plans: what docs/format/plan.md says, and what is refused, with a word on where."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import NotFoundError, UsageError
from appliance.drills.plan import (
    PLAN_MAX_BYTES,
    HttpCheck,
    Plan,
    ScriptCheck,
    SqlCheck,
    TcpCheck,
    parse_plan,
    read_plan,
)

EXAMPLE = Path(__file__).resolve().parents[1] / "golden" / "plan.toml"


def plan_with(check: str, *, network: str = "apart", more: str = "") -> Plan:
    machine = f'name = "web1"\n{more}\n[[machines.checks]]\n{check}'
    return parse_plan(f'name = "p"\nnetwork = "{network}"\n[[machines]]\n{machine}'.encode())


def test_the_example_of_the_format_page_is_read() -> None:
    plan = read_plan(EXAMPLE)
    assert [machine.name for machine in plan.machines] == ["db", "web1", "mail"]
    assert [[machine.name for machine in group] for group in plan.groups()] == [
        ["db"],
        ["web1", "mail"],
    ]
    kinds = [type(check) for machine in plan.machines for check in machine.checks]
    assert len(set(kinds)) == 7
    assert plan.failover is not None
    assert plan.failover.dns[0].name == "www.example.org"


def test_the_page_shows_that_example() -> None:
    page = (EXAMPLE.parents[2] / "docs/format/plan.md").read_text()
    assert EXAMPLE.read_text().strip() in page


def test_the_digest_is_of_what_a_plan_says_and_not_of_its_spelling() -> None:
    first = parse_plan(b'name = "p"\n[[machines]]\nname = "a"\n')
    second = parse_plan(b'# why\nname="p"\nnetwork = "none"\nmachines = [{name = "a"}]')
    assert first.digest == second.digest
    assert first.digest != parse_plan(b'name = "p"\n[[machines]]\nname = "b"\n').digest


def test_ports_are_those_of_all_checks_once() -> None:
    plan = parse_plan(
        b'name = "p"\nnetwork = "apart"\n[[machines]]\nname = "a"\nchecks = [\n'
        b'{kind = "tcp", port = 22}, {kind = "http"}, {kind = "http", path = "/x"},\n'
        b'{kind = "sql", engine = "postgresql", user = "u"},\n'
        b'{kind = "script", argv = ["/bin/true", "{port:25}"], ports = [25]}]'
    )
    assert plan.machines[0].ports == (22, 25, 80, 5432)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 'p'", "machines"),
        ("name = 'p'\nmachines = []", "machines"),
        ("name = 'p'\nmachines = [{name = 'a', colour = 1}]", "colour"),
        ("name = 'p'\nmachines = [{name = 'a'}, {name = 'a'}]", "twice"),
        ("name = 'p'\nmachines = [{name = '../a'}]", "not allowed"),
        ("name = 'p'\nmachines = [{name = 'a', point = 'yesterday'}]", "names no point"),
        ("name = 'p'\nmachines = [{name = 'a', memory_mib = -1}]", "memory_mib"),
        ("name = 'p'\nmachines = [{name = 'a', delay_s = nan}]", "delay_s"),
        ("name = 'p'\nmachines = [{name = 'a', address = 'here'}]", "address"),
        ("name = 'p'\nmachines = [{name = 'a', address = '192.0.2.1/31'}]", "address"),
        ("name = 'p'\nschedule = {at = '25:00'}\nmachines = [{name = 'a'}]", "schedule.at"),
        ("name = 'p'\nmachines = 3", "machines"),
        ("name = \nx = 1", "line 1"),
        ("[" * 10_000, ""),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_plan(text.encode())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ('kind = "tcp"', "port"),
        ('kind = "tcp"\nport = 0', "port"),
        ('kind = "telepathy"', "telepathy"),
        ('kind = "http"\npath = "no slash"', "path"),
        ('kind = "http"\npath = "/a b"', "path"),
        ('kind = "sql"\nengine = "dbase"\nuser = "u"', "dbase"),
        ('kind = "ssh"\nuser = "u"', "command"),
        ('kind = "ssh"\nuser = "u"\ncommand = "a\\nb"', "command"),
        ('kind = "script"\nargv = []', "argv"),
        ('kind = "script"\nargv = ["check.sh"]', "whole path"),
        ('kind = "agent"\ntimeout_s = 0', "timeout_s"),
        ('kind = "login"\npassword = "secret"', "password"),
    ],
)
def test_a_wrong_check_is_refused(check: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        plan_with(check)


def test_a_check_that_needs_a_network_needs_one_in_the_plan() -> None:
    with pytest.raises(UsageError, match="need a network"):
        plan_with('kind = "tcp"\nport = 22', network="none")
    with pytest.raises(UsageError, match="give the address"):
        plan_with('kind = "tcp"\nport = 22', network="shared")
    plan = plan_with('kind = "tcp"\nport = 22', network="shared", more="address='192.0.2.10/24'")
    assert str(plan.machines[0].interface) == "192.0.2.10/24"


def test_titles_say_what_is_asked() -> None:
    assert TcpCheck(port=22).title == "TCP port 22"
    assert HttpCheck(tls=True, port=443).title == "HTTPS / on port 443 says 200"
    assert SqlCheck(engine="mariadb", user="u").title == "mariadb answers SELECT 1"
    assert ScriptCheck(argv=("/usr/local/bin/ask", "-v")).title == "script ask"


def test_a_plan_too_long_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="longer than"):
        parse_plan(b"#" * (PLAN_MAX_BYTES + 1))
    with pytest.raises(NotFoundError):
        read_plan(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("x")
    with pytest.raises(UsageError, match=r"bad\.toml"):
        read_plan(tmp_path / "bad.toml")


@given(st.binary(max_size=300) | st.text(alphabet="[]{}=\"'\n.machines name0", max_size=200))
def test_garbage_is_refused_and_nothing_else_happens(data: bytes | str) -> None:
    try:
        parse_plan(data if isinstance(data, bytes) else data.encode())
    except UsageError:
        return
