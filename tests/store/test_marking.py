"""Marking visits each page once, however many points share it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from appliance.store import marking
from tests.command import Holdfast
from tests.crash.operations import back_up, collect, content
from tests.images import mixed_image, write_image

SIZE_MIB = 12


def count_visits(state: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    visits: list[Sequence[Any]] = []
    read_page = marking.read_page

    def counted(*arguments: Any) -> Any:
        visits.append(arguments)
        return read_page(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(marking, "read_page", counted)
        collect(state)
    return len(visits)


def test_visits_follow_unique_pages_and_not_points(
    tmp_path: Path, state: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Holdfast(state)("init", "--recovery-out", tmp_path / "key", expect=0)
    image = mixed_image(seed, SIZE_MIB)
    path = write_image(tmp_path / "disk.raw", image)
    curve = {}
    name = None
    for points in range(1, 5):
        name = back_up(state, path, "m", base=name).name
        curve[points] = count_visits(state, monkeypatch)
    print("points -> page visits:", curve)
    assert len(set(curve.values())) == 1, curve
    image[0] ^= 0xFF
    name = back_up(state, write_image(path, image), "m", base=name).name
    # The changed extent's page, and the root above it.
    assert count_visits(state, monkeypatch) == curve[1] + 2
    assert content(state, name) == image
