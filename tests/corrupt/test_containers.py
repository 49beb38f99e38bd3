"""Every part of a container x every damage: the exact error, and exactly what is lost with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.base.progress import Progress
from appliance.native import KIND_DATA, KIND_DELTA, KIND_PAGE
from appliance.store.checks import Depth
from appliance.store.impact import HURT_RANGES_MAX
from appliance.store.quarantine import Quarantine
from appliance.store.store import Store
from appliance.store.verify import Report, Verification
from tests.conftest import SEED
from tests.corrupt.samples import Anatomy, Sample, dissect
from tests.crash.operations import content, open_store
from tests.store.stores import TIME

KINDS = [pytest.param(KIND_DATA, id="data"), pytest.param(KIND_PAGE, id="pages")]
DEPTHS: tuple[Depth, ...] = ("structure", "ciphertext", "full")
ALL, NOTHING = -1, -2
AUTHENTICATE = "container directory: does not authenticate"
FORMAT = "container directory: does not follow the format"
TRAILER = "has a damaged trailer"
SIZE = "has an impossible size of"
CHUNKS = "is not what was written"


# part -> (offset, frame that is lost, what whoever opens the directory says)
Place = Callable[[Anatomy], int]
PARTS: dict[str, tuple[Place, int, str]] = {
    "magic": (lambda _: 3, ALL, FORMAT),
    "version": (lambda _: 8, ALL, FORMAT),
    "kind": (lambda _: 10, ALL, FORMAT),
    "key epoch": (lambda _: 11, ALL, FORMAT),
    "zeros of the header": (lambda _: 13, ALL, AUTHENTICATE),
    "container id": (lambda _: 20, ALL, AUTHENTICATE),
    "end of the header": (lambda _: 50, ALL, AUTHENTICATE),
    "first frame": (lambda _: 64, 0, ""),
    "tag of the first frame": (lambda it: 64 + it.frames[0][1] - 1, 0, ""),
    "last frame": (lambda it: it.frames[-1][0] + 5, -3, ""),
    "directory": (lambda it: it.directory + 9, ALL, AUTHENTICATE),
    "tag of the directory": (lambda it: it.size_bytes - 33, ALL, AUTHENTICATE),
    "directory offset": (lambda it: it.size_bytes - 32, ALL, TRAILER),
    "directory length": (lambda it: it.size_bytes - 24, ALL, TRAILER),
    "trailer's magic": (lambda it: it.size_bytes - 16, ALL, TRAILER),
    "end of the trailer": (lambda it: it.size_bytes - 2, NOTHING, ""),
}


def verify(state: Path, depth: Depth) -> Report:
    return Verification(open_store(state), Progress(), depth).run()


def expect(sample: Sample, state: Path, report: Report, lost: set[bytes]) -> None:
    """The report names exactly the bytes that are lost; they are zeros, and all else is right."""
    expected = sample.lost_with(lost)
    found = report.assessment
    assert found is not None
    assert {hurt.point for hurt in found.hurts.values()} == set(expected)
    for hurt in found.hurts.values():
        ranges = expected[hurt.point]
        assert hurt.hurt_bytes == sum(length for _, length in ranges)
        assert hurt.ranges == [(0, *one) for one in ranges][:HURT_RANGES_MAX]
    for name in sample.images.keys() - expected.keys():
        assert content(state, name) == sample.images[name]


def damage(store: Store, name: bytes, change: Callable[[bytearray], object]) -> None:
    path = store.layout.container(name)
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit(sample: Sample, state: Path, kind: int, part: str) -> None:
    store, name = sample.copy(state), sample.container(kind)
    anatomy = dissect(store, name)
    place, frame, reason = PARTS[part]

    flipped_kind = kind ^ 1 << SEED % 8
    if part == "kind" and flipped_kind in (KIND_DATA, KIND_PAGE, KIND_DELTA):
        reason = AUTHENTICATE  # there is such a kind: what was signed is another

    def flip(data: bytearray) -> None:
        data[place(anatomy)] ^= 1 << SEED % 8

    damage(store, name, flip)
    lost: set[bytes] = set()
    if frame == ALL:
        lost = set(anatomy.ids)
    elif frame != NOTHING:
        lost = anatomy.ids_of(frame if frame >= 0 else len(anatomy.frames) - 1)
    for depth in DEPTHS:
        report = verify(state, depth)
        if depth == "structure" and not reason:
            # Only pages are read at this depth: what cannot be read of them is lost.
            assert report.faults == ()
            if kind == KIND_PAGE:
                expect(sample, state, report, lost)
            else:
                assert report.is_sound
            continue
        (fault,) = report.faults
        assert fault.name == name
        assert fault.reason.startswith(f"container {name.hex()}")
        assert (reason or CHUNKS) in fault.reason
        expect(sample, state, report, lost)


SHAPES: dict[str, tuple[Callable[[bytearray], object], str]] = {
    "one byte less": (lambda data: data.pop(), TRAILER),
    "half": (lambda data: data.__delitem__(slice(len(data) // 2, None)), TRAILER),
    "header and trailer": (lambda data: data.__delitem__(slice(64, -32)), SIZE),
    "empty": (lambda data: data.clear(), SIZE),
    "one byte more": (lambda data: data.append(0), TRAILER),
    "twice": (lambda data: data.extend(data), TRAILER),
    "too large": (lambda data: data.extend(bytes(33 << 20)), SIZE),
    "zeros": (lambda data: data.__setitem__(slice(None), bytes(len(data))), TRAILER),
    "a torn sector": (lambda data: data.__setitem__(slice(0, 512), bytes(512)), FORMAT),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_another_length_or_content(sample: Sample, state: Path, kind: int, shape: str) -> None:
    store, name = sample.copy(state), sample.container(kind)
    lost = set(dissect(store, name).ids)
    change, reason = SHAPES[shape]
    damage(store, name, change)
    for depth in DEPTHS:
        report = verify(state, depth)
        (fault,) = report.faults
        assert (fault.name, fault.bad, fault.is_certain) == (name, None, True)
        assert reason in fault.reason
        expect(sample, state, report, lost)


PAIRS = {"data": (KIND_DATA, KIND_DATA), "re-typed": (KIND_DATA, KIND_PAGE)}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_swapped(sample: Sample, state: Path, pair: tuple[int, int]) -> None:
    """Each is sound under the other's name: both are named, all in them is saved."""
    store = sample.copy(state)
    first = sample.container(pair[0])
    second = sample.container(pair[1], place=1 if pair[0] == pair[1] else 0)
    paths = [store.layout.container(name) for name in (first, second)]
    contents = [path.read_bytes() for path in paths]
    for path, other in zip(paths, reversed(contents), strict=True):
        path.write_bytes(other)
    for depth in ("ciphertext", "full"):
        report = verify(state, depth)
        assert {fault.name for fault in report.faults} == {first, second}
        assert all("is not what was written" in fault.reason for fault in report.faults)
    Quarantine(open_store(state), TIME, Progress()).treat(report.faults)
    after = verify(state, "full")
    assert after.is_sound
    expect(sample, state, after, set())


