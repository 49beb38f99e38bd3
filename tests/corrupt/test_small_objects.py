"""Every other object of a store x every damage: what it costs, and that it costs nothing else."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Set
from pathlib import Path

import pytest

from appliance.base.errors import AccessError, HoldfastError, IntegrityError
from appliance.base.progress import Progress
from appliance.catalog.catalog import Catalog
from appliance.catalog.point_list import list_points
from appliance.formats.names import PointName
from appliance.formats.recovery_key import parse_recovery_key
from appliance.keys import keyring
from appliance.store.store import Store
from appliance.store.verify import Verification
from tests.conftest import SEED
from tests.corrupt.samples import Sample, make_sample
from tests.crash.operations import back_up, collect, content, open_store
from tests.images import write_image

Change = Callable[[bytes, random.Random], bytes]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    made = make_sample(tmp_path_factory.mktemp("sample"), SEED)
    with Catalog(made.state / "catalog.db") as catalog:
        list_points(open_store(made.state), catalog)
    return made


def flip(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :]


CHANGES: dict[str, Change] = {
    "flipped": flip,
    "flipped again": flip,
    "flipped once more": flip,
    "one byte less": lambda data, _: data[:-1],
    "half": lambda data, _: data[: len(data) // 2],
    "empty": lambda *_: b"",
    "one byte more": lambda data, _: data + b"x",
    "twice": lambda data, _: data + data,
    "zeros": lambda data, _: bytes(len(data)),
    "garbage": lambda data, chance: chance.randbytes(len(data)),
    "JSON of another kind": lambda *_: b'[{"format": 1}]',
    "deep": lambda *_: b"[" * 50_000,
}


def check(sample: Sample, state: Path, lost: Set[PointName] = frozenset()) -> None:
    """All points but the lost ones are whole, by their own words and bit for bit."""
    for name in sample.images.keys() - lost:
        assert content(state, name) == sample.images[name]
    report = Verification(open_store(state), Progress(), "structure").run()
    assert report.assessment is not None
    assert report.assessment.hurts == {}
    assert len(report.assessment.unreadable) == len(lost)


# ---- points -------------------------------------------------------------------------------------


def refuse(store: Store, name: PointName, reason: str = "is damaged") -> None:
    with pytest.raises(IntegrityError, match=f"point file .*{reason}") as caught:
        store.points.open(name)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_point_costs_itself(sample: Sample, state: Path, change: str) -> None:
    store, name = sample.copy(state), max(sample.images)
    path = store.layout.points / store.points.file_of(name).key
    path.write_bytes(CHANGES[change](path.read_bytes(), random.Random(f"{SEED} {change}")))
    refuse(store, name)
    check(sample, state, {name})
    # What it needs is unknown: nothing is freed.
    with pytest.raises(IntegrityError, match="nothing was freed"):
        collect(state)


@pytest.mark.parametrize("place", ["another time", "another machine", "swapped"])
def test_a_misdirected_point_is_no_other(sample: Sample, state: Path, place: str) -> None:
    store = sample.copy(state)
    first, second, other = sorted(sample.images)
    target = other if place == "another machine" else second
    paths = [store.layout.points / store.points.file_of(name).key for name in (first, target)]
    before = [path.read_bytes() for path in paths]
    paths[1].write_bytes(before[0])
    refuse(store, target, "it says that it is")
    if place == "swapped":
        paths[0].write_bytes(before[1])
        refuse(store, first, "it says that it is")
    check(sample, state, {target, first} if place == "swapped" else {target})


# ---- keys ---------------------------------------------------------------------------------------


def is_right_or_refused(sample: Sample, state: Path) -> None:
    """Either the right key comes out, or one line of the error tree says why not."""
    refused = ""
    try:
        store = open_store(state)
    except (AccessError, IntegrityError) as error:
        refused = str(error)
    except HoldfastError as error:
        refused = str(error) if "newer" in str(error) else ""
    if refused:
        assert len(refused.splitlines()) == 1
    else:
        name = min(sample.images)
        assert store.points.open(name).name == name, "a wrong key was taken for the right one"


def recovers(sample: Sample, state: Path) -> None:
    key = parse_recovery_key((sample.state.parent / "key").read_text())
    store = Store(state, keyring.open_with_recovery_key(state, key)[0])
    assert store.points.open(min(sample.images)).name == min(sample.images)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("file", ["box.key", "store/keys/box.json"])
def test_a_damaged_daily_key_leaves_the_recovery_key(
    sample: Sample, state: Path, file: str, change: str
) -> None:
    shutil.copytree(sample.state, state)
    path = state / file
    path.write_bytes(CHANGES[change](path.read_bytes(), random.Random(f"{SEED} {change}")))
    is_right_or_refused(sample, state)
    recovers(sample, state)
    shutil.copy(sample.state / file, path)
    check(sample, state)


@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_recovery_wrap_leaves_the_daily_key(
    sample: Sample, state: Path, change: str
) -> None:
    store = sample.copy(state)
    path = state / "store" / "keys" / "recovery.json"
    path.write_bytes(CHANGES[change](path.read_bytes(), random.Random(f"{SEED} {change}")))
    assert store.points.open(min(sample.images)).name == min(sample.images)
    check(sample, state)


def test_swapped_wraps_open_as_before(sample: Sample, state: Path) -> None:
    """The names of the files have no meaning."""
    shutil.copytree(sample.state, state)
    keys = state / "store" / "keys"
    (keys / "box.json").rename(keys / "aside")
    (keys / "recovery.json").rename(keys / "box.json")
    (keys / "aside").rename(keys / "recovery.json")
    recovers(sample, state)
    check(sample, state)


@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_descriptor_opens_nothing_wrong(sample: Sample, state: Path, change: str) -> None:
    shutil.copytree(sample.state, state)
    path = state / "store" / "store.json"
    path.write_bytes(CHANGES[change](path.read_bytes(), random.Random(f"{SEED} {change}")))
    is_right_or_refused(sample, state)
    shutil.copy(sample.state / "store" / "store.json", path)
    check(sample, state)


# ---- what is derived, or lives for a moment -----------------------------------------------------

DERIVED = {
    "index run": "store/index/*.run",
    "index list": "store/index/current.json",
    "catalog": "catalog.db",
    "scrub's memory": "store/scrub.json",
    "findings": "store/findings.json",
    "lease": "store/leases/reader-1-dead",
    "reserve": "store/reserve",
    "leftover": "store/incoming/.tmp-dead",
}
EXAMPLES = {
    "store/scrub.json": b'{"format": 1, "read_s": {"ab": 1}, "folder": "", "after": "", '
    b'"owed": 1.5, "called_s": 1, "walked_s": 1}',
    "store/findings.json": b'{"format": 1, "findings": [], "hurt": {"a/b.point": 5}}',
    "store/leases/reader-1-dead": b'{"kind": "reader", "pid": 1, "pins": ["a/b.point"]}',
    "store/reserve": bytes(100),
    "store/incoming/.tmp-dead": b"half a container",
}


@pytest.mark.parametrize(
    ("pattern", "change"),
    [
        pytest.param(pattern, change, id=f"{name} {change}")
        for name, pattern in DERIVED.items()
        for change in CHANGES
        # A run has no checksum: one flipped bit in it hides a chunk, which is then stored again.
        if not (name == "index run" and change.startswith("flipped"))
    ],
)
def test_damage_of_what_is_derived_costs_nothing(
    sample: Sample, state: Path, tmp_path: Path, pattern: str, change: str
) -> None:
    shutil.copytree(sample.state, state)
    if pattern in EXAMPLES:
        (state / pattern).write_bytes(EXAMPLES[pattern])
    paths = list(state.glob(pattern))
    assert paths
    for path in paths:
        path.write_bytes(CHANGES[change](path.read_bytes(), random.Random(f"{SEED} {change}")))
    with Catalog(state / "catalog.db") as catalog:
        listed = list_points(open_store(state), catalog)
    assert {point.name for point in listed.points} == {str(name) for name in sample.images}
    image = next(iter(sample.images.values()))
    again = back_up(state, write_image(tmp_path / "disk.raw", bytearray(image)), "again")
    assert again.new_bytes == 0, "what the store holds was stored again"
    assert content(state, again.name) == image
    check(sample, state)
    collect(state)
    check(sample, state)


@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_condemned_list_frees_nothing_that_is_needed(
    sample: Sample, state: Path, change: str
) -> None:
    shutil.copytree(sample.state, state)
    path = state / "store" / "condemned.json"
    sentence = b'{"since": "2026-11-21T09:30:00Z", "writers": null}'
    text = b'{"format": 2, "containers": {"%s": %s}}' % (b"ab" * 32, sentence)
    path.write_bytes(CHANGES[change](text, random.Random(f"{SEED} {change}")))
    refused = ""
    try:
        collect(state)
    except IntegrityError as error:
        refused = str(error)
    assert refused in ("", f"{path} is damaged: delete it, nothing is lost")
    if refused:
        path.unlink()
    check(sample, state)
