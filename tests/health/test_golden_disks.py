"""What is said of each recorded shape is fixed, field by field."""

from __future__ import annotations

import json

from tests.health.shapes import GOLDEN, SHAPES, write_golden


def test_recorded_disks_read_as_they_always_did() -> None:
    golden = dict(json.loads(line) for line in GOLDEN.read_text().splitlines())
    now = dict(json.loads(line) for line in write_golden().splitlines())
    assert golden.keys() == SHAPES.keys()
    for name, said in golden.items():
        assert now[name] == said, f"{name}: if meant so, python -m tests.health.shapes"


def test_twenty_shapes_and_more_are_recorded() -> None:
    assert len(SHAPES) >= 40
    assert {shape.make().protocol for shape in SHAPES.values()} == {"ata", "nvme", "scsi"}