@pytest.mark.parametrize("kind", KINDS)
def test_misdirected(sample: Sample, state: Path, kind: int) -> None:
    """One lies where another should: what was there is lost, itself it is whole."""
    store, name = sample.copy(state), sample.container(kind)
    lost = set(dissect(store, name).ids)
    other = sample.container(KIND_DATA, place=1)
    store.layout.container(name).write_bytes(store.layout.container(other).read_bytes())
    for depth in ("ciphertext", "full"):
        report = verify(state, depth)
        assert [fault.name for fault in report.faults] == [name]
        expect(sample, state, report, lost)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["another folder", "another name", "nowhere"])
def test_missing(sample: Sample, state: Path, kind: int, place: str) -> None:
    """A container under a name that is none does not exist."""
    store, name = sample.copy(state), sample.container(kind)
    lost = set(dissect(store, name).ids)
    path = store.layout.container(name)
    if place == "another folder":
        elsewhere = store.layout.containers / f"{(name[0] + 1) % 256:02x}"
        path.rename(elsewhere / name.hex())
    elif place == "another name":
        path.rename(path.with_name(name.hex().upper()))
    else:
        path.unlink()
    for depth in DEPTHS:
        report = verify(state, depth)
        assert report.faults == ()
        assert report.missing == ((name, f"container {name.hex()} is missing"),)
        expect(sample, state, report, lost)
