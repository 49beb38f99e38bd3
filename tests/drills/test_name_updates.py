"""Names moved and moved back on a real name server, by key only, and never over others' changes."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.base.errors import AccessError, BusyError, HoldfastError, UsageError
from appliance.drills.name_updates import Found, look_up, point_back, point_elsewhere
from appliance.drills.plan import DnsUpdate
from tests.drills.servers import serve_names
from tests.ports import HOST, free_port

OLD = Found(("198.51.100.7", "198.51.100.8"), 300)
NEW = Found(("192.0.2.11",), 60)


class Zone:
    """A name server, and what it takes to change it."""

    def __init__(self, folder: Path, port: int, secret: str) -> None:
        self.folder = folder
        self.port = port
        self.key_file = folder / "key"
        self.key_file.write_text(f"{secret}\n")

    def update(self, name: str = "www.example.org", **more: object) -> DnsUpdate:
        fields: dict[str, object] = {
            "server": HOST,
            "zone": "example.org",
            "address": "192.0.2.11",
            "key_name": "holdfast",
            "key_file": str(self.key_file),
            "port": self.port,
        }
        return DnsUpdate(name=name, **(fields | more))  # type: ignore[arg-type]


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[Zone]:
    secret = base64.b64encode(secrets.token_bytes(32)).decode()
    with serve_names(tmp_path, secret) as port:
        yield Zone(tmp_path, port, secret)


def test_a_name_moves_and_moves_back(zone: Zone) -> None:
    update = zone.update()
    assert look_up(update) == OLD
    for _ in range(2):  # twice is as good as once
        point_elsewhere(update, OLD)
        assert look_up(update) == NEW
    for _ in range(2):
        point_back(update, OLD)
        assert look_up(update) == OLD


def test_a_name_that_was_not_there_goes_again(zone: Zone) -> None:
    update = zone.update("new.example.org", address="2001:db8::11")
    before = look_up(update)
    assert before.addresses == ()
    point_elsewhere(update, before)
    assert look_up(update).addresses == ("2001:db8::11",)
    point_back(update, before)
    assert look_up(update).addresses == ()


def test_what_somebody_else_changed_meanwhile_is_left_alone(zone: Zone) -> None:
    update = zone.update()
    point_elsewhere(zone.update(address="203.0.113.1"), OLD)
    with pytest.raises(BusyError, match="somebody else"):
        point_elsewhere(update, OLD)
    with pytest.raises(BusyError, match="somebody else"):
        point_back(update, OLD)
    assert look_up(update).addresses == ("203.0.113.1",)


def test_without_the_key_nothing_changes(zone: Zone) -> None:
    wrong = zone.folder / "wrong"
    wrong.write_text(base64.b64encode(bytes(32)).decode())
    for more in ({"key_file": str(wrong)}, {"key_name": "stranger"}):
        with pytest.raises(HoldfastError):
            point_elsewhere(zone.update(**more), OLD)
    with pytest.raises(AccessError, match="refuses"):
        point_elsewhere(zone.update(zone="example.net", name="www.example.net"), OLD)
    assert look_up(zone.update()) == OLD


def test_a_key_file_without_a_key_is_a_usage_error(zone: Zone) -> None:
    zone.key_file.write_text("not base64!\n")
    with pytest.raises(UsageError, match="no TSIG key"):
        point_elsewhere(zone.update(), OLD)


def test_a_name_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    zone = Zone(tmp_path, free_port(), "")
    with pytest.raises(HoldfastError, match=r"name server 127\.0\.0\.1"):
        look_up(zone.update())
