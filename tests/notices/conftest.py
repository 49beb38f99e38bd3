"""Fixtures of the tests of notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notices.servers import make_certificate


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a certificate that servers on the loopback show."""
    folder = tmp_path_factory.mktemp("certificates")
    make_certificate(folder)
    return folder
