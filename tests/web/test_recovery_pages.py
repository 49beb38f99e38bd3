"""Pages of machines, disks, the vault and drills, with more to show than this computer has."""

from __future__ import annotations

import re

import msgspec
import pytest
from playwright.sync_api import Browser, expect

from appliance.api.routes import list_routes
from appliance.cli.verbs import build_verbs
from tests.web.browsing import PHONE, open_page
from tests.web.made_up import DRILL, HOSTILE, POINTS, answers, list_points, make_up
from tests.web.served_box import ServedBox

PAGES = ("/machines/web1", "/recover/web1", "/disks", "/disks/sdc", "/vault", "/drills")
MARKS_MAX = 400


def test_what_is_made_up_is_what_a_box_could_answer() -> None:
    routes = list_routes(build_verbs())
    for path, answer in {**answers(), "/machines/web1/points": list_points("limit=50")}.items():
        names = re.compile(r"\{\w+\}")
        found = [one for one in routes if re.fullmatch(names.sub("[^/]+", one.path), path)]
        assert found, path
        msgspec.convert(answer, found[0].answer)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_axe_finds_nothing_where_there_is_much_to_show(
    browser: Browser, box: ServedBox, language: str
) -> None:
    found = {}
    with open_page(browser, box, language=language, theme="dark") as watched:
        make_up(watched.page)
        for path in (*PAGES, f"/drills/{DRILL}"):
            watched.show(path)
            if violations := watched.violations():
                found[path] = violations
    assert not found


def test_full_pages_fit_a_phone(browser: Browser, box: ServedBox) -> None:
    found = {}
    with open_page(browser, box, size=PHONE) as watched:
        make_up(watched.page)
        for path in (*PAGES, f"/drills/{DRILL}"):
            watched.show(path)
            if width := watched.overflow():
                found[path] = width
    assert not found


def test_five_thousand_points_are_walked_through_by_keys(browser: Browser, box: ServedBox) -> None:
    with open_page(browser, box) as watched:
        page = watched.page
        make_up(page)
        watched.show("/recover/web1")
        slider = page.get_by_role("slider")
        expect(slider).to_have_attribute("aria-valuemax", str(POINTS), timeout=60_000)
        assert page.locator(".mark").count() < MARKS_MAX
        slider.focus()
        page.keyboard.press("End")
        expect(slider).to_have_attribute("aria-valuenow", str(POINTS))
        page.keyboard.press("ArrowLeft")
        expect(slider).to_have_attribute("aria-valuenow", str(POINTS - 1))
        page.keyboard.press("Home")
        expect(slider).to_have_attribute("aria-valuenow", "1")
        expect(slider).to_have_attribute("aria-valuetext", re.compile("Vault office"))
        page.get_by_role("button", name="Day").click()
        watched.wait_for(lambda: page.locator(".mark").count() < 60, "a day has too many marks")


def test_a_disk_is_replaced_only_after_its_plan_was_shown(browser: Browser, box: ServedBox) -> None:
    with open_page(browser, box) as watched:
        page = watched.page
        asked = make_up(page)
        watched.show("/disks")
        # The worst is shown first; symbols have words, and the light is said, too.
        bay = page.get_by_role("button", name=re.compile("Slot 03.*Act now.*light is on"))
        expect(bay).to_have_attribute("aria-pressed", "true")
        expect(page.get_by_text(HOSTILE)).to_be_visible()
        expect(page.get_by_role("progressbar", name=re.compile("md0"))).to_be_visible()
        page.get_by_role("button", name="Replace this disk").click()
        expect(page.get_by_text("add sdd to md0")).to_be_visible()
        assert asked == [{"old": "sdc", "new": "sdd"}]
        page.get_by_role("button", name="Carry out this plan").click()
        page.get_by_role("dialog").get_by_role("button", name="Carry out this plan").click()
        watched.wait_for(lambda: len(asked) > 1, "the plan is not carried out")
        assert asked[1:] == [{"old": "sdc", "new": "sdd", "yes": True}]


def test_a_bay_is_chosen_by_keyboard(browser: Browser, box: ServedBox) -> None:
    with open_page(browser, box) as watched:
        page = watched.page
        make_up(page)
        watched.show("/disks")
        page.get_by_role("button", name=re.compile("Slot 05")).focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name=re.compile("Slot 05"))).to_have_attribute(
            "aria-pressed", "true"
        )
