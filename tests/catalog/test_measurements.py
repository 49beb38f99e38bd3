"""What was measured is remembered, in little room."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance.catalog import measurements
from appliance.catalog.catalog import Catalog
from appliance.catalog.measurements import Measurements

START = datetime(2026, 11, 1, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def test_values_come_back_in_order_with_their_times(tmp_path: Path) -> None:
    with Catalog(tmp_path / "catalog.db") as catalog:
        history = Measurements(catalog)
        for number, value in enumerate([0, 0, 0, 8, 8, 16]):
            history.note("disk A", "pending", day(number), value)
        history.note("disk B", "pending", day(0), 5)
    with Catalog(tmp_path / "catalog.db") as catalog:
        history = Measurements(catalog)
        assert history.recall("disk A", "pending", LONG_AGO) == [
            (day(0), 0),
            (day(2), 0),
            (day(3), 8),
            (day(4), 8),
            (day(5), 16),
        ]
        assert history.recall("disk A", "pending", day(1)) == [
            (day(1), 0),
            (day(2), 0),
            (day(3), 8),
            (day(4), 8),
            (day(5), 16),
        ]


def test_every_kind_of_value_of_a_subject_comes_back_by_name(tmp_path: Path) -> None:
    with Catalog(tmp_path / "catalog.db") as catalog:
        history = Measurements(catalog)
        history.note("disk A", "temperature", day(0), 31)
        history.note("disk A", "pending", day(1), 8)
        history.note("disk A", "used", day(-9), 1)
        history.note("disk B", "pending", day(1), 5)
        assert history.recall_all("disk A", day(0)) == {
            "pending": [(day(1), 8)],
            "temperature": [(day(0), 31)],
        }
        assert history.recall_all("disk C", day(0)) == {}


def test_a_value_that_stays_takes_one_row(tmp_path: Path) -> None:
    with Catalog(tmp_path / "catalog.db") as catalog:
        history = Measurements(catalog)
        for hour in range(500):
            history.note("disk A", "pending", day(hour / 24), 3)
        assert len(history.recall("disk A", "pending", LONG_AGO)) == 2
        assert catalog.do(lambda database: database.table("measurements").count) == 1


def test_a_value_that_stays_is_written_once_an_hour(tmp_path: Path) -> None:
    with Catalog(tmp_path / "catalog.db") as catalog:
        history = Measurements(catalog)
        for minute in range(130):
            history.note("disk A", "pending", day(minute / 1440), 3)
        (_, first), (last_seen, last) = history.recall("disk A", "pending", LONG_AGO)
        assert (first, last, last_seen) == (3, 3, day(120 / 1440))


def test_a_clock_that_was_set_back_spoils_nothing(tmp_path: Path) -> None:
    with Catalog(tmp_path / "catalog.db") as catalog:
        history = Measurements(catalog)
        history.note("disk A", "pending", day(5), 3)
        history.note("disk A", "pending", day(1), 9)
        assert history.recall("disk A", "pending", LONG_AGO) == [(day(5), 3)]


def test_history_does_not_grow_without_end(tmp_path: Path) -> None:
    with Catalog(tmp_path / "catalog.db") as catalog:
        history = Measurements(catalog)
        for number in range(measurements.ROWS_MAX + 300):
            history.note("disk A", "written", day(number), number)
        values = history.recall("disk A", "written", LONG_AGO)
        assert len(values) <= measurements.ROWS_MAX
        numbers = [value for _, value in values]
        assert numbers == sorted(numbers)
        assert (numbers[0], numbers[-1]) == (0, measurements.ROWS_MAX + 299)
        assert numbers[-1] - numbers[-500] == 499  # the newer half is whole


def test_threads_may_note_at_once(tmp_path: Path) -> None:
    with Catalog(tmp_path / "catalog.db") as catalog:
        history = Measurements(catalog)

        def note(disk: int) -> None:
            for number in range(20):
                history.note(f"disk {disk}", "pending", day(number), number)

        threads = [threading.Thread(target=note, args=(disk,)) for disk in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(len(history.recall(f"disk {n}", "pending", LONG_AGO)) == 20 for n in range(8))
