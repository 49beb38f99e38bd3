"""Names of machines and points: what is allowed, and both spellings of a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import IntegrityError, UsageError
from appliance.base.text import printable
from appliance.formats.names import (
    PointName,
    PointSelector,
    parse_machine_name,
)

TIME = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
times = st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(microsecond=0))
machines = st.from_regex(r"[a-zäß日7](?:[a-z._ -]{0,62}[a-z.])?", fullmatch=True)


@pytest.mark.parametrize(
    "name", ["a", "7", "web1", "Büro 1", "x..", "日本語", "a-b_c.d", "x" * 64, "ά٣"]
)
def test_an_allowed_name_stays_as_it_is(name: str) -> None:
    assert parse_machine_name(name) == name


def test_a_decomposed_letter_becomes_one_letter() -> None:
    assert parse_machine_name("Bu\u0308ro") == "B\u00fcro"


@pytest.mark.parametrize(
    "name",
    [
        *["", " ", ".", "..", "-a", "_a", ".a", " a", "a ", "a/b", "a@b", "a\\b", "a\0b", "a\nb"],
        *["x" * 65, "a\u0335", "\u0308a", "a\u202eb", "a\u200bb", "a\u00a0b", "a\udc80", "½", "a²"],
        *["a\tb", "a;b", "a'b", "😀", "a\u2028b", "x" * 100000],
    ],
)
def test_a_forbidden_name_is_refused_with_the_rule_in_one_clean_line(name: str) -> None:
    with pytest.raises(UsageError, match="1 to 64 letters, digits") as caught:
        parse_machine_name(name)
    assert printable(str(caught.value)) == str(caught.value)
    assert len(str(caught.value)) < 1200


@given(st.text(max_size=70))
def test_any_text_is_a_stable_name_or_a_usage_error(text: str) -> None:
    try:
        name = parse_machine_name(text)
    except UsageError:
        return
    assert parse_machine_name(name) == name


def test_a_point_name_has_its_two_spellings() -> None:
    name = PointName("web1", TIME)
    assert str(name) == "web1@2026-11-21T09:30:00Z"
    assert name.directory_time == "2026-11-21T09:30:00Z"
    assert name.file_time == "20261121T093000Z"


@given(machines, times)
def test_point_names_read_what_they_write(machine: str, time: datetime) -> None:
    name = PointName(parse_machine_name(machine), time)
    assert PointName.parse(str(name)) == name
    assert PointName.from_file_time(name.machine, name.file_time) == name
    assert PointSelector.parse(str(name)) == PointSelector(name.machine, time)


def test_point_names_sort_by_machine_then_time() -> None:
    later = TIME + timedelta(seconds=1)
    names = [PointName("b", TIME), PointName("a", later), PointName("a", TIME)]
    assert sorted(names) == [PointName("a", TIME), PointName("a", later), PointName("b", TIME)]


def test_latest_is_a_selector_but_no_name() -> None:
    assert PointSelector.parse("web1@latest") == PointSelector("web1", None)
    assert str(PointSelector("web1", None)) == "web1@latest"
    with pytest.raises(UsageError, match="web1@2026"):
        PointName.parse("web1@latest")


@pytest.mark.parametrize(
    "text",
    [
        *["", "web1", "@latest", "web1@", "web1@Latest", "web1@2026-11-21", "a@b@latest"],
        *["web1@2026-02-30T00:00:00Z", "web1@2026-11-21T09:30:60Z", "web1@0000-01-01T00:00:00Z"],
        *["web1@2026-11-21T09:30:00+00:00", "web1@20261121T093000Z", "web1@2026-11-21T09:30:00Z\n"],
        *["web1@٢026-11-21T09:30:00Z", "../x@latest", "w\x1bb@latest", "w" * 100000],
    ],
)
def test_a_wrong_point_is_a_usage_error(text: str) -> None:
    for parse in (PointSelector.parse, PointName.parse):
        with pytest.raises(UsageError) as caught:
            parse(text)
        assert printable(str(caught.value)) == str(caught.value)


def test_a_wrong_point_is_answered_with_an_example() -> None:
    with pytest.raises(UsageError, match=r"web1@2026-11-21T09:30:00Z.* or 'web1@latest'"):
        PointSelector.parse("web1")


@pytest.mark.parametrize("text", ["", "x", "20261321T093000Z", "2026-11-21T09:30:00Z", ".tmp-12"])
def test_a_foreign_file_is_no_point(text: str) -> None:
    with pytest.raises(IntegrityError):
        PointName.from_file_time("web1", text)


@pytest.mark.parametrize(
    "time",
    [
        datetime(2026, 11, 21),
        TIME.replace(microsecond=1),
        TIME.astimezone(timezone(timedelta(hours=1))),
    ],
)
def test_a_point_name_takes_only_whole_seconds_in_utc(time: datetime) -> None:
    with pytest.raises(ValueError, match="UTC in whole seconds"):
        PointName("web1", time)
