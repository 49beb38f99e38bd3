"""A new box is set up with the keyboard alone; what a step cannot do here, it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from appliance.health.plans import Plan, Step
from tests.notices.servers import MailServer
from tests.vault.gateway import BOX, running_gateway
from tests.web.browsing import PHONE, Watched, open_page
from tests.web.made_up import disk, job, known, make_up
from tests.web.served_box import PASSWORD, USER, ServedBox

TABS_MAX = 60
AT_DISKS = json.dumps({"isActive": True, "way": "new", "step": "disks"})
AT_VAULT = json.dumps({"isActive": True, "way": "new", "step": "vault"})


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the focus is on what `selector` finds."""
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        if page.evaluate("(one) => document.activeElement.matches(one)", selector):
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


def press(page: Page, selector: str) -> None:
    """Press a button as the keyboard does, which needs it to be ready."""
    tab_to(page, selector)
    page.keyboard.press("Enter")


def fill(page: Page, name: str, text: str) -> None:
    tab_to(page, f"[name={name}]")
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def arrive(watched: Watched, title: str) -> None:
    watched.page.wait_for_selector(f"h1:text-is('{title}')")
    assert watched.page.evaluate("() => document.activeElement.tagName") in ("H1", "BODY")
    assert not watched.violations(), title


def rows_of(sheet: str) -> dict[str, str]:
    """Row number -> words, as they stand on paper."""
    rows = re.findall(r"^(\d)\s+((?:[a-z]+ +)+?)\s*\d\d$", sheet, re.MULTILINE)
    return {number: words.strip() for number, words in rows}


def choose(page: Page, name: str, steps: int) -> None:
    """Another one of a group of choices, or of a list."""
    tab_to(page, f"[name={name}]")
    for _ in range(steps):
        page.keyboard.press("ArrowDown")


def add_vault(watched: Watched, folder: Path) -> None:
    """One that cannot be first, and then one that can: what was typed is still there."""
    page, main = watched.page, "main .is-main:not([aria-pressed])"
    (folder / "file").write_bytes(b"no share")
    choose(page, "kind", 1)
    fill(page, "directory", str(folder / "file" / "share"))
    press(page, main)
    page.wait_for_selector("main [role=alert] [lang=en]")
    assert page.input_value("[name=directory]") == str(folder / "file" / "share")
    assert not watched.violations()
    page.focus("h1")
    fill(page, "directory", str(folder / "vault"))
    press(page, main)
    page.wait_for_selector("text=The vault was written to and read from")
    page.focus("h1")
    press(page, main)


def add_mail(watched: Watched, server: MailServer) -> None:
    """The test message arrives before the wizard goes on."""
    page, main = watched.page, "main .is-main:not([aria-pressed])"
    fill(page, "server", f"localhost:{server.port}")
    choose(page, "security", 2)
    fill(page, "to", "team@example.org")
    press(page, main)
    page.wait_for_selector("text=a test message is on its way")
    watched.wait_for(lambda: bool(server.mails), "no mail came")
    assert not watched.violations()
    page.focus("h1")
    press(page, "main .wizard-actions .is-main")


def test_the_keyboard_leads_from_the_code_to_the_home_page(
    browser: Browser, new_box: ServedBox, tmp_path: Path
) -> None:
    with (
        MailServer(None) as mail_server,
        open_page(browser, new_box, is_signed_in=False) as watched,
    ):
        page, main = watched.page, "main .is-main:not([aria-pressed])"
        arrive(watched, "Welcome to Holdfast")
        fill(page, "code", "WRONG-WRONG-WRONG-WRONG")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=alert]")
        assert page.input_value("[name=code]") == "WRONG-WRONG-WRONG-WRONG"
        page.focus("h1")
        fill(page, "code", new_box.setup_code)
        page.keyboard.press("Enter")
        arrive(watched, "The first administrator")
        fill(page, "user", USER)
        fill(page, "password", PASSWORD)
        fill(page, "again", PASSWORD)
        press(page, main)
        arrive(watched, "Is the time right?")
        page.wait_for_selector("text=The same as on this computer")
        press(page, main)
        arrive(watched, "The network")
        press(page, main)
        arrive(watched, "Disks")
        press(page, main)
        arrive(watched, "The recovery key")
        press(page, main)
        sheet = page.text_content(".paper pre", timeout=120_000) or ""
        assert not watched.violations()
        page.focus("h1")
        press(page, main)
        arrive(watched, "Read it back")
        rows = rows_of(sheet)
        assert len(rows) == 6, sheet
        fill(page, "first", "these are other words")
        page.wait_for_selector("text=This is not what the row says")
        page.focus("h1")
        for name in ("first", "second"):
            label = page.text_content(f"label[for={page.get_attribute(f'[name={name}]', 'id')}]")
            number = re.search(r"\d", label or "")
            assert number
            fill(page, name, rows[number[0]])
        press(page, main)
        arrive(watched, "The vault")
        add_vault(watched, tmp_path)
        arrive(watched, "Who is told?")
        add_mail(watched, mail_server)
        arrive(watched, "Protect the first machine")
        press(page, "main .actions .button:last-child")
        page.wait_for_selector("h1:text-is('No machine is protected yet.')")
        assert not watched.violations()
    assert new_box.ask("GET", "/setup")[1]["state"] == "done"
    assert list((tmp_path / "vault").rglob("*"))


