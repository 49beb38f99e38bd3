"""Which ranges of a stored disk are zeros, against the disk itself."""

from __future__ import annotations

import random
from pathlib import Path

from appliance.recovery.zero_runs import list_runs
from tests.command import Holdfast
from tests.images import MIB, mixed_image


def test_runs_cover_what_was_asked_and_zeros_are_zeros(
    holdfast: Holdfast, tmp_path: Path, seed: int
) -> None:
    from appliance.formats.names import PointName
    from appliance.keys import keyring
    from appliance.store.store import Store

    image = mixed_image(seed, 10) + bytes(30 * MIB) + mixed_image(seed + 1, 2) + b"x" * 77
    (tmp_path / "disk").write_bytes(image)
    holdfast("init", "--recovery-out", tmp_path / "recovery.txt", expect=0)
    made = holdfast("--json", "backup", tmp_path / "disk", "--machine", "web1", expect=0).json()
    store = Store(holdfast.state, keyring.load_master_key(holdfast.state, None))
    manifest = store.points.open(PointName.parse(made["name"]))
    extent_map = store.extent_map(manifest.disks[0])
    chooser = random.Random(seed)
    for _ in range(50):
        offset = chooser.randrange(len(image))
        length = chooser.randrange(1, len(image))
        runs = list_runs(extent_map, offset, length)
        assert runs
        assert sum(count for count, _ in runs) == min(length, len(image) - offset)
        for count, has_data in runs:
            assert count > 0
            assert has_data or not any(image[offset : offset + count])
            offset += count
    zeros = sum(count for count, has_data in list_runs(extent_map, 0, len(image)) if not has_data)
    assert zeros >= 28 * MIB
