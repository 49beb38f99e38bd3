"""Machines and points as pages ask for them."""

from __future__ import annotations

from pathlib import Path

from appliance.catalog.listing import Listing

TIMES = [f"2026-01-01T{hour:02}:00:00Z" for hour in range(24)]


def fill(listing: Listing, machine: str) -> None:
    rows = [(machine, at, f"stamp {at}", {"name": f"{machine}@{at}", "time": at}) for at in TIMES]
    listing.put(rows, (), [{"name": machine, "points": len(TIMES)}])


def test_pages_come_newest_first_and_make_the_whole(tmp_path: Path) -> None:
    listing = Listing(tmp_path / "listing.sqlite")
    fill(listing, "a")
    fill(listing, "b")
    found: list[str] = []
    before = None
    while page := listing.page("a", before=before, limit=5):
        found += [row["time"] for row in page]
        before = page[-1]["time"]
    assert found == sorted(TIMES, reverse=True)
    assert [row["time"] for row in listing.page("a", since=TIMES[-2])] == found[:2]
    listing.close()


def test_what_is_gone_goes_and_what_was_put_stays(tmp_path: Path) -> None:
    path = tmp_path / "listing.sqlite"
    listing = Listing(path)
    fill(listing, "a")
    fill(listing, "b")
    listing.put((), [("a", TIMES[0])], (), ["b"])
    listing.put_note("learned", 7)
    listing.close()
    listing = Listing(path)
    assert listing.point("a", TIMES[0]) is None
    assert listing.point("a", TIMES[1]) == {"name": f"a@{TIMES[1]}", "time": TIMES[1]}
    assert [row["name"] for row in listing.machines()] == ["a"]
    assert len(listing.stamps("a")) == len(TIMES) - 1
    assert listing.note("learned") == 7
    listing.close()


def test_a_reader_sees_what_another_process_wrote(tmp_path: Path) -> None:
    path = tmp_path / "listing.sqlite"
    reader, writer = Listing(path), Listing(path)
    before = reader.version()
    fill(writer, "a")
    assert reader.version() != before
    assert len(reader.machines()) == 1
    reader.close()
    writer.close()


def test_a_spoiled_file_is_replaced_by_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "listing.sqlite"
    path.write_bytes(b"spoiled" * 1000)
    listing = Listing(path)
    assert listing.machines() == []
    listing.close()
