"""A builder with a key of its own, and a box that trusts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.updates.releases import Releases
from tests.updates.releasing import Builder


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path / "builder")


@pytest.fixture
def releases(builder: Builder, tmp_path: Path, state: Path) -> Releases:
    """A box whose only release is 1.0.0."""
    return builder.make_box(tmp_path / "root", builder.build("1.0.0"), state)
