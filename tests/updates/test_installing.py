"""What may follow what, and that a killed installation leaves the box on a whole release."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.base.errors import BusyError, NoSpaceError, NotFoundError, UsageError
from appliance.base.progress import Progress
from appliance.formats.update import encode_trial
from appliance.updates.installing import go_back, install_update
from appliance.updates.releases import Releases, find_root
from appliance.updates.trials import settle_trial
from tests.updates.releasing import Builder, member, sign_archive


def install(releases: Releases, state: Path, path: Path) -> None:
    """Install an update that turns out to work."""
    version = install_update(releases, state, path, Progress()).version
    assert settle_trial(releases, version) is not None


def write_store(state: Path, number: int) -> None:
    """What a box's store says of itself."""
    (state / "store").mkdir(parents=True)
    (state / "store" / "store.json").write_text(json.dumps({"format": number}))


def test_an_update_is_current_on_trial_and_written_down_when_it_is_ready(
    releases: Releases, builder: Builder, state: Path
) -> None:
    install_update(releases, state, builder.build("1.1.0"), Progress())
    assert releases.current() == "1.1.0"
    trial = releases.read_trial()
    assert trial is not None
    assert (trial.version, trial.previous, trial.tries_left) == ("1.1.0", "1.0.0", 3)
    assert settle_trial(releases, "1.0.0") is None  # the old one still runs: it judges nothing
    assert releases.read_trial() == trial
    event = settle_trial(releases, "1.1.0")
    assert event is not None
    assert (event.version, event.previous, event.outcome) == ("1.1.0", "1.0.0", "running")
    assert releases.read_trial() is None
    assert [one.version for one in releases.history()] == ["1.0.0", "1.1.0"]


def test_an_older_or_the_same_version_is_refused_and_back_is_the_way(
    releases: Releases, builder: Builder, state: Path
) -> None:
    old = builder.build("1.1.0")
    install(releases, state, old)
    install(releases, state, builder.build("1.2.0"))
    for path in (old, builder.folder / "holdfast-1.2.0.update"):
        with pytest.raises(UsageError, match=r"not newer than 1\.2\.0.*update back"):
            install_update(releases, state, path, Progress())
    assert go_back(releases, state) == ("1.2.0", "1.1.0")
    assert settle_trial(releases, "1.1.0") is not None
    assert go_back(releases, state) == ("1.1.0", "1.0.0")
    assert settle_trial(releases, "1.0.0") is not None
    with pytest.raises(NotFoundError, match="no release before"):
        go_back(releases, state)
    install(releases, state, old)  # it is unpacked still
    assert releases.current() == "1.1.0"


def test_back_passes_over_a_release_that_never_became_ready(
    releases: Releases, builder: Builder, state: Path
) -> None:
    install_update(releases, state, builder.build("1.1.0"), Progress())
    trial = releases.read_trial()
    assert trial is not None
    (releases.root / "trial.json").write_bytes(encode_trial(replace(trial, tries_left=0)))
    releases.switch("1.0.0")
    event = settle_trial(releases, "1.0.0")
    assert event is not None
    assert event.outcome == "failed"
    install(releases, state, builder.build("1.2.0"))
    assert go_back(releases, state) == ("1.2.0", "1.0.0")
    (releases.root / "history.json").unlink()
    assert releases.before("1.2.0") == releases.find("1.1.0")


def test_while_one_is_on_trial_no_other_is_installed(
    releases: Releases, builder: Builder, state: Path
) -> None:
    install_update(releases, state, builder.build("1.1.0"), Progress())
    with pytest.raises(BusyError, match=r"1\.1\.0 has yet to show"):
        install_update(releases, state, builder.build("1.2.0"), Progress())


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"machine": "aarch64"}, "is for aarch64"),
        ({"python": "cpython-399"}, "is for .* cpython-399"),
        ({"follows": "1.0.1"}, "follows 1.0.1 or newer, this is 1.0.0"),
        ({"formats": {}}, "store is of format 2 here, and 1.1.0 knows only 0"),
    ],
)
def test_what_does_not_fit_here_is_refused_with_the_reason(
    said: dict[str, object], why: str, releases: Releases, builder: Builder, state: Path
) -> None:
    write_store(state, 2)
    path = state.parent / "other.update"
    path.write_bytes(sign_archive(builder.key, [member("a", b"x")], **said))
    with pytest.raises(UsageError, match=why):
        install_update(releases, state, path, Progress())
    assert releases.current() == "1.0.0"


