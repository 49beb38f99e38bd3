"""Recovery from a bucket of the real gateway: over a line, and with the gateway killed."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import Holdfast
from tests.vault.conftest import new_name
from tests.vault.gateway import Gateway, write_credentials
from tests.vault.line import Line
from tests.vault.office import Office

PATIENCE_S = 300.0


class FarOffice(Office):
    """A box whose vault was filled at the gateway, and is opened through a line."""

    def __init__(self, folder: Path, seed: int, gateway: Gateway) -> None:
        self.gateway = gateway
        self.bucket = new_name()
        self.credentials = write_credentials(folder / "credentials.ini")
        super().__init__(folder, seed, str(gateway.address(self.bucket)))

    def fill(self) -> str:
        name = self.back_up("web1", size_mib=24)
        self.box("vault", "add", self.url, "--credentials-file", self.credentials, expect=0)
        self.sync()
        return name

    def open_through(self, line: Line) -> Holdfast:
        endpoint = f"http://127.0.0.1:{line.port}"
        self.url = str(self.gateway.address(self.bucket, endpoint=endpoint))
        return self.open("far", "--credentials-file", str(self.credentials))


@pytest.fixture
def office(tmp_path: Path, seed: int, gateway: Gateway) -> Iterator[FarOffice]:
    made = FarOffice(tmp_path, seed, gateway)
    yield made
    made.close()


def test_a_restore_survives_a_gateway_that_is_killed_in_the_middle(
    office: FarOffice, gateway: Gateway
) -> None:
    name = office.fill()
    target = office.folder / "restored.raw"
    with Line(gateway.port, bytes_per_s=2_000_000, delay_s=0.02) as line:
        far = office.open_through(line)
        before = line.received_bytes
        restore = subprocess.Popen(far.argv("restore", name, target))
        waiting = threading.Event()
        while line.received_bytes < before + 2_000_000 and restore.poll() is None:
            waiting.wait(0.02)
        assert restore.poll() is None, "the restore ended before anything could happen"
        gateway.kill()
        line.cut()
        line.set_rate(None)
        gateway.restart()
        assert restore.wait(PATIENCE_S) == 0
    assert target.read_bytes() == office.images[name]


def test_a_restore_goes_on_over_a_line_that_is_cut_again_and_again(
    office: FarOffice, gateway: Gateway
) -> None:
    name = office.fill()
    with Line(
        gateway.port, bytes_per_s=20_000_000, delay_s=0.01, cut_share_per_s=0.5, seed=office.seed
    ) as line:
        far = office.open_through(line)
        office.check(far, name)
        # Nothing is fetched again that came before.
        before = line.received_bytes
        office.check(far, name)
        assert line.received_bytes - before < 64 << 10
