"""What typical mistakes are answered with: the thing, and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import HoldfastHere


@pytest.fixture
def holdfast(tmp_path: Path) -> HoldfastHere:
    here = HoldfastHere(tmp_path / "state")
    here("init", expect=0)
    return here


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("vault add /srv/vault", 2, "'/srv/vault' is no vault: expected s3://"),
        ("vault add key:secret@bucket", 2, "key:// is no vault: expected s3://"),
        ("drill show first", 2, "'first' is no drill: 'holdfast drill list' lists them"),
        ("drill report first --out x", 5, "there is no drill first: 'holdfast drill list' lists"),
        ("drill report --out x", 5, "there is no drill yet: 'holdfast drill run MACHINE' makes"),
        ("failover show first", 2, "'first' is no failover: 'holdfast failover list' lists them"),
    ],
)
def test_a_wrong_name_is_named_with_what_lists_the_right_ones(
    holdfast: HoldfastHere, words: str, code: int, said: str
) -> None:
    done = holdfast(*words.split(), expect=code)
    assert done.out == ""
    assert done.err.startswith(f"holdfast: {said}")
    assert done.err.count("\n") == 1


def test_a_machine_is_not_renamed_to_what_it_is_called(holdfast: HoldfastHere) -> None:
    holdfast("machines", "add", "web1", "/dev/null", expect=0)
    done = holdfast("machines", "rename", "web1", "web1", expect=2)
    assert done.err == "holdfast: web1 is called that already: say another name\n"


def test_the_list_of_a_machine_without_points_does_not_say_that_there_are_none_at_all(
    holdfast: HoldfastHere, tmp_path: Path
) -> None:
    (tmp_path / "disk.raw").write_bytes(bytes(4096))
    holdfast("backup", tmp_path / "disk.raw", "--machine", "红", expect=0)
    done = holdfast("points", "--machine", "web1", expect=0)
    assert done.out == "no points of web1: 'holdfast points' lists what there is\n"
    head, row = holdfast("points", expect=0).out.splitlines()
    # A Chinese character takes two columns: the second column begins one character earlier.
    assert row.index("4.0 KiB") == head.index("DISKS") - 1
