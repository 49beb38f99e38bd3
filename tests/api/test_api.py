"""The API as a client meets it: lists, pages, ETags, repetitions, refusals."""

from __future__ import annotations

import io
import tarfile
import zipfile
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from appliance.base.clock import SystemClock
from appliance.catalog.catalog import Catalog
from appliance.catalog.measurements import Measurements
from appliance.formats.names import format_time
from appliance.vault.line_history import WHAT, name_line
from tests.api.box import Box, Client
from tests.api.conftest import FILE_TEXT, HOSTILE


def point_path(admin: Client) -> str:
    newest = admin.get("/machines/web1/points")["items"][0]
    return f"/points/web1/{newest['time']}"


def test_the_box_says_that_its_machine_is_protected(admin: Client) -> None:
    box = admin.get("/box")
    assert box["sentence"]["code"] == "protected"
    assert box["sentence"]["args"]["machines"] == box["machines"]["protected"] == 1
    assert box["is_set_up"]
    assert box["is_unlocked"]


def test_points_come_newest_first_and_by_pages(admin: Client) -> None:
    whole = admin.get("/machines/web1/points")
    assert [point["time"] for point in whole["items"]] == sorted(
        (point["time"] for point in whole["items"]), reverse=True
    )
    first = admin.get("/machines/web1/points?limit=1")
    second = admin.get(f"/machines/web1/points?limit=1&after={first['next']}")
    assert first["items"] + second["items"] == whole["items"]
    assert second["next"] is None
    assert whole["items"][0]["where"] == ["box"]
    newest = whole["items"][0]
    assert admin.get(f"/points/web1/{newest['time']}") == newest


def test_jobs_come_newest_first_with_log_and_filters(admin: Client) -> None:
    page = admin.get("/jobs?limit=1&verb=backup&machine=web1&state=done")
    assert page["items"][0]["verb"] == "backup"
    older = admin.get(f"/jobs?limit=1&verb=backup&after={page['next']}")
    assert older["items"][0]["id"] < page["items"][0]["id"]
    job = page["items"][0]["id"]
    assert admin.get(f"/jobs/{job}")["result"]["machine"] == "web1"
    assert any("read" in line["text"] for line in admin.get(f"/jobs/{job}/log")["items"])


def test_what_has_not_changed_is_not_sent_again(admin: Client) -> None:
    answer = admin.ask("GET", "/machines/web1/points")
    again = admin.ask(
        "GET", "/machines/web1/points", headers={"If-None-Match": answer.headers["etag"]}
    )
    assert (again.status, again.body) == (304, b"")
    other = admin.ask("GET", "/machines/web1/points", headers={"If-None-Match": '"other"'})
    assert other.status == 200


def test_the_same_request_again_is_answered_as_it_was(admin: Client) -> None:
    key = {"Idempotency-Key": "hold-1"}
    point = admin.get("/machines/web1/points")["items"][0]["name"]
    body = {"point": point, "reason": "audit"}
    first = admin.ask("POST", "/run/hold", body, headers=key)
    again = admin.ask("POST", "/run/hold", body, headers=key)
    assert first.status == again.status == 202
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotency-replayed"] == "true"
    other = admin.ask("POST", "/run/hold", {**body, "reason": "other"}, headers=key)
    assert (other.status, other.code) == (422, "idempotency-key")
    fresh = admin.ask("POST", "/run/hold", body)
    assert fresh.json()["id"] != first.json()["id"]


def test_what_was_refused_can_be_asked_again_with_the_same_key(admin: Client) -> None:
    key = {"Idempotency-Key": "refused-1"}
    point = admin.get("/machines/web1/points")["items"][0]["name"]
    wrong = admin.ask("POST", "/run/hold", {"point": point, "reason": 5}, headers=key)
    assert wrong.status == 422
    right = admin.ask("POST", "/run/hold", {"point": point, "reason": "five"}, headers=key)
    assert right.status == 202, right.body


def test_tokens_of_one_name_are_not_answered_for_each_other(admin: Client, box: Box) -> None:
    key = {"Idempotency-Key": "namesake-1"}
    point = admin.get("/machines/web1/points")["items"][0]["name"]
    jobs = set()
    for _ in range(2):
        token = admin.post("/tokens", {"name": "twin", "role": "operator"}, expect=201)["secret"]
        headers = {**key, "Authorization": f"Bearer {token}"}
        answer = box.client().ask("POST", "/run/hold", {"point": point}, headers=headers)
        assert answer.status == 202, answer.body
        jobs.add(answer.json()["id"])
    assert len(jobs) == 2


