"""Leases: they die with their process, pin points, and are seen by everybody."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from pathlib import Path

import pytest

from appliance.base.durable import TEMPORARY_PREFIX
from appliance.base.errors import BusyError, HoldfastError, NoSpaceError
from appliance.store import leases
from appliance.store.layout import RESERVE_STEP_BYTES, Layout
from appliance.store.leases import Kind, Lease, LeaseView, living, writer_lease
from tests.store.stores import make_store, start_python

HOLD = """
import select, sys
from pathlib import Path
from appliance.store.layout import Layout
from appliance.store.leases import Lease
lease = Lease(Layout(Path(sys.argv[1])), sys.argv[2])
for pin in sys.argv[3:]:
    lease.pin(pin)
print("held", flush=True)
while not select.select([sys.stdin], [], [], 0 if sys.argv[3:] else None)[0]:
    for pin in sys.argv[3:]:
        lease.pin(pin)
    for pin in sys.argv[3:]:
        lease.unpin(pin)
"""


@pytest.fixture
def layout(state: Path) -> Layout:
    return make_store(state).layout


def views(layout: Layout) -> list[LeaseView]:
    return [view for _, view in living(layout.leases)]


def files(layout: Layout) -> list[str]:
    return sorted(os.listdir(layout.leases))


class Holder:
    """Another process with a lease, until it is let go or killed."""

    def __init__(self, layout: Layout, kind: Kind, *pins: str) -> None:
        self.process = start_python(HOLD, layout.state, kind, *pins)
        assert self.process.read_line() == b"held\n"

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


def test_a_lease_is_seen_until_it_is_given_back(layout: Layout) -> None:
    with Lease(layout, "reader") as lease:
        lease.pin("a/b.point")
        assert views(layout) == [LeaseView("reader", os.getpid(), frozenset({"a/b.point"}))]
    assert views(layout) == []
    assert files(layout) == []
    lease.release()  # a second time is fine


def test_a_lease_of_another_process_is_seen_and_dies_with_it(layout: Layout) -> None:
    with Holder(layout, "writer", "a/b.point") as holder:
        pid = holder.process.pid
        assert views(layout) == [LeaseView("writer", pid, frozenset({"a/b.point"}))]
        holder.process.kill()
        holder.process.wait()
        assert len(files(layout)) == 1
        assert views(layout) == []
        assert files(layout) == []


def test_pins_are_counted(layout: Layout) -> None:
    with Lease(layout, "reader") as lease:
        for pin in ("a", "b", "a"):
            lease.pin(pin)
        lease.unpin("a")
        assert views(layout)[0].pins == {"a", "b"}
        lease.unpin("a")
        assert views(layout)[0].pins == {"b"}
        lease.unpin("b")
        assert views(layout)[0].pins == frozenset()


def test_a_lease_that_grew_and_shrank_stays_readable(layout: Layout) -> None:
    with Lease(layout, "reader") as lease:
        names = [f"machine/{number:03}.point" for number in range(200)]
        for name in names:
            lease.pin(name)
        for name in names[1:]:
            lease.unpin(name)
        assert views(layout)[0].pins == {names[0]}


def test_what_many_threads_pin_is_all_there(layout: Layout) -> None:
    def pin(first: int) -> None:
        for number in range(first, first + 50):
            lease.pin(str(number))
            assert {view.pid for view in views(layout)} == {os.getpid()}
            if number % 2:
                lease.unpin(str(number))

    with Lease(layout, "reader") as lease:
        threads = [threading.Thread(target=pin, args=(50 * i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert views(layout)[0].pins == {str(number) for number in range(0, 200, 2)}


def test_pins_are_never_seen_half_written(layout: Layout) -> None:
    """One process pins and unpins as fast as it can, another reads as fast as it can."""
    names = [f"{number:032x}/20261121T093000Z.point" for number in range(100)]
    seen: set[int] = set()
    with Holder(layout, "reader", *names):
        deadline_s = time.monotonic() + 120
        while len(seen) < 5 and time.monotonic() < deadline_s:
            (view,) = views(layout)
            assert view.pins == set(names)
            with (layout.leases / files(layout)[0]).open("rb") as file:
                seen.add(len(file.read().rstrip()))
    assert len(seen) == 5  # it did change


# ---- half-made and foreign files ----------------------------------------------------------------


def test_a_lease_that_is_not_locked_yet_is_left_alone(layout: Layout) -> None:
    path = layout.leases / "writer-1-abc"
    path.touch()
    assert views(layout) == []
    assert files(layout) == ["writer-1-abc"]


def test_a_lease_that_is_not_written_yet_is_waited_for(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_READ_ATTEMPTS", 6000)  # a busy machine's timer may be late
    path = layout.leases / "reader-1-abc"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    text = b'{"kind": "reader", "pid": 1, "pins": []}'
    timer = threading.Timer(0.1, os.pwrite, (descriptor, text, 0))
    timer.start()
    assert views(layout) == [LeaseView("reader", 1, frozenset())]
    timer.join()
    os.close(descriptor)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "reader"}', "\0" * 100])
def test_a_living_lease_that_cannot_be_read_is_busy(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Nothing may be freed while it is unknown what the process needs."""
    monkeypatch.setattr(leases, "_READ_ATTEMPTS", 3)
    path = layout.leases / "reader-1-abc"
    path.write_text(text)
    with path.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match="reader-1-abc"):
            views(layout)
    assert views(layout) == []


