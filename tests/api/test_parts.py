"""Maps and small judgements of the API, without a box."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.api.events import LISTENERS_EACH_MAX, EventLog
from appliance.api.machine_lists import MachineLists, Promise, judge_machine
from appliance.api.pages import Pages
from appliance.api.problem import STATUSES, status_of
from appliance.base import errors
from appliance.base.clock import SystemClock
from appliance.catalog.listing import Listing


def test_every_error_of_the_tree_has_a_status() -> None:
    kinds = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.HoldfastError)
    ]
    assert set(kinds) == STATUSES.keys()
    for kind in kinds:
        assert 400 <= status_of(kind()) < 600


@pytest.mark.parametrize(
    ("promise", "rpo_s", "state"),
    [
        (Promise(), 5.0, "protected"),
        (Promise(), None, "new"),
        (Promise(rpo_target_s=60.0), 61.0, "late"),
        (Promise(rpo_target_s=60.0), 59.0, "protected"),
        (Promise(has_failed=True, rpo_target_s=60.0), 5.0, "failed"),
        (Promise(state="paused", has_failed=True), None, "paused"),
        (Promise(state="retired"), 1e9, "retired"),
    ],
)
def test_a_machine_stands_as_it_was_promised(
    promise: Promise, rpo_s: float | None, state: str
) -> None:
    assert judge_machine(promise, rpo_s) == state


def test_what_a_look_has_just_seen_is_in_the_very_next_answer(tmp_path: Path) -> None:
    promises: dict[str, Promise] = {}
    looks = [0]
    lists = MachineLists(
        Listing(tmp_path / "listing"), SystemClock(), lambda: promises, version=lambda: looks[0]
    )
    assert asyncio.run(lists.all()) == []
    promises["web1"] = Promise()
    looks[0] += 1
    assert [row["name"] for row in asyncio.run(lists.all())] == ["web1"]


def test_who_cannot_keep_up_is_told_to_ask_for_everything() -> None:
    log = EventLog(kept=10)
    with log.listen(None) as queue:
        for number in range(queue.maxsize + 5):
            log.publish("box", f"/{number}")
        assert queue.get_nowait().kind == "reset"


def test_events_that_were_dropped_are_not_passed_over_in_silence() -> None:
    log = EventLog(kept=3)
    for number in range(10):
        log.publish("box", f"/{number}")
    with log.listen(None) as queue:
        log.publish("box", "/last")
        last = log.encode(queue.get_nowait()).split(b"\n")[0].removeprefix(b"id: ").decode()
    run = last.split("-")[0]
    with log.listen(f"{run}-2") as queue:
        assert queue.get_nowait().kind == "reset"
    with log.listen(f"{run}-10") as queue:
        assert b"/last" in queue.get_nowait().data


@pytest.mark.parametrize("before", [0, 1, 5])
def test_who_was_told_to_start_anew_and_lost_the_line_hears_what_came_next(before: int) -> None:
    log = EventLog(kept=3)
    for number in range(before):
        log.publish("box", f"/{number}")
    with log.listen("another run") as queue:
        told = log.encode(queue.get_nowait()).split(b"\n")[0].removeprefix(b"id: ").decode()
    log.publish("box", "/next")
    with log.listen(told) as queue:
        assert b"/next" in queue.get_nowait().data
        assert queue.empty()


def test_one_who_opens_pages_without_end_leaves_seats_to_others() -> None:
    log = EventLog()
    with ExitStack() as stack:
        for _ in range(LISTENERS_EACH_MAX):
            stack.enter_context(log.listen(None, "vic"))
        with pytest.raises(errors.BusyError):
            stack.enter_context(log.listen(None, "vic"))
        stack.enter_context(log.listen(None, "ann"))
    with log.listen(None, "vic"):
        pass


def test_a_name_that_is_no_page_is_not_looked_for_in_all_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each such request, of anybody, walked through the whole folder."""
    (tmp_path / "inner").mkdir()

    def walk(*_: object) -> None:
        raise AssertionError("walked")

    monkeypatch.setattr(Path, "rglob", walk)
    assert Pages(tmp_path).find("inner") is None


def test_only_files_of_the_folder_are_pages(tmp_path: Path) -> None:
    folder = tmp_path / "web"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    (folder / "index.html").write_text("<p>" * 1000)
    (folder / "notes.md").write_text("x")
    (folder / "link").symlink_to(tmp_path / "nowhere")
    pages = Pages(folder)
    page = pages.find("")
    assert page is not None
    assert (page.kind, "gzip" in page.packed) == ("text/html", True)
    (folder / "inner").mkdir()
    (folder / "inner" / "page.js").write_text("1")
    assert pages.find("inner/page.js") is not None
    (folder / ".hidden").write_text("x")
    for name in (
        *("../secret", "/etc/passwd", "notes.md", "link", "x\0y", "index.html/", "."),
        *("inner", "inner/../index.html", "./index.html", "inner//page.js", "../web/index.html"),
        ".hidden",
    ):
        assert pages.find(name) is None, name
    (folder / "index.html").write_text("new")
    changed = pages.find("index.html")
    assert changed is not None
    assert (changed.data, changed.etag != page.etag) == (b"new", True)
