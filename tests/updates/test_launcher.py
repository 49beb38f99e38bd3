"""The launcher alone decides which release starts: it counts, ends what hangs, and goes back."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.base.progress import Progress
from appliance.updates.findings import judge_releases
from appliance.updates.installing import install_update
from appliance.updates.releases import Releases
from appliance.updates.trials import settle_trial
from image.launcher import find_command
from tests.command import ROOT
from tests.updates.releasing import Builder, launch

DEADLINE_S = 120
HANGS = "import time\n\n\ndef run():\n    time.sleep(3600)\n"


def start(releases: Releases, *words: str) -> tuple[int, str, str]:
    """Exit code, output and complaints of the installed command."""
    done = subprocess.run(
        launch(releases.root, *words),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr


def with_main(builder: Builder, version: str, text: str) -> Path:
    """An update whose command is `text`."""
    empty = builder.write("empty", "")
    main = builder.write(f"main-{version}", text)
    names = ("appliance/__init__.py", "appliance/cli/__init__.py")
    return builder.build(version, {**dict.fromkeys(names, empty), "appliance/cli/main.py": main})


def test_a_release_that_never_starts_is_tried_three_times_and_gone_back_from(
    releases: Releases, builder: Builder, state: Path
) -> None:
    update = with_main(builder, "1.1.0", "raise ImportError('broken')\n")
    install_update(releases, state, update, Progress())
    assert start(releases, "status")[0] == 1  # no try: only the daemon is on trial
    for left in (2, 1, 0):
        code, _, said = start(releases, "--state", str(state), "serve")
        assert (code, "broken" in said) == (1, True)
        trial = releases.read_trial()
        assert trial is not None
        assert trial.tries_left == left
    code, out, said = start(releases, "serve")
    assert (code, out) == (0, "1.0.0")
    assert "1.1.0 did not become ready: back to 1.0.0" in said
    event = settle_trial(releases, "1.0.0")
    assert event is not None
    assert (event.version, event.previous, event.outcome) == ("1.1.0", "1.0.0", "failed")
    assert releases.read_trial() is None
    assert start(releases, "serve")[1] == "1.0.0"
    (finding,) = judge_releases(releases)
    assert (finding.rule, "1.1.0" in finding.summary) == ("box.update-failed", True)
    install_update(releases, state, builder.build("1.2.0"), Progress())
    settle_trial(releases, "1.2.0")
    assert judge_releases(releases) == []


def test_a_release_that_hangs_is_ended_at_its_deadline(
    releases: Releases, builder: Builder, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.updates.releases.READY_WITHIN_S", 1)
    monkeypatch.setattr("appliance.updates.releases.TRIES", 1)
    install_update(releases, state, with_main(builder, "1.1.0", HANGS), Progress())
    assert start(releases, "serve")[0] == -signal.SIGALRM
    assert start(releases, "serve")[1] == "1.0.0"


def test_no_release_to_go_back_to_is_no_reason_to_run_none(
    releases: Releases, builder: Builder, state: Path
) -> None:
    install_update(releases, state, builder.build("1.1.0"), Progress())
    for text in ("{", '{"version": "1.1.0"}', '{"version": "1.1.0", "previous": "../x"}'):
        (releases.root / "trial.json").write_text(text)
        assert start(releases, "serve")[1] == "1.1.0"
    (releases.root / "trial.json").write_text(
        '{"version": "1.1.0", "previous": "0.9", "tries_left": 0, "ready_within_s": 5}'
    )
    assert start(releases, "serve")[1] == "1.1.0"


def test_what_the_command_starts_is_of_its_own_release(
    releases: Releases, builder: Builder, state: Path
) -> None:
    text = (
        "import subprocess, sys\n\n\ndef run():\n"
        "    code = 'import appliance; print(appliance.__file__)'\n"
        "    subprocess.run([sys.executable, '-c', code])\n"
    )
    install_update(releases, state, with_main(builder, "1.1.0", text), Progress())
    code, out, said = start(releases, "status")
    assert (code, said) == (0, "")
    assert out == str(releases.folder("1.1.0") / "lib/appliance/__init__.py")


def test_the_command_is_found_behind_its_options() -> None:
    assert find_command(["serve", "--port", "1"]) == "serve"
    assert find_command(["--state", "serve", "--json", "status"]) == "status"
    assert find_command(["--state=x", "--passphrase-file", "y", "serve"]) == "serve"
    assert find_command(["--version"]) == ""
    assert find_command(["--state"]) == ""


def install_killed(releases: Releases, state: Path, update: Path, last: int) -> tuple[int, str]:
    """Exit code and output of an installation that is killed at the step `last`; 0: never."""
    words = [str(releases.root), str(state), str(update), str(last)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.updates.killed_install", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=DEADLINE_S,
        check=False,
    )
    return done.returncode, done.stdout


def test_an_installation_killed_at_any_step_heals_itself(
    releases: Releases, builder: Builder, state: Path, seed: int
) -> None:
    """Whatever is current is whole, starts, and the next try installs."""
    dice = random.Random(seed)
    code, said = install_killed(releases, state, builder.build("1.1.0"), 0)
    assert code == 0
    settle_trial(releases, "1.1.0")
    steps = int(said)
    assert steps >= 12
    # Anywhere, and surely around the switch; the later ones have old releases to remove, too.
    places = [dice.randint(1, steps), dice.randint(1, steps), steps - 2, steps - 1, steps]
    for number, last in enumerate(places, 2):
        version, before = f"1.{number}.0", releases.current()
        update = builder.build(version)
        code, _ = install_killed(releases, state, update, last)
        assert code == -signal.SIGKILL, (version, last)
        current = releases.current()
        assert current in (before, version), (version, last)
        assert start(releases, "serve")[1] == current, (version, last)
        settle_trial(releases, str(current))
        assert releases.read_trial() is None, (version, last)
        if current == before:
            install_update(releases, state, update, Progress())
            assert start(releases, "serve")[1] == version
            settle_trial(releases, version)
    install_update(releases, state, builder.build("2.0.0"), Progress())
    assert start(releases, "serve")[1] == "2.0.0"
    assert not list(releases.incoming.iterdir())
    assert not list(releases.root.glob(".tmp-*"))