def test_a_store_that_is_newer_than_the_release_knows_keeps_it_out_and_back_too(
    releases: Releases, builder: Builder, state: Path
) -> None:
    install(releases, state, builder.build("1.1.0"))
    write_store(state, 3)
    with pytest.raises(UsageError, match=r"store is of format 3 here, and 1\.2\.0 knows only 2"):
        install_update(releases, state, builder.build("1.2.0"), Progress())
    with pytest.raises(UsageError, match="store is of format 3"):
        go_back(releases, state)
    assert releases.current() == "1.1.0"


def test_a_full_disk_is_named_before_anything_is_unpacked(
    releases: Releases, builder: Builder, state: Path
) -> None:
    path = state.parent / "large.update"
    said = {"tree_bytes": 4 << 30, "tree_files": 200_000}
    path.write_bytes(sign_archive(builder.key, [member("a", b"x")], **said))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1 << 30})())
        with pytest.raises(NoSpaceError, match=r"1\.0 GiB free"):
            install_update(releases, state, path, Progress())
    assert not list(releases.incoming.iterdir())


def test_jobs_that_run_are_asked_about_first_and_again_before_the_switch(
    releases: Releases, builder: Builder, state: Path
) -> None:
    asked: list[str | None] = []

    def refuse_later() -> None:
        asked.append(releases.current())
        if len(asked) == 2:
            raise BusyError("job 7 (backup)")

    path = builder.build("1.1.0")
    with pytest.raises(BusyError, match="job 7"):
        install_update(releases, state, path, Progress(), refuse_later)
    assert asked == ["1.0.0", "1.0.0"]
    assert (releases.current(), releases.read_trial()) == ("1.0.0", None)
    install(releases, state, path)


def test_two_installations_at_once_are_one(
    releases: Releases, builder: Builder, state: Path
) -> None:
    with releases.lock(), pytest.raises(BusyError, match="another update"):
        install_update(releases, state, builder.build("1.1.0"), Progress())


def test_the_newest_releases_stay_and_whatever_runs(
    releases: Releases, builder: Builder, state: Path
) -> None:
    for number in range(1, 6):
        install(releases, state, builder.build(f"1.{number}.0"))
    kept = ["1.5.0", "1.4.0", "1.3.0"]
    assert [one.version for one in releases.installed()] == kept
    go_back(releases, state)
    settle_trial(releases, "1.4.0")
    go_back(releases, state)
    settle_trial(releases, "1.3.0")
    install(releases, state, builder.build("1.6.0"))
    assert [one.version for one in releases.installed()] == ["1.6.0", "1.5.0", "1.4.0"]


def test_a_damaged_trial_or_history_stops_nothing(
    releases: Releases, builder: Builder, state: Path
) -> None:
    for text in ("", "{", '{"events": 5}'):
        (releases.root / "history.json").write_text(text)
        (releases.root / "trial.json").write_text(text)
        assert releases.history() == []
        assert settle_trial(releases, "1.0.0") is None
        assert releases.read_trial() is None
    install(releases, state, builder.build("1.1.0"))


def test_a_checkout_is_no_release(releases: Releases, tmp_path: Path) -> None:
    assert find_root() is None
    program = releases.folder("1.0.0") / "lib" / "appliance"
    assert find_root(program) == releases.root
    assert find_root(releases.root / "current" / "lib" / "appliance") == releases.root
    assert find_root(Path("/")) is None


def test_keys_are_those_of_the_box_alone(releases: Releases, builder: Builder) -> None:
    folder = releases.root / "trusted"
    (folder / "garbage.pem").write_text("no key")
    (folder / "private.pem").write_text(builder.key)
    assert list(releases.trusted()) == [
        path.stem for path in folder.iterdir() if path.stem not in ("garbage", "private")
    ]
