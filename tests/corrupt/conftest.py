"""What damage is done to: stores that are made once, and a copy of one for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.store import layout
from tests.conftest import SEED
from tests.corrupt.samples import Sample, make_sample
from tests.corrupt.shop import Shop


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Copied with `copy`; the tests read it."""
    return make_sample(tmp_path_factory.mktemp("sample"), SEED)


@pytest.fixture(scope="session")
def opened_shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Copied for each test, never changed."""
    return Shop(tmp_path_factory.mktemp("shop"), SEED)


@pytest.fixture
def shop(opened_shop: Shop, tmp_path: Path, seed: int) -> Shop:
    """A shop to damage."""
    return opened_shop.copy(tmp_path)


@pytest.fixture(autouse=True)
def little_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    """How much is kept for a full disk does not matter here, and writing it takes long."""
    monkeypatch.setattr(layout, "RESERVE_BYTES", 64 << 10)
    monkeypatch.setattr(layout, "RESERVE_STEP_BYTES", 16 << 10)
