"""The `key` command through the command itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import Holdfast


@pytest.fixture
def recovery(holdfast: Holdfast, tmp_path: Path) -> Path:
    path = tmp_path / "recovery.txt"
    holdfast("init", "--recovery-out", path, expect=0)
    return path


def word_rows(recovery: Path) -> list[str]:
    return [line for line in recovery.read_text().splitlines() if line[:1].isdigit()]


def test_check_proves_a_recovery_key_from_a_file_and_as_typed(
    holdfast: Holdfast, recovery: Path
) -> None:
    store_id = holdfast("--json", "key", "check", "--recovery-key", recovery, expect=0).json()
    typed = "\n".join(word_rows(recovery)).encode()
    assert holdfast("--json", "key", "check", stdin=typed, expect=0).json() == store_id
    assert store_id["opens"] is True


def test_check_names_the_row_with_a_strange_word(holdfast: Holdfast, recovery: Path) -> None:
    rows = word_rows(recovery)
    words = rows[2].split()
    words[1] = "zzzz"
    rows[2] = " ".join(words)
    refused = holdfast("key", "check", stdin="\n".join(rows).encode(), expect=2)
    assert "row 3: 'zzzz' is not a word" in refused.err


def test_check_refuses_the_key_of_another_store(
    holdfast: Holdfast, recovery: Path, tmp_path: Path
) -> None:
    other, foreign = tmp_path / "other", tmp_path / "foreign.txt"
    holdfast("--state", other, "init", "--recovery-out", foreign, expect=0)
    refused = holdfast("key", "check", "--recovery-key", foreign, expect=8)
    assert len(refused.err.splitlines()) == 1
    holdfast("key", "check", "--recovery-key", recovery, expect=0)
