"""Fixtures of the health tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.health.kernel_files import KernelFiles


@pytest.fixture
def files(tmp_path: Path) -> KernelFiles:
    """An empty kernel."""
    return KernelFiles(tmp_path / "root")