def test_an_array_is_made_only_of_the_plan_that_was_agreed_to(
    browser: Browser, box: ServedBox
) -> None:
    disks = [disk(f"sd{letter}", "good", f"Slot {letter}") for letter in "abcd"]
    with open_page(browser, box) as watched:
        page = watched.page
        page.evaluate("(step) => localStorage.setItem('holdfast.setup', step)", AT_DISKS)
        found = {"/disks": known(disks), "/arrays": known([]), **answer_plan(disks[:3])}
        asked = make_up(page, found)
        watched.reload()
        page.get_by_role("button", name="Propose a layout").click()
        expect(page.get_by_text("make md0 of 3 disks")).to_be_visible()
        expect(page.get_by_text("everything on sda, sdb, sdc is overwritten")).to_be_visible()
        assert not watched.violations()
        # Somebody plugs in a fourth one: what would be made now is shown, and not made.
        found.update(answer_plan(disks))
        agree_to_array(page)
        expect(page.get_by_text("make md0 of 4 disks")).to_be_visible()
        assert not any("yes" in body for body in asked)
        agree_to_array(page)
        expect(page.get_by_text(re.compile("^Finished"))).to_be_visible()
        assert [body for body in asked if "yes" in body] == [{"yes": True}]


def answer_plan(disks: list[dict[str, Any]]) -> dict[str, Any]:
    """What the box answers that would make an array of all these."""
    names = [one["name"] for one in disks]
    plan = Plan(
        f"make md0 of {len(names)} disks: raid6, two may fail",
        (Step("make the array", ("mdadm", "--create")),),
        (f"everything on {', '.join(names)} is overwritten",),
        facts={"array": "md0", "level": "raid6", "disks": names},
    )
    made = job(999, "array create", plan.to_json())
    return {"/run/array/create": made, "/jobs/999": made}


def agree_to_array(page: Page) -> None:
    page.get_by_role("button", name="Make the array").click()
    page.get_by_role("dialog").get_by_role("button", name="Make the array").click()


def test_a_bucket_is_tried_with_what_was_typed_and_added_when_it_answers(
    browser: Browser, box: ServedBox, tmp_path: Path
) -> None:
    with running_gateway(tmp_path) as gateway, open_page(browser, box) as watched:
        page = watched.page
        page.evaluate("(step) => localStorage.setItem('holdfast.setup', step)", AT_VAULT)
        watched.reload()
        secret = page.get_by_label("Secret key")
        for label, text in (
            ("Address of the service", gateway.endpoint),
            ("Bucket", "offsite"),
            ("Access key", BOX.access_key),
            ("What to call it", "bucket"),
            ("Days during which nothing can be deleted", "1"),
        ):
            page.get_by_label(label, exact=True).fill(text)
        secret.fill("not the secret of this account")
        try_it = page.get_by_role("button", name="Try it and add it")
        try_it.click()
        expect(page.get_by_role("alert")).to_contain_text("credentials")
        expect(page.get_by_label("Bucket", exact=True)).to_have_value("offsite")
        assert not watched.violations()
        assert "not the secret" not in page.evaluate("() => JSON.stringify(sessionStorage)")
        secret.fill(BOX.secret_key)
        try_it.click()
        expect(page.get_by_text("The vault was written to and read from")).to_be_visible()
        assert not watched.violations()
        listed = {one["name"]: one for one in box.run("vault status")["result"]["vaults"]}
        assert listed["bucket"]["lock_days"] == 1
        assert listed["bucket"]["lock_proven_at"]
        assert BOX.secret_key not in json.dumps(listed)
        box.run("vault remove", name="bucket")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_somebody_who_is_not_signed_in_sees_the_door(
    browser: Browser, box: ServedBox, language: str
) -> None:
    with open_page(browser, box, is_signed_in=False, language=language, size=PHONE) as watched:
        page = watched.page
        assert not watched.violations()
        assert not watched.overflow()
        page.fill("[name=user]", "nobody")
        page.fill("[name=password]", "not the password")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=alert]")
        assert not watched.violations()
        page.fill("[name=user]", USER)
        page.fill("[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector(".standing h1")
