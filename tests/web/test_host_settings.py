"""Name, time and addresses are set in the page where the host allows, and it says why not."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.browsing import PHONE, open_page
from tests.web.made_up import HOSTILE, job, make_up
from tests.web.served_box import ServedBox

NEVER = "2099-01-01T00:00:00Z"


def host(address: str, **obstacle: Any) -> dict[str, Any]:
    """What `box show` says, as a verb that is no job answers it."""
    port = {
        **{"name": "eth0", "has_link": True, "addresses": [f"{address}/24"], "file": HOSTILE},
        **{"wanted": wanted(address), "obstacle": None},
    }
    shown = {
        "name": {"now": "box1", "obstacle": obstacle.get("name")},
        "time": {
            **{"zone": "UTC", "servers": [], "is_synchronised": False},
            **{"obstacle": None, "server_obstacle": obstacle.get("servers")},
        },
        "network": {
            **{"has_resolver": True, "obstacle": None, "trial": None},
            "ports": [port, {**port, "name": "eth1", "obstacle": obstacle.get("port")}],
        },
    }
    return ran("box show", shown)


def wanted(address: str) -> dict[str, Any]:
    return {
        **{"is_dynamic": False, "addresses": [f"{address}/24"]},
        **{"gateways": ["10.9.0.1"], "dns": []},
    }


def ran(verb: str, result: Any) -> dict[str, Any]:
    return {"verb": verb, "exit_code": 0, "error": None, "result": result}


def obstacle(reason: str) -> dict[str, str]:
    return {"reason": reason, "text": f"{reason} {HOSTILE}"}


def fill_in(page: Page) -> None:
    page.get_by_label("Address and prefix").first.fill("10.9.0.7/24")
    page.get_by_role("button", name="Try it").first.click()


def test_addresses_are_tried_and_kept_by_who_still_reaches_the_box(
    browser: Browser, box: ServedBox
) -> None:
    standing = box.must("GET", "/box")
    running = {**job(999, "box network", None), "state": "running", "ended_at": None}
    failed = {**job(999, "box network", None), "state": "failed", "exit_code": 2}
    found = {
        "/run/box/show": host("10.9.0.5"),
        "/run/box/network": running,
        "/jobs/999": {**failed, "error": "the gateway is not in the network"},
    }
    with open_page(browser, box) as watched:
        page = watched.page
        asked = make_up(page, found)
        watched.show("/settings/host")
        fill_in(page)
        expect(page.get_by_text("the gateway is not in the network")).to_be_visible()
        expect(page.get_by_label("Address and prefix").first).to_have_value("10.9.0.7/24")
        trial = {"port": "eth0", "ends_at": NEVER}
        found |= {"/jobs/999": running, "/box": {**standing, "address_trial": trial}}
        fill_in(page)
        expect(page.get_by_text("eth0 has other addresses, on trial")).to_be_visible()
        expect(page.get_by_role("link", name="https://10.9.0.7:")).to_be_visible()
        assert not watched.violations()
        tried = [one for one in asked if one and "port" in one]
        assert tried[-1] == {
            **{"port": "eth0", "within": 120, "address": ["10.9.0.7/24"]},
            "gateway": ["10.9.0.1"],
        }
        # Only now are they kept, and the form shows what the port has.
        found["/run/box/keep"] = ran("box keep", {"port": "eth0"})
        page.get_by_role("button", name="Keep them").click()
        expect(page.get_by_text("The new addresses are kept.")).to_be_visible()
        found |= {"/run/box/show": host("10.9.0.7"), "/box": standing}
        expect(page.get_by_text("on trial")).to_be_hidden()
        expect(page.get_by_label("Address and prefix").first).to_have_value("10.9.0.7/24")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_name_and_time_are_set_and_what_cannot_be_says_why(
    browser: Browser, box: ServedBox, language: str
) -> None:
    found = {
        "/run/box/show": host(
            "10.9.0.5", servers=obstacle("no-timesyncd"), port=obstacle("more-in-file")
        ),
        "/run/box/name": ran("box name", {"name": "vault7"}),
        "/run/box/time": ran("box time", {"zone": "Asia/Shanghai", "servers": []}),
    }
    with open_page(browser, box, language=language, size=PHONE) as watched:
        page = watched.page
        asked = make_up(page, found)
        watched.show("/settings/host")
        expect(page.locator("[name=zone]")).to_have_value("UTC")
        assert page.locator("[name=servers]").count() == 0
        assert not watched.violations()
        assert not watched.overflow()
        page.locator("[name=name]").fill("vault7")
        page.locator("form:has([name=name]) [type=submit]").click()
        page.locator("[name=zone]").select_option("Asia/Shanghai")
        page.locator("form:has([name=zone]) [type=submit]").click()
        watched.wait_for(lambda: {"zone": "Asia/Shanghai"} in asked, "no zone")
        assert {"name": "vault7"} in asked
        assert page.locator("form:has([name=way])").count() == 1  # eth1 cannot be set
