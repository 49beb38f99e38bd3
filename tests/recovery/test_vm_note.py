"""Where a migrated disk lives, in words."""

from __future__ import annotations

import json

import pytest

from appliance.recovery.vm_note import describe_place


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        (
            {"driver": "qcow2", "file": {"driver": "file", "filename": "/srv/a b.img"}},
            "/srv/a b.img",
        ),
        (
            {"driver": "nbd", "server": {"type": "unix", "path": "/run/x"}, "export": "disk0"},
            "nbd+unix:///disk0?socket=/run/x",
        ),
        (
            {"driver": "nbd", "server": {"type": "inet", "host": "far", "port": "1"}, "export": ""},
            "nbd://far:1/",
        ),
    ],
)
def test_a_place_is_shown_as_it_was_given(place: dict[str, object], shown: str) -> None:
    assert describe_place(json.dumps(place)) == shown


@pytest.mark.parametrize(
    "garbage", ["", "[]", "7", '{"driver": "nbd"}', '{"driver": "raw", "file": 1}']
)
def test_garbage_is_shown_as_it_is(garbage: str) -> None:
    assert describe_place(garbage) == garbage
