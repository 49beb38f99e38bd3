"""A box of real releases and real processes: updated, gone back by itself, gone back by hand."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.updates import show_releases
from appliance.updates.releases import Releases
from tests.command import ROOT
from tests.updates.releasing import CLOCK, Builder, launch
from tests.web.served_box import free_port

DEADLINE_S = 180.0
WATCH = "appliance/daemon/release_watch.py"


class Supervised:
    """A daemon that is started again whenever it ends, as systemd does."""

    def __init__(self, root: Path, state: Path) -> None:
        self.root, self.state = root, state
        self.log = state.with_name("serve.log")
        self.port = free_port()
        self._is_over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        words = ["serve", "--listen", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("ab") as log:
            while not self._is_over.is_set():
                self._process = subprocess.Popen(
                    launch(self.root, "--state", str(self.state), *words),
                    stdout=log,
                    stderr=log,
                    cwd="/",
                )
                self._process.wait()
                self._is_over.wait(0.05)

    def call(self, *words: str, code: int = 0) -> Any:
        """What the installed command says as JSON."""
        done = subprocess.run(
            launch(self.root, "--state", str(self.state), "--json", *words),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            cwd="/",
        )
        assert done.returncode == code, (words, done.stdout, done.stderr, self.said())
        return json.loads(done.stdout) if done.stdout else done.stderr

    def said(self) -> str:
        """What the daemons printed."""
        return self.log.read_text(errors="replace")

    def wait_for(self, is_so: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """How the releases stand once that is so."""
        end_s = time.monotonic() + DEADLINE_S
        while not is_so(status := show_releases(Releases(self.root, CLOCK))):
            assert time.monotonic() < end_s, (status, self.said())
            time.sleep(0.05)
        return status

    def close(self) -> None:
        """End it for good."""
        self._is_over.set()
        while self._thread.is_alive():
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
            self._thread.join(1)


@pytest.fixture
def box(builder: Builder, tmp_path: Path, state: Path) -> Iterator[Supervised]:
    state.mkdir()
    builder.make_box(tmp_path / "root", build(builder, "1.0.0"), state)
    found = Supervised(tmp_path / "root", state)
    yield found
    found.close()


def build(builder: Builder, version: str, **changed: str) -> Path:
    """This checkout as a release that needs less time to prove itself."""
    quick = (ROOT / WATCH).read_text().replace("PROVE_S = 10.0", "PROVE_S = 0.5")
    assert "PROVE_S = 0.5" in quick
    return builder.build_real(version, {WATCH: quick, **changed})


def test_a_box_is_updated_goes_back_by_itself_and_by_hand(
    box: Supervised, builder: Builder
) -> None:
    box.wait_for(lambda _: "ready" in box.said())
    good = build(builder, "1.1.0")
    broken = build(builder, "1.2.0", **{"appliance/daemon/box.py": "raise OSError('no box')\n"})
    assert box.call("update", "install", str(good)) == {"version": "1.1.0"}
    status = box.wait_for(lambda status: len(status["history"]) == 2 and not status["trial"])
    assert (status["current"], status["previous"]) == ("1.1.0", "1.0.0")
    assert status["since"] == status["history"][0]["time"]
    assert "release 1.1.0: from 1.0.0" in box.said()

    box.call("update", "install", str(broken))
    status = box.wait_for(lambda status: len(status["history"]) == 3 and not status["trial"])
    assert (status["history"][0]["version"], status["history"][0]["outcome"]) == ("1.2.0", "failed")
    assert status["current"] == "1.1.0"
    assert box.said().count("no box") == 3
    assert "1.2.0 did not become ready: back to 1.1.0" in box.said()

    assert box.call("update", "back") == {"version": "1.0.0", "left": "1.1.0"}
    status = box.wait_for(lambda status: len(status["history"]) == 4 and not status["trial"])
    assert [one["version"] for one in status["history"]] == ["1.0.0", "1.2.0", "1.1.0", "1.0.0"]
    assert box.call("update", "status")["version"] == "1.0.0"
    jobs = box.call("jobs", "list")["items"]
    ended = [(job["verb"], job["state"]) for job in jobs if job["verb"].startswith("update")]
    assert ended == [("update back", "done"), *[("update install", "done")] * 2]
