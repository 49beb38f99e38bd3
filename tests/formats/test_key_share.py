"""A share in every spelling that people may type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import AccessError, HoldfastError, UsageError
from appliance.formats.key_share import KeyShare, format_share, is_share, parse_share
from appliance.formats.recovery_key import format_recovery_file
from tests.formats.examples import DESCRIPTOR, RECOVERY_KEY, assert_survives, read_golden

FILE = read_golden("share-2.txt").decode()
LINE = FILE.splitlines()[-1]
TYPED = LINE.removeprefix("share: ")

shares = st.builds(
    KeyShare,
    st.integers(1, 3),
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=4, max_size=4),
)


def written(share: KeyShare) -> str:
    return format_share(
        share, store_id=DESCRIPTOR.store_id, created=DESCRIPTOR.created, name="00010203 (bank)"
    )


def test_the_golden_file_is_what_is_written() -> None:
    assert written(parse_share(FILE)) == FILE


@given(shares)
def test_every_share_is_read_back_in_every_spelling(share: KeyShare) -> None:
    text = written(share)
    line = text.splitlines()[-1]
    bare = line.removeprefix("share: ")
    for spelling in [
        text,
        text.upper(),
        line,
        bare.lower(),
        bare.replace("-", ""),
        bare.replace("-", " "),
        bare.replace("-", "\r\n"),
    ]:
        assert is_share(spelling)
        assert parse_share(spelling) == share


def test_a_recovery_key_is_no_share() -> None:
    text = format_recovery_file(RECOVERY_KEY, store_id="ab" * 16, created="2026")
    assert not is_share(text)
    with pytest.raises(UsageError, match=r"^not a share of a recovery key"):
        parse_share(text)


@pytest.mark.parametrize("text", ["", "share:", f"{LINE}A", LINE[:-1], LINE.replace("-", "1"), "é"])
def test_what_has_another_length_or_letters_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_share(text)
    assert str(caught.value) == ("not a share of a recovery key: it has 72 characters A-Z and 2-7")


def test_two_shares_in_one_file_are_refused() -> None:
    with pytest.raises(UsageError, match="each in a file of its own"):
        parse_share(f"{LINE}\n{LINE}\n")


def test_a_huge_file_is_refused() -> None:
    with pytest.raises(UsageError, match="at most"):
        parse_share("A" * 100_000)


def test_every_mistyped_letter_is_found_and_none_is_shown() -> None:
    for at, letter in enumerate(TYPED):
        if letter != "-":
            wrong = TYPED[:at] + ("B" if letter == "A" else "A") + TYPED[at + 1 :]
            with pytest.raises(AccessError) as caught:
                parse_share(wrong)
            assert str(caught.value) == (
                "the share's checksum does not match: compare it with the paper"
            )


@given(shares)
def test_swapped_groups_are_found(share: KeyShare) -> None:
    groups = written(share).splitlines()[-1].removeprefix("share: ").split("-")
    swapped = [groups[1], groups[0], *groups[2:]]
    if swapped != groups:
        with pytest.raises(HoldfastError):
            parse_share("-".join(swapped))


def test_there_is_no_share_four() -> None:
    with pytest.raises(AccessError, match="no share 4"):
        parse_share(written(KeyShare(4, bytes(4), bytes(32), bytes(4))))


def test_mutated_shares_raise_nothing_but_our_errors(seed: int) -> None:
    assert_survives(lambda data: parse_share(data.decode("utf-8", "replace")), LINE.encode(), seed)


def test_a_share_does_not_show_what_it_shares() -> None:
    assert "data" not in repr(parse_share(FILE))
