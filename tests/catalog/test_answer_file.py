"""Answers that are kept for a day."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError
from appliance.catalog.answer_file import AnswerFile, KeptAnswer

ANSWER = KeptAnswer("digest", 202, b"{}", b'{"id": 1}', False)


def test_an_answer_is_there_for_its_day_and_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    file = AnswerFile(path)
    file.put("a", ANSWER, 1000.0, 0.0)
    file.close()
    file = AnswerFile(path)
    assert file.find("a", 900.0) == ANSWER
    assert file.find("a", 1001.0) is None
    assert file.find("b", 0.0) is None
    file.put("b", ANSWER, 90_000.0, 1001.0)
    assert file.find("a", 0.0) is None  # older than a day: gone
    file.close()


def test_a_spoiled_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    path.write_bytes(b"no database at all, by no means" * 100)
    file = AnswerFile(path)
    file.put("a", ANSWER, 1.0, 0.0)
    assert file.find("a", 0.0) == ANSWER
    file.close()


def test_what_cannot_be_kept_is_said(tmp_path: Path) -> None:
    file = AnswerFile(tmp_path / "answers.sqlite")
    with sqlite3.connect(tmp_path / "answers.sqlite") as other:
        other.execute("drop table answers")
    other.close()
    with pytest.raises(HoldfastError):
        file.put("a", ANSWER, 1.0, 0.0)
    file.close()