def test_a_process_that_dies_before_it_writes_its_lease_is_dead(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_READ_ATTEMPTS", 6000)
    descriptor = os.open(layout.leases / "writer-1-abc", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    timer = threading.Timer(0.1, os.close, (descriptor,))
    timer.start()
    assert views(layout) == []
    timer.join()


def test_a_foreign_folder_among_the_leases_is_passed_over(layout: Layout) -> None:
    (layout.leases / "lost-found").mkdir()
    with Lease(layout, "writer"):
        assert len(views(layout)) == 1


# ---- writers ------------------------------------------------------------------------------------


def test_a_lone_writer_clears_up_after_killed_ones(layout: Layout) -> None:
    half = layout.incoming / f"{TEMPORARY_PREFIX}abc"
    half.write_bytes(b"half a container")
    with Holder(layout, "reader"), writer_lease(layout):
        assert not half.exists()


def test_a_writer_beside_another_leaves_its_files_alone(layout: Layout) -> None:
    with Holder(layout, "writer") as holder:
        half = layout.incoming / f"{TEMPORARY_PREFIX}abc"
        half.write_bytes(b"half a container")
        with writer_lease(layout):
            assert half.exists()
        holder.process.kill()
        holder.process.wait()
        with writer_lease(layout):
            assert not half.exists()


def test_writers_that_start_at_once_are_all_seen(layout: Layout) -> None:
    taken: list[Lease] = []
    threads = [
        threading.Thread(target=lambda: taken.append(writer_lease(layout))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [view.kind for view in views(layout)] == ["writer"] * 8
    for lease in taken:
        lease.release()
    assert files(layout) == []


# ---- a full disk --------------------------------------------------------------------------------


def let_the_disk_be_full(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    real, refused = os.pwrite, [0]

    def write(descriptor: int, data: bytes, offset: int) -> int:
        if refused[0] < times:
            refused[0] += 1
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", write)


def test_a_lease_on_a_full_disk_lives_from_the_reserve(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout.refill_reserve()
    before = layout.reserve.stat().st_size
    let_the_disk_be_full(monkeypatch, 2)
    with Lease(layout, "reader") as lease:
        lease.pin("a")
        assert views(layout)[0].pins == {"a"}
    assert layout.reserve.stat().st_size == before - 2 * RESERVE_STEP_BYTES


def test_a_full_disk_without_reserve_is_an_error(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Lease(layout, "reader")
    let_the_disk_be_full(monkeypatch, 1)
    with pytest.raises(NoSpaceError, match="leases/reader"):
        lease.pin("a")
    lease.release()


def test_a_lease_that_cannot_be_unlinked_is_given_back_all_the_same(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with Lease(layout, "writer"):
            pass
        assert len(files(layout)) == 1
    assert views(layout) == []
    assert files(layout) == []


def test_a_lease_that_cannot_be_written_is_given_back(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int, data: object, offset: int) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        with pytest.raises(HoldfastError, match="Input/output error"):
            Lease(layout, "writer")
    assert files(layout) == []
    assert views(layout) == []


def test_a_lease_is_written_whole_in_short_writes(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: write(file, data[:7], at))
    with Lease(layout, "reader") as lease:
        lease.pin("m/1.point")
        (view,) = views(layout)
        assert view.pins == {"m/1.point"}
