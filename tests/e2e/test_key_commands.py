"""The `key` command through the command itself."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.command import Holdfast, HoldfastHere


@pytest.fixture
def holdfast(state: Path) -> Holdfast:
    """Keys and words are what is asked, not processes."""
    return HoldfastHere(state)


@pytest.fixture
def recovery(holdfast: Holdfast, tmp_path: Path) -> Path:
    path = tmp_path / "recovery.txt"
    holdfast("init", "--recovery-out", path, expect=0)
    return path


def word_rows(recovery: Path) -> list[str]:
    return [line for line in recovery.read_text().splitlines() if line[:1].isdigit()]


def test_check_proves_a_recovery_key_from_a_file_and_as_typed(
    holdfast: Holdfast, recovery: Path
) -> None:
    store_id = holdfast("--json", "key", "check", "--recovery-key", recovery, expect=0).json()
    typed = "\n".join(word_rows(recovery)).encode()
    assert holdfast("--json", "key", "check", stdin=typed, expect=0).json() == store_id
    assert store_id["opens"] is True
    assert f", key {store_id['key']}\n" in recovery.read_text()


def test_check_names_the_row_with_a_strange_word(holdfast: Holdfast, recovery: Path) -> None:
    rows = word_rows(recovery)
    words = rows[2].split()
    words[1] = "abandom"
    rows[2] = " ".join(words)
    refused = holdfast("key", "check", stdin="\n".join(rows).encode(), expect=2)
    assert "row 3: 'abandom' is not a word of recovery keys: did you mean abandon" in refused.err


def test_check_refuses_the_key_of_another_store(
    holdfast: Holdfast, recovery: Path, tmp_path: Path
) -> None:
    other, foreign = tmp_path / "other", tmp_path / "foreign.txt"
    holdfast("--state", other, "init", "--recovery-out", foreign, expect=0)
    refused = holdfast("key", "check", "--recovery-key", foreign, expect=8)
    assert len(refused.err.splitlines()) == 1
    holdfast("key", "check", "--recovery-key", recovery, expect=0)


def keys(holdfast: Holdfast) -> dict[str, dict[str, str]]:
    """Every readable key by its fingerprint."""
    listed = holdfast("key", "list", "--json", expect=0).json()["keys"]
    return {key["key"]: key for key in listed if "key" in key}


def only(holdfast: Holdfast, kind: str) -> str:
    (name,) = [name for name, key in keys(holdfast).items() if key["kind"] == kind]
    return name


def secret_file(path: Path, passphrase: str) -> Path:
    path.write_text(f"{passphrase}\n")
    return path


@pytest.mark.usefixtures("recovery")
def test_list_shows_every_key_and_damaged_files(holdfast: Holdfast) -> None:
    (holdfast.state / "store" / "keys" / "odd.json").write_text("{}")
    lines = holdfast("key", "list", expect=0).out.splitlines()
    assert [line.split()[1] for line in lines] == ["box", "odd.json:", "recovery"]
    assert "damaged" in lines[1]
    assert all(key["created"] for key in keys(holdfast).values())


def test_an_added_recovery_key_is_checked_and_revoked(
    holdfast: Holdfast, recovery: Path, tmp_path: Path
) -> None:
    out = tmp_path / "second.txt"
    made = holdfast(
        "key", "add", "recovery", "--out", out, "--label", "bank", "--json", expect=0
    ).json()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert f"key {made['key']} (bank)" in out.read_text()
    checked = holdfast("key", "check", "--recovery-key", out, expect=0)
    assert f"{made['key']} (bank)" in checked.out
    revoked = holdfast("key", "revoke", made["key"], expect=0)
    assert "copies of the store made before" in revoked.out
    assert "does not open" in holdfast("key", "check", "--recovery-key", out, expect=8).err
    last = holdfast("key", "revoke", only(holdfast, "recovery"), expect=8)
    assert "no recovery key would be left" in last.err
    holdfast("key", "check", "--recovery-key", recovery, expect=0)


def test_a_recovery_key_that_is_not_written_is_shown_once(
    holdfast: Holdfast, recovery: Path
) -> None:
    shown = holdfast("key", "rotate", "recovery", expect=0)
    typed = "\n".join(line for line in shown.err.splitlines() if line[:1].isdigit())
    holdfast("key", "check", stdin=typed.encode(), expect=0)
    holdfast("key", "check", "--recovery-key", recovery, expect=8)


def test_a_file_that_exists_is_not_overwritten_and_no_key_changes(
    holdfast: Holdfast, recovery: Path
) -> None:
    before = keys(holdfast)
    refused = holdfast("key", "rotate", "recovery", "--out", recovery, expect=2)
    assert "exists already" in refused.err
    assert keys(holdfast) == before


def test_a_lost_box_key_comes_back_through_the_recovery_key(
    holdfast: Holdfast, recovery: Path
) -> None:
    (holdfast.state / "box.key").unlink()
    assert "box.key is missing" in holdfast("points", expect=8).err
    holdfast("unlock", "--recovery-key", recovery, expect=0)
    try:
        holdfast("key", "add", "box", expect=0)
    finally:
        holdfast("lock")
    assert stat.S_IMODE((holdfast.state / "box.key").stat().st_mode) == 0o600
    holdfast("points", expect=0)
    assert "key rotate box" in holdfast("key", "add", "box", expect=2).err
    holdfast("key", "rotate", "box", expect=0)
    only(holdfast, "box")
    holdfast("points", expect=0)


@pytest.mark.usefixtures("recovery")
def test_a_passphrase_is_added_and_rotated(holdfast: Holdfast, tmp_path: Path) -> None:
    old, new = secret_file(tmp_path / "old", "short"), secret_file(tmp_path / "new", "x" * 12)
    added = holdfast("key", "add", "passphrase", "--new-passphrase-file", old, expect=0)
    assert "fewer than 12" in added.err
    rotate = ("key", "rotate", "passphrase", "--new-passphrase-file", new)
    rotated = holdfast("--passphrase-file", old, *rotate, expect=0)
    assert "warning" not in rotated.err
    holdfast("--passphrase-file", new, "points", expect=0)
    holdfast("--passphrase-file", old, "points", expect=8)


@pytest.mark.usefixtures("recovery")
def test_options_that_do_not_belong_together_are_refused(
    holdfast: Holdfast, tmp_path: Path
) -> None:
    empty = secret_file(tmp_path / "empty", "")
    for words in (
        ("add", "box", "--out", tmp_path / "x"),
        ("rotate", "box", "--key", "00000000"),
        ("add", "recovery", "--new-passphrase-file", empty),
        ("add", "passphrase", "--new-passphrase-file", empty),
        ("add", "passphrase"),
        ("add", "recovery", "--label", "two\nlines"),
    ):
        refused = holdfast("key", *words, expect=2)
        assert len(refused.err.splitlines()) == 1
    assert len(keys(holdfast)) == 2
    holdfast("key", "revoke", "00000000", expect=5)


def split(holdfast: Holdfast, directory: Path, *more: str | Path) -> list[Path]:
    made = holdfast("key", "split", "--out-dir", directory, *more, "--json", expect=0).json()
    return [Path(path) for path in made["shares"]]


def test_any_two_shares_of_a_given_key_open_the_store(
    holdfast: Holdfast, recovery: Path, tmp_path: Path
) -> None:
    one, two, three = split(holdfast, tmp_path / "shares", "--recovery-key", recovery)
    assert stat.S_IMODE(one.stat().st_mode) == 0o600
    assert len(keys(holdfast)) == 2
    whole = holdfast("key", "check", "--recovery-key", recovery, "--json", expect=0).json()
    for first, second in ((one, two), (two, three), (three, one)):
        words = ("--recovery-key", first, "--recovery-key", second)
        assert holdfast("key", "check", *words, "--json", expect=0).json() == whole
    holdfast("unlock", "--recovery-key", three, "--recovery-key", two, expect=0)
    holdfast("lock")


@pytest.mark.usefixtures("recovery")
def test_a_new_key_exists_in_its_shares_only_until_they_are_joined(
    holdfast: Holdfast, tmp_path: Path
) -> None:
    old = only(holdfast, "recovery")
    one, _, three = split(holdfast, tmp_path / "shares", "--label", "board")
    holdfast("key", "revoke", old, expect=0)
    out = tmp_path / "joined.txt"
    assert holdfast("key", "join", three, one, "--out", out, "--json", expect=0).json()["opens"]
    assert "(board)" in holdfast("key", "check", "--recovery-key", out, expect=0).out
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    elsewhere = tmp_path / "elsewhere.txt"
    nowhere = ("--state", tmp_path / "nowhere")
    holdfast(*nowhere, "key", "join", one, three, "--out", elsewhere, expect=0)
    holdfast("key", "check", "--recovery-key", elsewhere, expect=0)


def test_wrong_shares_are_named_in_one_line(
    holdfast: Holdfast, recovery: Path, tmp_path: Path
) -> None:
    given = ("--recovery-key", recovery)
    one, two, three = split(holdfast, tmp_path / "shares", *given)
    other, *_ = split(holdfast, tmp_path / "others", *given)
    other_set, this_set = other.name.split("-")[1], one.name.split("-")[1]
    out = tmp_path / "out.txt"

    def refused(code: int, *shares: Path) -> str:
        words = [word for share in shares for word in ("--recovery-key", share)]
        error = holdfast("key", "check", *words, expect=code).err
        if len(shares) == 2:
            assert holdfast("key", "join", *shares, "--out", out, expect=code).err == error
            assert not out.exists()
        assert error.startswith("holdfast: ")
        assert error.count("\n") == 1
        return error.removeprefix("holdfast: ").strip()

    assert refused(2, one) == f"{one} is one share of a recovery key: give two"
    assert refused(2, one, two, three) == "give one recovery key, or two shares of it"
    assert refused(2, one, one).startswith(f"share 1 of set {this_set} was given twice")
    assert refused(8, two, other) == (
        f"share 2 of set {this_set} and share 1 of set {other_set} do not belong together: "
        "take two of one set"
    )
    assert refused(2, one, recovery).startswith(f"{recovery}: not a share of a recovery key")
    text = three.read_text()
    last = text.rstrip()[-1]
    three.write_text(text.rstrip()[:-1] + ("A" if last != "A" else "B"))
    assert refused(8, one, three).startswith(f"{three}: the share's checksum does not match")
    foreign = tmp_path / "foreign"
    holdfast("--state", foreign, "init", "--recovery-out", tmp_path / "foreign.txt", expect=0)
    made = holdfast("--state", foreign, "key", "split", "--out-dir", foreign, "--json", expect=0)
    strangers = [Path(path) for path in made.json()["shares"]]
    assert refused(8, *strangers[:2]).startswith("the recovery key does not open this store")


def test_a_sheet_is_printed_only_of_a_key_that_opens_the_store(
    holdfast: Holdfast, recovery: Path, tmp_path: Path
) -> None:
    out, foreign = tmp_path / "sheet.html", tmp_path / "foreign.txt"
    made = holdfast(
        "key", "sheet", "--recovery-key", recovery, "--out", out, "--json", expect=0
    ).json()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    page = out.read_text()
    assert made["key"] in page
    assert next(line for line in recovery.read_text().splitlines() if "base32" in line) in page
    again = ("key", "sheet", "--recovery-key", recovery, "--out", out)
    assert "exists already" in holdfast(*again, expect=2).err
    holdfast("--state", tmp_path / "other", "init", "--recovery-out", foreign, expect=0)
    never = tmp_path / "never.html"
    holdfast("key", "sheet", "--recovery-key", foreign, "--out", never, expect=8)
    assert not never.exists()
