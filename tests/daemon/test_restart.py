"""A daemon that is killed loses nothing, does nothing twice, and says nothing that is not so."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from appliance.jobs.workroom import Workroom
from tests.daemon.conftest import Box, poll


def end_of(box: Box, job_id: int) -> dict[str, Any]:
    """How it ended at last, having been begun again or not."""
    while True:
        job = box.wait_for(job_id)
        if job["retried_as"] is None:
            return job
        job_id = job["retried_as"]


def test_a_worker_outlives_its_daemon_and_is_taken_over(box: Box, tmp_path: Path) -> None:
    note = tmp_path / "note"
    box.start()
    until = tmp_path / "until"
    job_id = box.submit("act once", seconds=600, until=str(until), note=str(note), say="a word")
    poll(lambda: box.ask("get", id=job_id)["done"] > 0, "progress")
    box.kill()
    box.start()
    job = box.ask("get", id=job_id)
    assert job["state"] == "running"
    poll(lambda: box.ask("get", id=job_id)["done"] > job["done"], "progress after the restart")
    until.touch()
    ended = box.wait_for(job_id)
    assert (ended["state"], ended["result"], ended["retried_as"]) == (
        "done",
        {"acted": 600},
        None,
    )
    assert note.read_text() == "begun\nended\n"
    assert [line["text"] for line in box.ask("log", id=job_id)["items"]] == ["a word"]


def test_what_ended_while_no_daemon_ran_is_known_afterwards(box: Box, tmp_path: Path) -> None:
    note, until = tmp_path / "note", tmp_path / "until"
    box.start()
    done = box.submit("act once", seconds=600, until=str(until), note=str(note))
    failed = box.submit("act once", seconds=600, until=str(until), code=4)
    poll(lambda: all(box.ask("get", id=each)["done"] > 0 for each in (done, failed)), "progress")
    box.kill()
    until.touch()
    rooms = box.state / "run/jobs"
    poll(lambda: all((rooms / str(n) / "outcome").exists() for n in (done, failed)), "outcomes")
    box.start()
    assert box.wait_for(done)["state"] == "done"
    assert (box.wait_for(failed)["state"], box.wait_for(failed)["error"]) == (
        "failed",
        "it could not",
    )
    assert note.read_text() == "begun\nended\n"


def test_a_fall_of_the_box_is_resumed_or_said(box: Box, tmp_path: Path) -> None:
    box.start()
    notes, until = [tmp_path / "safe", tmp_path / "once"], tmp_path / "until"
    safe = box.submit("act", seconds=600, until=str(until), note=str(notes[0]))
    once = box.submit("act once", seconds=600, until=str(until), note=str(notes[1]))
    poll(lambda: all(has_begun(note) for note in notes), "both at work")
    box.kill()
    fall(box.state)
    until.touch()
    box.start()
    interrupted = box.wait_for(once)
    assert (interrupted["state"], interrupted["exit_code"]) == ("interrupted", None)
    assert "jobs retry" in interrupted["error"]
    assert end_of(box, safe)["state"] == "done"
    assert notes[0].read_text() == "begun\nbegun\nended\n"
    assert notes[1].read_text() == "begun\n"
    again = box.ask("retry", id=once)
    assert box.wait_for(again["id"])["state"] == "done"


def test_kills_at_any_moment_lose_nothing_and_double_nothing(
    box: Box, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    box.start()
    asked: dict[int, Path] = {}
    for number in range(18):
        note = tmp_path / f"note{number}"
        verb = dice.choice(("act", "act once", "act alone"))
        job_id = box.submit(
            verb, seconds=dice.random() / 2, note=str(note), machine=f"m{number % 5}"
        )
        asked[job_id] = note
        if number % 4 == 3:
            time.sleep(dice.random() / 2)
            box.kill()
            box.start()
    for job_id, note in asked.items():
        job = box.wait_for(job_id)
        assert (job["state"], job["retried_as"]) == ("done", None), job
        assert note.read_text() == "begun\nended\n", job


def test_a_job_that_interrupts_the_box_again_and_again_is_left_alone(
    box: Box, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    box.start()
    job_id = box.submit("act", seconds=600, note=str(note))
    for times in range(1, 6):
        begun = "begun\n" * times

        def works(begun: str = begun) -> bool:
            return note.exists() and note.read_text() == begun

        poll(works, "work")
        box.kill()
        fall(box.state)
        box.start()
    job = end_of(box, job_id)
    assert job["state"] == "interrupted"
    assert "5 times in a row" in job["error"]


def has_begun(note: Path) -> bool:
    """Whether the note says so: it is there a moment before."""
    return note.exists() and note.read_text() == "begun\n"


def fall(state: Path) -> None:
    """What a power cut does to the workers."""
    for lock in (state / "run/jobs").glob("*/worker"):
        if lock.read_text():
            os.kill(int(lock.read_text()), signal.SIGKILL)
            poll(lambda: not Workroom(lock.parent).is_taken(), "its end")  # noqa: B023