def test_a_secret_is_told_once_although_its_request_is_repeated(admin: Client) -> None:
    key = {"Idempotency-Key": "token-1"}
    body = {"name": "once", "role": "viewer"}
    first = admin.ask("POST", "/tokens", body, headers=key)
    assert first.status == 201
    again = admin.ask("POST", "/tokens", body, headers=key)
    assert (again.status, again.code) == (409, "already-done")
    names = [token["name"] for token in admin.get("/tokens")["items"]]
    assert names.count("once") == 1


def test_files_inside_a_point_are_listed_read_and_packed(admin: Client) -> None:
    files = f"{point_path(admin)}/files"
    listing = admin.get(f"{files}?path=/docs")
    assert {entry["name"] for entry in listing["items"]} >= {"hello.txt"}
    answer = admin.ask("GET", f"{files}/content?path=/docs/hello.txt")
    assert answer.body == FILE_TEXT
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]
    packed = admin.ask("GET", f"{files}/archive?path=/docs&format=zip")
    with zipfile.ZipFile(io.BytesIO(packed.body)) as archive:
        name = next(name for name in archive.namelist() if name.endswith("hello.txt"))
        assert archive.read(name) == FILE_TEXT
    packed = admin.ask("GET", f"{files}/archive?path=/docs&format=tar")
    with tarfile.open(fileobj=io.BytesIO(packed.body)) as tar:
        assert any(member.name.endswith("hello.txt") for member in tar)


def test_a_hostile_name_is_harmless_text_and_still_leads_to_its_file(admin: Client) -> None:
    files = f"{point_path(admin)}/files"
    entries = admin.get(f"{files}?path=/docs")["items"]
    found = next(entry for entry in entries if entry["name"].startswith("<img"))
    assert "\u202e" not in found["name"]
    content = f"{files}/content?path_base64="
    name = quote(found["name_base64"], safe="")
    assert admin.ask("GET", content + name).status == 404  # it lies in /docs
    path = quote(f"/docs/{HOSTILE}", safe="")
    answer = admin.ask("GET", f"{files}/content?path={path}")
    assert answer.body == b"x"
    assert "<" not in answer.headers["content-disposition"]


def test_pages_of_a_directory_make_the_whole(admin: Client) -> None:
    files = f"{point_path(admin)}/files?path=/docs"
    whole = admin.get(files)["items"]
    first = admin.get(f"{files}&limit=1")
    second = admin.get(f"{files}&limit=1&after={first['next']}")
    assert first["items"] + second["items"] == whole


def test_what_is_not_there_is_named_and_no_traceback(admin: Client) -> None:
    for path in (
        *("/machines/nobody", "/machines/nobody/points", "/points/web1/2020-01-01T00:00:00Z"),
        *("/jobs/99999", "/jobs/x", "/jobs/99999/log", "/disks/sdzz", "/vms/x/screen/key"),
        *("/drills/20200101T000000Z/screens/a.png", "/drills/x", "/nothing", "/../etc/passwd"),
        "/points/web1/2020-01-01T00:00:00Z/files",
    ):
        answer = admin.ask("GET", path)
        assert answer.status == 404, (path, answer.body)
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert b"Traceback" not in answer.body


def test_garbage_is_refused_with_a_reason(admin: Client) -> None:
    for status, path, raw in (
        (400, "/run/hold", b"{"),
        (400, "/run/hold", b"\xff\xfe"),
        (422, "/run/hold", b"[]"),
        (422, "/run/hold", b'{"point": 1}'),
        (422, "/run/hold", b'{"point": "web1@latest", "extra": 1}'),
        (422, "/run/hold", b'{"point": "--help\\u0000"}'),
        (422, "/run/backup", b'{"sources": "x", "machine": "a"}'),
        (413, "/run/hold", b" " * (2 << 20)),
    ):
        answer = admin.ask("POST", path, raw=raw)
        assert (answer.status, answer.headers["content-type"].split(";")[0]) == (
            status,
            "application/problem+json",
        ), (path, raw[:40], answer.body)
    for query in ("limit=0", "limit=x", "limit=1&limit=2", "unknown=1", "after=x", "state=odd"):
        assert admin.ask("GET", f"/jobs?{query}").status in (400, 422), query
    plain = admin.ask("POST", "/run/hold", raw=b"{}", headers={"Content-Type": "text/plain"})
    assert plain.status == 415
    assert admin.ask("DELETE", "/box").status == 405


