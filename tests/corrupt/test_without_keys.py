"""The ciphertext can be checked by name where no key is: a locked box, a store without any keys."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.command import Holdfast, HoldfastHere
from tests.corrupt.shop import Shop
from tests.crash.operations import container_files


@pytest.fixture
def locked(shop: Shop) -> Holdfast:
    """A store whose box key is gone."""
    (shop.state / "box.key").unlink()
    return shop.holdfast


def loose(state: Path, *names: str) -> None:
    for name in names:
        path = state / "store" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


LOSSES = {
    "locked": (),
    "no wraps": ("keys",),
    "no descriptor": ("store.json",),
    "nothing but containers": ("keys", "store.json", "points", "index", "locks", "leases"),
}


@pytest.mark.parametrize("losses", LOSSES.values(), ids=LOSSES)
def test_sound_ciphertext_is_sound_without_a_key(locked: Holdfast, losses: tuple[str, ...]) -> None:
    loose(locked.state, *losses)
    before = set(locked.state.rglob("*"))
    report = locked("--json", "verify", "--depth", "ciphertext", expect=0)
    found = report.json()
    assert found["sound"]
    assert found["without_key"]
    assert found["checked_containers"] == len(container_files(locked.state)) > 0
    assert "without the key only containers are checked" in report.err
    assert set(locked.state.rglob("*")) == before


@pytest.mark.parametrize("losses", LOSSES.values(), ids=LOSSES)
def test_a_flipped_byte_is_found_without_a_key(
    locked: Holdfast, losses: tuple[str, ...], seed: int
) -> None:
    loose(locked.state, *losses)
    container = random.Random(seed).choice(sorted(container_files(locked.state)))
    data = bytearray(container.read_bytes())
    data[seed % len(data)] ^= 1
    container.write_bytes(data)
    report = locked("--json", "verify", "--depth", "ciphertext", expect=4).json()
    assert [damage["what"] for damage in report["damages"]] == [f"container {container.name}"]
    assert container.exists()


@pytest.mark.parametrize("arguments", [[], ["--depth", "structure"], ["--depth", "full"]])
def test_the_other_depths_ask_for_the_key(locked: Holdfast, arguments: list[str]) -> None:
    refused = locked("verify", *arguments, expect=8)
    assert len(refused.err.strip().splitlines()) == 1


def test_a_wrong_passphrase_is_an_error_though_none_is_needed(
    locked: Holdfast, tmp_path: Path
) -> None:
    (tmp_path / "wrong").write_text("wrong\n")
    wrong = ("--passphrase-file", tmp_path / "wrong")
    locked(*wrong, "verify", "--depth", "ciphertext", expect=8)


def test_where_nothing_is_nothing_is_sound(tmp_path: Path) -> None:
    HoldfastHere(tmp_path / "nowhere")("verify", "--depth", "ciphertext", expect=5)
