"""Every Python parser meets garbage: it parses, or raises one line of the error tree.

`make test` does 100,000 mutations and 1,000 examples of Hypothesis for each, `make test-slow` ten
times that. Every file in `corpus/` is given to every parser; an input that breaks one is kept.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.base.errors import HoldfastError
from appliance.formats import keyfile, page, point, policy, record
from appliance.formats.changed import parse_changed
from appliance.formats.key_share import parse_share
from appliance.formats.names import PointName, PointSelector, parse_machine_name, parse_time
from appliance.formats.recovery_key import format_recovery_file, parse_recovery_key
from appliance.keys.hierarchy import MasterKey
from appliance.store.findings import Finding, HurtPoint, Record, decode_findings, write_findings
from appliance.store.layout import Layout
from appliance.store.scrub import Memory
from tests.formats.examples import (
    BOX_KEY,
    BRANCH,
    DESCRIPTOR,
    MANIFEST,
    MASTER_SECRET,
    RECOVERY_KEY,
    STORE_ID,
    TIME,
    assert_survives,
    example_wrap,
    mutate,
    read_golden,
)

CORPUS = Path(__file__).parent / "corpus"
MUTATIONS = 100_000
EXAMPLES = 1_000
SLOW = 10
# scrypt's cost is paid by nobody who only parses, so every parser is fast.
_MASTER = MasterKey(MASTER_SECRET, STORE_ID)


def text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(data.decode("utf-8", "replace"))


def findings_example() -> bytes:
    hurt = HurtPoint("ab/20261121T093000Z.point", 5, ((0, 0, 5),))
    finding = Finding("container ab", "gone", "2026-11-21T09:30:00Z", True, 1, (hurt,))
    layout = Layout(Path("/dev/shm") / f"holdfast-{random.randrange(1 << 60):x}")
    layout.root.mkdir(parents=True)
    write_findings(layout, Record((finding,), {hurt.key: 5}))
    data = layout.findings.read_bytes()
    layout.findings.unlink()
    layout.root.rmdir()
    layout.state.rmdir()
    return data


@dataclass(frozen=True)
class Parser:
    """A parser and something it takes."""

    parse: Callable[[bytes], object]
    example: bytes
    refuses: bool = True
    """False for what believes nothing instead of raising."""


PARSERS = {
    "descriptor": Parser(keyfile.decode_descriptor, keyfile.encode_descriptor(DESCRIPTOR)),
    "box wrap": Parser(keyfile.decode_wrap, keyfile.encode_wrap(example_wrap("box"))),
    "passphrase wrap": Parser(keyfile.decode_wrap, keyfile.encode_wrap(example_wrap("passphrase"))),
    "box key": Parser(keyfile.decode_box_key, keyfile.encode_box_key(BOX_KEY)),
    "recovery key": Parser(
        text(parse_recovery_key),
        format_recovery_file(RECOVERY_KEY, store_id="ab" * 16, created="2026").encode(),
        refuses=False,  # remarks take no harm
    ),
    "key share": Parser(text(parse_share), read_golden("share-1.txt")[-90:], refuses=False),
    "leaf": Parser(
        lambda data: page.decode_leaf(data, page.EXTENT_BYTES), read_golden("page-leaf.bin")
    ),
    "branch": Parser(lambda data: page.decode_branch(data, 1, 3), page.encode(BRANCH)),
    "manifest": Parser(point.decode_manifest, point.encode_manifest(MANIFEST)),
    "manifest inside": Parser(
        lambda data: point.decode_manifest(zstandard.compress(data, 1)),
        zstandard.decompress(point.encode_manifest(MANIFEST)),
    ),
    "point header": Parser(point.decode_header, point.encode_header(bytes(range(16)))),
    "point": Parser(_MASTER.open_point, read_golden("point.point")),
    "changed lines": Parser(text(parse_changed), b"0 512\n4096 512 1\n"),
    "changed JSON": Parser(text(parse_changed), b'[{"offset": 512, "length": 1, "disk": 0}]'),
    "machine name": Parser(text(parse_machine_name), "Büro 1".encode(), refuses=False),
    "point name": Parser(text(PointName.parse), b"web1@2026-11-21T09:30:00Z"),
    "point selector": Parser(text(PointSelector.parse), b"web1@2026-11-21T09:30:00Z"),
    "time": Parser(text(parse_time), b"2026-11-21T09:30:00Z", refuses=False),
    "hold": Parser(record.decode_hold, read_golden("hold.json")),
    "trash note": Parser(
        record.decode_trash_note,
        record.encode_trash_note(record.TrashNote(MANIFEST.name, TIME, None)),
    ),
    "backup note": Parser(
        record.decode_backup_note,
        record.encode_backup_note(record.BackupNote("web1", 1, TIME)),
    ),
    "clock mark": Parser(
        record.decode_clock_mark, record.encode_clock_mark(record.ClockMark(TIME, "ab", 1.5))
    ),
    "record header": Parser(record.decode_record_header, record.encode_record_header(bytes(16))),
    "policy": Parser(policy.decode_policy, policy.encode_policy(policy.KEEP_ALL, "web1")),
    "findings": Parser(decode_findings, findings_example(), refuses=False),
    "scrub's memory": Parser(
        Memory.decode, Memory({"ab": 1}, "ab", b"x", 1.5, 1, 1).encode(), refuses=False
    ),
}


def survive(parser: Parser, data: bytes) -> None:
    """Parse, or raise one line of the error tree. What does neither is kept in the corpus."""
    said = ""
    try:
        parser.parse(data)
    except HoldfastError as error:
        said = str(error)
    except Exception:
        (CORPUS / f"broke-{hashlib.sha256(data).hexdigest()[:16]}.bin").write_bytes(data)
        raise
    assert len(said.splitlines()) <= 1


def meet_mutants(name: str, seed: int, count: int) -> None:
    parser, chance = PARSERS[name], random.Random(f"{name} {seed}")
    for _ in range(count):
        survive(parser, mutate(parser.example, chance))
    if parser.refuses:
        assert_survives(parser.parse, parser.example, seed)


def meet_examples(name: str, count: int) -> None:
    parser = PARSERS[name]
    example = parser.example
    spliced = st.builds(
        lambda at, cut, junk: example[: at % (len(example) + 1)] + junk + example[at + cut :],
        st.integers(0, len(example)),
        st.integers(0, 40),
        st.binary(max_size=40),
    )

    @settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(spliced | st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
    def meet(data: bytes) -> None:
        survive(parser, data)

    meet()


@pytest.mark.parametrize("name", PARSERS)
def test_the_corpus_is_survived(name: str) -> None:
    files = sorted(CORPUS.iterdir())
    assert files
    for path in files:
        survive(PARSERS[name], path.read_bytes())


@pytest.mark.parametrize("name", PARSERS)
def test_mutants_are_survived(name: str, seed: int) -> None:
    PARSERS[name].parse(PARSERS[name].example)
    meet_mutants(name, seed, MUTATIONS)


@pytest.mark.parametrize("name", PARSERS)
def test_examples_of_hypothesis_are_survived(name: str) -> None:
    meet_examples(name, EXAMPLES)


@pytest.mark.slow
@pytest.mark.parametrize("name", PARSERS)
def test_ten_times_as_many_mutants_are_survived(name: str, seed: int) -> None:
    meet_mutants(name, seed + 1, SLOW * MUTATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("name", PARSERS)
def test_ten_times_as_many_examples_are_survived(name: str) -> None:
    meet_examples(name, SLOW * EXAMPLES)