def test_a_value_that_looks_like_an_option_stays_a_value(admin: Client) -> None:
    job = admin.run("hold", {"point": "--help"}, expect="failed")
    assert "--help" in (job["error"] or "")


def test_a_finding_that_is_not_there_is_not_acknowledged(admin: Client) -> None:
    job = admin.ask("POST", "/findings/nothing/acknowledge").json()
    assert job["state"] == "failed"
    assert "no finding" in job["error"]
    assert job["error_code"] == "not-found"


def test_what_answers_at_once_has_the_code_of_its_error_beside_the_line(admin: Client) -> None:
    ran = admin.ask("POST", "/run/machines/show", {"name": "nobody"}).json()
    assert (ran["exit_code"], ran["error_code"]) == (5, "no-machine")
    assert ran["error"].startswith("there is no machine nobody")


def test_other_pages_cannot_use_the_browser(box: Box, admin: Client) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Host": "evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
    ):
        for path in ("/box", "/events", "/vms/x/screen"):
            assert admin.ask("GET", path, headers=headers).status == 403, (headers, path)
        assert admin.ask("POST", "/run/status", {}, headers=headers).status == 403
    assert admin.ask("POST", "/run/status", {}, headers={"X-Holdfast": "0"}).status == 403
    nobody = box.client()
    nobody.headers = {}
    login = {"user": "ann", "password": "x"}
    assert nobody.ask("POST", "/session", login).status == 403  # not even a login


def test_every_answer_forbids_what_pages_do_not_need(admin: Client) -> None:
    for path in ("/box", "/nothing", "//", "/openapi.json"):
        headers = admin.ask("GET", path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff"


def test_what_was_done_is_in_the_audit_log_without_secrets(admin: Client) -> None:
    lines = admin.get("/audit?limit=1000")["items"]
    assert [line["number"] for line in lines] == sorted(
        (line["number"] for line in lines), reverse=True
    )
    outcomes = {line["outcome"] for line in lines if line["action"] == "backup"}
    assert outcomes == {"done", "failed"}
    assert {line["who"] for line in lines if line["action"] == "backup"} == {"ann"}
    older = admin.get(f"/audit?limit=1&after={lines[0]['number']}")["items"]
    assert older == lines[1:2]


def test_the_line_to_a_vault_is_told_as_it_was_written_down(
    box: Box, admin: Client, tmp_path: Path
) -> None:
    now = SystemClock().now().replace(microsecond=0)
    times = [now - timedelta(minutes=minutes) for minutes in (300, 90, 60, 30)]
    with Catalog(box.state / "catalog.db") as catalog:
        for time, rate in zip(times, (7.0, 5_000_000.0, 2_500_000.0, 0.0), strict=True):
            Measurements(catalog).note(name_line("line"), WHAT, time, rate)
    assert admin.get("/vaults/line/line", expect=404)["code"] == "no-vault"
    admin.run("vault/add", {"url": f"file://{tmp_path / 'vault'}", "name": "line"})
    try:
        admin.wait_for("/vaults", lambda page: any(one["name"] == "line" for one in page["items"]))
        rates = admin.get("/vaults/line/line?hours=2")["items"]
        # What went out when the two hours began holds until the next rate.
        assert [one["bytes_per_s"] for one in rates[:4]] == [7.0, 5_000_000.0, 2_500_000.0, 0.0]
        assert [one["time"] for one in rates[1:4]] == [format_time(time) for time in times[1:]]
        whole = admin.get("/vaults/line/line")["items"]
        assert whole[0] == {"time": format_time(times[0]), "bytes_per_s": 7.0}
        assert admin.get("/vaults/line/line?hours=0", expect=422)["code"] == "usage"
        assert admin.get("/vaults/other/line", expect=404)["code"] == "no-vault"
    finally:
        admin.run("vault/remove", {"name": "line"})
