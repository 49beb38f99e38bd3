"""Vaults as a person uses them, through the command: fill one, open it elsewhere, lose it, heal."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.vault.streams import STREAMS_MAX
from tests.command import Holdfast
from tests.images import edited
from tests.vault.office import MIB, Office, points_of

OTHER_KEY = "another-recovery.txt"


@pytest.fixture
def office(tmp_path: Path, seed: int) -> Iterator[Office]:
    made = Office(tmp_path, seed)
    yield made
    made.close()


@pytest.fixture
def synced(office: Office) -> Office:
    """One point of one machine is in the vault."""
    office.back_up()
    office.add_vault()
    office.sync()
    return office


def test_a_box_comes_back_from_the_vault_and_the_recovery_key(synced: Office) -> None:
    synced.box("policy", "set", "--keep-daily", "7", expect=0)
    synced.back_up("other machine")
    done = synced.sync()
    assert done["points"] == [list(synced.images)[1]]
    other = synced.open("other")
    assert points_of(other) == points_of(synced.box)
    shown = other("--json", "policy", "show", expect=0).json()["policies"][0]["policy"]
    assert shown["keep_daily"] == 7
    synced.hydrate(other)
    synced.check(other)


def test_what_killed_uploads_left_long_ago_is_given_up(office: Office) -> None:
    office.back_up()
    office.add_vault()
    staging = office.vault / ".incoming"
    staging.mkdir(exist_ok=True)
    old, fresh = staging / ".tmp-old", staging / ".tmp-fresh"
    for left in (old, fresh):
        left.write_bytes(b"half")
    long_ago_s = time.time() - 8 * 86400
    os.utime(old, (long_ago_s, long_ago_s))
    office.sync()
    assert [old.exists(), fresh.exists()] == [False, True], "the other may still go on"


def test_only_what_is_new_is_sent(synced: Office) -> None:
    assert synced.sync()["traffic"]["sent_bytes"] == 0
    first = bytearray(next(iter(synced.images.values())))
    synced.back_up(image=bytes(edited(synced.seed, first, edits=1)))
    done = synced.sync()
    assert len(done["points"]) == 1
    assert 0 < done["traffic"]["sent_bytes"] < MIB


def test_what_a_newer_point_supersedes_is_left_out(office: Office) -> None:
    names = [office.back_up() for _ in range(3)]
    office.add_vault()
    done = office.sync()
    assert done["points"] == [names[2]]
    assert done["skipped"] == 2
    assert set(office.sync("--all")["points"]) == set(names[:2])
    other = office.open("other")
    office.hydrate(other)
    office.check(other)


def test_an_emptied_vault_is_noticed_and_filled_again(synced: Office) -> None:
    before = points_of(synced.box)
    shutil.rmtree(synced.vault)
    assert synced.box("vault", "sync").code == 5, "a disk that is not mounted is not filled"
    synced.vault.mkdir()
    result = synced.box("vault", "sync")
    assert result.code == 1
    assert "emptied or rolled back" in result.err
    assert points_of(synced.box) == before
    assert synced.sync()["traffic"]["sent_bytes"] == 0
    other = synced.open("other")
    synced.hydrate(other)
    synced.check(other)


def test_a_vault_that_was_rolled_back_is_noticed_and_healed(synced: Office) -> None:
    shutil.copytree(synced.vault, synced.folder / "last week")
    synced.back_up()
    synced.back_up("other machine")
    synced.sync()
    shutil.rmtree(synced.vault)
    shutil.move(synced.folder / "last week", synced.vault)
    done = synced.sync(expect=1)
    assert any("rolled back" in finding for finding in done["findings"])
    assert not synced.sync()["findings"]
    other = synced.open("other")
    assert points_of(other) == points_of(synced.box)
    synced.hydrate(other)
    synced.check(other)


def test_containers_that_vanished_from_the_vault_are_sent_again(synced: Office) -> None:
    for path in synced.objects("containers"):
        path.unlink()
    done = synced.sync("--thorough", expect=1)
    assert any("missing in the vault" in finding for finding in done["findings"])
    other = synced.open("other")
    synced.hydrate(other)
    synced.check(other)


def test_a_box_that_lost_its_notes_sends_nothing_again(synced: Office) -> None:
    shutil.rmtree(synced.box.state / "vaults")
    assert synced.sync()["traffic"]["sent_bytes"] < 16 << 10, "settings and heads alone"
    synced.back_up()
    assert len(synced.sync()["points"]) == 1


def test_what_moved_on_the_box_is_not_sent_again(office: Office) -> None:
    image = bytearray(random.Random(office.seed).randbytes(40 * MIB))
    office.back_up(image=bytes(image))
    office.add_vault()
    office.sync()
    image[: 30 * MIB] = random.Random(office.seed + 1).randbytes(30 * MIB)
    kept = office.back_up(image=bytes(image))
    office.sync()
    office.box("forget", next(iter(office.images)), "--now", expect=0)
    collected = office.box("--json", "collect", "--thin", "95", expect=0).json()
    assert collected["copied_bytes"] > MIB, "nothing moved: this proves nothing"
    image[-4096:] = bytes(4096)
    newest = office.back_up(image=bytes(image))
    done = office.sync()
    assert done["points"] == [newest]
    assert done["traffic"]["sent_bytes"] < MIB
    office.check(office.box, kept, newest)


def test_a_second_box_only_reads_until_it_takes_over(synced: Office) -> None:
    reader = synced.open("reader")
    refused = reader("vault", "sync")
    assert refused.code == 8
    assert "another box owns" in refused.err
    successor = synced.open("successor", "--take-over")
    old = synced.box("vault", "sync")
    assert old.code == 8
    assert "another box owns vault 'vault'" in old.err
    assert "epoch 2" in old.err
    assert "another box owns" in synced.box("vault", "status", expect=0).out
    successor("vault", "sync", expect=0)


def test_who_owns_the_vault_is_read_again_only_where_it_changed(synced: Office) -> None:
    quiet = synced.sync()["traffic"]["requests"]
    assert quiet == {"GET": 2, "LIST": 3}, "the seal, the head of the box, and what is new"
    note = synced.vault / "owner" / f"{1:010}"
    note.write_bytes(note.read_bytes()[:-1])
    refused = synced.box("vault", "sync")
    assert refused.code != 0
    assert "owner/0000000001" in refused.err


def test_a_copy_of_the_box_is_not_mixed_in(synced: Office) -> None:
    copy = Holdfast(synced.folder / "copy")
    synced.boxes.append(copy)
    shutil.copytree(synced.box.state, copy.state)
    synced.back_up()
    synced.sync()
    refused = copy("vault", "sync")
    assert refused.code == 8
    assert "a copy of this box" in refused.err


def test_opening_refuses_a_wrong_key_an_old_vault_and_a_state_in_use(synced: Office) -> None:
    other = Holdfast(synced.folder / "stranger")
    other("init", "--recovery-out", synced.folder / OTHER_KEY, expect=0)
    empty = Holdfast(synced.folder / "empty")
    for key, options, code in (
        (synced.folder / OTHER_KEY, (), 8),
        (synced.key, ("--expect", "1000"), 4),
        (synced.key, ("--as-of", "2026-11-21T09:30:00Z"), 2),
    ):
        empty("vault", "open", synced.url, "--recovery-key", key, *options, expect=code)
        assert not (empty.state / "store" / "store.json").exists()
    other("vault", "open", synced.url, "--recovery-key", synced.key, expect=2)


def test_a_box_that_forgot_its_vault_takes_it_over_and_believes_only_the_vault(
    synced: Office,
) -> None:
    synced.box("vault", "remove", "vault", expect=0)
    assert synced.box("vault", "add", synced.url).code == 8, "somebody else may own it by now"
    synced.box("vault", "add", synced.url, "--take-over", expect=0)
    assert synced.sync()["traffic"]["sent_bytes"] < 16 << 10
    synced.box("vault", "remove", "vault", expect=0)
    elsewhere = synced.folder / "elsewhere"
    synced.box("vault", "add", f"file://{elsewhere}", expect=0)
    synced.sync()
    synced.box("vault", "verify", expect=0)
    assert any((elsewhere / "containers").rglob("*"))


def test_a_vault_of_another_store_is_refused(synced: Office) -> None:
    other = Holdfast(synced.folder / "stranger")
    other("init", "--recovery-out", synced.folder / OTHER_KEY, expect=0)
    refused = other("vault", "add", synced.url)
    assert refused.code == 4
    assert "another store" in refused.err
    assert other("vault", "sync").code == 5


@pytest.mark.parametrize("share", range(0, 10, 2))
def test_a_killed_sync_goes_on_where_it_was(office: Office, share: int) -> None:
    kill_and_resume(office, 40, share)


@pytest.mark.slow
@pytest.mark.parametrize("share", range(50))
def test_a_sync_killed_at_any_of_many_moments_goes_on(office: Office, share: int) -> None:
    kill_and_resume(office, 400, share)
    shutil.rmtree(office.folder)  # or all of them together take 60 GB


def kill_and_resume(office: Office, size_mib: int, share: int) -> None:
    """Kill a sync when so many objects are there or a bit later; the next one sends the rest."""
    bytes_of = random.Random(office.seed).randbytes  # no more than 256 MiB at once
    office.back_up(image=b"".join(bytes_of(MIB) for _ in range(size_mib)))
    office.add_vault()
    sync = office.box.start("vault", "sync")
    wanted = share % 20
    deadline = time.monotonic() + 300
    while len(office.objects()) < wanted and sync.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(random.Random(office.seed + share).uniform(0, 0.02))
    sync.kill()
    sync.communicate()
    there = {path.name for path in office.objects("containers")}
    done = office.sync()
    final = {path.name: path.stat().st_size for path in office.objects("containers")}
    lacking = sum(size for name, size in final.items() if name not in there)
    small = 2 * MIB
    assert done["traffic"]["sent_bytes"] <= lacking + STREAMS_MAX * 32 * MIB + small
    other = office.open("other")
    office.hydrate(other)
    office.check(other)
