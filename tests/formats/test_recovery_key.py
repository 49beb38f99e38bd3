"""The recovery key in every spelling that people may type."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import AccessError, HoldfastError, UsageError
from appliance.formats.recovery_key import format_recovery_file, parse_recovery_key
from tests.formats.examples import DESCRIPTOR, RECOVERY_KEY, assert_survives, read_golden

keys = st.binary(min_size=32, max_size=32)
FILE = format_recovery_file(RECOVERY_KEY, store_id=DESCRIPTOR.store_id, created=DESCRIPTOR.created)
LINES = [line for line in FILE.splitlines() if line and line[0] != "#"]
BASE32, ROWS = LINES[0], LINES[1:]
WORDS = [re.findall("[a-z]+", row) for row in ROWS]


def test_the_golden_file_holds_the_example() -> None:
    assert read_golden("recovery-key.txt").decode() == FILE
    assert parse_recovery_key(read_golden("recovery-key.txt").decode()) == RECOVERY_KEY


def test_the_file_has_one_base32_line_and_six_rows() -> None:
    assert BASE32.startswith("base32: ")
    assert [len(words) for words in WORDS] == [4] * 6
    assert [row.split()[0] for row in ROWS] == list("123456")
    assert DESCRIPTOR.store_id in FILE


@given(keys)
def test_every_key_is_read_back_in_every_spelling(key: bytes) -> None:
    text = format_recovery_file(key, store_id="00" * 16, created="2026-11-21T09:30:00Z")
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    base32 = lines[0].removeprefix("base32:")
    words = [re.findall("[a-z]+", row) for row in lines[1:]]
    compact = re.sub("[ -]", "", base32)
    for spelling in [
        text,
        text.upper().replace("#", "#"),
        lines[0],
        base32,
        compact.lower(),
        " ".join(compact[at : at + 4] for at in range(0, 56, 4)),
        "\n".join(lines[1:]),
        "\n".join(" ".join(row) for row in words),
        " ".join(word for row in words for word in row),
        "\n".join(word.upper() for row in words for word in row),
        "\n".join(f"{number}. {' '.join(row)}" for number, row in enumerate(words, 1)),
        "\r\n".join(row[1:] for row in lines[1:]),
    ]:
        assert parse_recovery_key(spelling) == key


def test_rows_rescue_a_file_whose_base32_line_is_damaged() -> None:
    assert parse_recovery_key(FILE.replace(BASE32, BASE32[:-1])) == RECOVERY_KEY
    assert parse_recovery_key(FILE.replace(BASE32, BASE32[:-1] + "7")) == RECOVERY_KEY


def test_damaged_rows_do_not_matter_beside_a_good_base32_line() -> None:
    assert parse_recovery_key(FILE.replace(ROWS[2], "3 smudge")) == RECOVERY_KEY


def test_a_wrong_word_is_found_by_the_check_digits_of_its_row() -> None:
    wrong = ROWS[2].replace(WORDS[2][1], "zebra")
    with pytest.raises(AccessError, match=r"^row 3: check digits do not match$"):
        parse_recovery_key("\n".join([*ROWS[:2], wrong, *ROWS[3:]]))


def test_two_words_changed_for_one_another_are_found() -> None:
    a, b = WORDS[4][:2]
    swapped = ROWS[4].replace(a, "#").replace(b, a).replace("#", b)
    with pytest.raises(AccessError, match="row 5"):
        parse_recovery_key("\n".join([*ROWS[:4], swapped, ROWS[5]]))


def test_an_unknown_word_is_named_with_its_row() -> None:
    text = " ".join(word for row in WORDS for word in row).replace(WORDS[3][0], "hodlfast")
    with pytest.raises(UsageError, match="row 4: 'hodlfast' is not a word"):
        parse_recovery_key(text)


def test_wrong_words_without_check_digits_fail_together() -> None:
    text = " ".join(["abandon"] * 24)
    with pytest.raises(AccessError, match="do not belong together"):
        parse_recovery_key(text)


def test_a_wrong_character_in_base32_is_found() -> None:
    wrong = BASE32[:-1] + ("A" if BASE32[-1] != "A" else "B")
    with pytest.raises(AccessError, match="checksum"):
        parse_recovery_key(wrong)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        *[("", "not a recovery key"), ("base32:", "not a recovery key"), ("# x", "not a recovery")],
        *[("secrets", "not a recovery key"), ("1", "not a recovery key"), ("1 2 3", "not a")],
        *[(BASE32[:-1], "not a recovery key"), (BASE32 + "A", "not a recovery key")],
        *[("\n".join(ROWS[:5]), "24 words, this has 20"), ("\n".join(ROWS * 2), "row 7")],
        *[("\n".join([ROWS[0], *ROWS[2:]]), "row 2 .* is missing: found '3'")],
        *[("1 zoo zoo zoo 11", "row 1: 3 words, not 4"), ("x" * 70000, "at most")],
        *[("zoo " * 25, "24 words, this has 25"), ("zoo \x1b[31m", "row 1: '.x1b")],
    ],
)
def test_what_is_no_key_is_a_usage_error(text: str, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        parse_recovery_key(text)


@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from(["zoo", "1", "07", "-", "#", "²"])).map(" ".join)
)
def test_no_text_raises_anything_but_our_errors(text: str) -> None:
    with pytest.raises(HoldfastError):
        parse_recovery_key(text)


@pytest.mark.parametrize("text", [FILE, BASE32, "\n".join(ROWS)])
def test_mutated_files_give_the_key_or_our_errors(text: str, seed: int) -> None:
    def parse(data: bytes) -> None:
        assert parse_recovery_key(data.decode("utf-8", "replace")) == RECOVERY_KEY

    if text == FILE:
        text = FILE.split("\n\n")[1]  # remarks take no harm: mutate only what counts
    assert_survives(parse, text.encode(), seed)


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("abandom", ": did you mean abandon or random?"), ("qqqq", "")],
)
def test_near_words_are_suggested_for_a_strange_one(typed: str, hint: str) -> None:
    rows = [*ROWS[:2], ROWS[2].replace(WORDS[2][1], typed), *ROWS[3:]]
    with pytest.raises(UsageError) as caught:
        parse_recovery_key("\n".join(rows))
    assert str(caught.value) == f"row 3: '{typed}' is not a word of recovery keys{hint}"
