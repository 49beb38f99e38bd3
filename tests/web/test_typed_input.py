"""What somebody typed is lost neither by an error, nor by an ended session, nor by a reload."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Route, expect

from tests.web.browsing import Watched, open_page
from tests.web.served_box import PASSWORD, ServedBox


class BrokenLine:
    """A line that is cut, then takes requests and brings no answers, and then is whole again."""

    def __init__(self) -> None:
        self.held: list[Route] = []
        self._meet: Callable[[Route], object] = Route.abort

    def meet(self, route: Route) -> None:
        """What becomes of a request."""
        self._meet(route)

    def hold(self) -> None:
        self._meet = self.held.append

    def holds(self, path: str) -> bool:
        return any(urlsplit(route.request.url).path == path for route in self.held)

    def carry(self) -> None:
        """From now on; what is held stays held."""
        self._meet = Route.continue_

    def mend(self) -> None:
        self.carry()
        for route in self.held:
            route.continue_()


def sign_in_again(watched: Watched) -> None:
    watched.page.fill("dialog[open] [name=password]", PASSWORD)
    watched.page.keyboard.press("Enter")


def begin_token(watched: Watched, name: str) -> None:
    watched.show("/settings/tokens")
    watched.page.click("main button:has-text('Make a token')")
    watched.page.fill("dialog [name=name]", name)


def test_a_session_that_ended_is_renewed_over_the_form(browser: Browser, box: ServedBox) -> None:
    with open_page(browser, box, is_signed_in=False) as watched:
        page = watched.page
        watched.sign_in()
        begin_token(watched, "a script of mine")
        watched.end_session()
        page.click("dialog button[type=submit]")
        page.wait_for_selector("dialog h2:text-is('Your session has ended')")
        assert not watched.violations()
        sign_in_again(watched)
        # The new session has not confirmed who it is: the same request asks for that, too.
        page.wait_for_selector("dialog h2:text-is('Is it you?')")
        assert not watched.violations()
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog [role=alert]")
        assert page.input_value("dialog [name=name]") == "a script of mine"
        watched.reload()
        page.click("main button:has-text('Make a token')")
        assert page.input_value("dialog [name=name]") == "a script of mine"


def test_an_error_keeps_the_form_and_success_empties_it(browser: Browser, box: ServedBox) -> None:
    with open_page(browser, box) as watched:
        page = watched.page
        watched.show("/settings/users")
        page.click("main button:has-text('Add a user')")
        page.fill("dialog [name=name]", "Not A Name")
        page.click("dialog button[type=submit]")
        page.wait_for_selector("dialog [role=alert] [lang=en]")
        assert page.input_value("dialog [name=name]") == "Not A Name"
        assert not watched.violations()
        page.fill("dialog [name=name]", "wei")
        page.click("dialog button[type=submit]")
        page.wait_for_selector("dialog h2:text-is('Password for wei')")
        assert not watched.violations()
        page.click("dialog .is-main")
        page.wait_for_selector("main th:has-text('wei')")
        page.click("main button:has-text('Add a user')")
        assert page.input_value("dialog [name=name]") == ""


def test_no_secret_is_kept_by_the_browser(browser: Browser, box: ServedBox) -> None:
    with open_page(browser, box) as watched:
        watched.show("/settings/account")
        watched.page.fill("[name=old]", "planted-secret-1")
        watched.page.fill("[name=new]", "planted-secret-2")
        kept = watched.page.evaluate(
            "() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
        )
        assert "planted" not in kept
        assert "__Host" not in kept


def test_the_line_that_broke_is_said_and_comes_back(browser: Browser, box: ServedBox) -> None:
    line = BrokenLine()
    with open_page(browser, box) as watched:
        page = watched.page
        watched.expected = ("Failed to load resource", "Error", "")
        watched.show("/settings/box")
        watched.show("/settings/account")
        page.route("**/api/**", line.meet)
        watched.show("/settings/box")
        page.wait_for_selector("main [role=alert]:has-text('The box does not answer')")
        assert not watched.violations()
        # Whatever the box tells meanwhile has the page ask again, too: nothing gets an answer
        # before the button was pressed, which would be gone.
        line.hold()
        page.click("main [role=alert] button")
        watched.wait_for(lambda: line.holds("/api/v1/box"), "nothing is asked again")
        line.mend()
        page.wait_for_selector("main dl.facts")
        expect(page.locator("main [role=alert]")).to_have_count(0)


def test_an_old_answer_never_covers_a_newer_one(browser: Browser, box: ServedBox) -> None:
    line = BrokenLine()
    with open_page(browser, box) as watched:
        page = watched.page
        watched.show("/vault")
        line.hold()
        page.route("**/api/v1/vaults", line.meet)
        box.run("vault sync", name="office")
        watched.wait_for(lambda: bool(line.held), "the end of a job renews nothing")
        line.carry()
        with page.expect_response("**/api/v1/vaults"):
            box.run("vault sync", name="office")
        for route in line.held:
            route.fulfill(json={"items": []})
        watched.settle()
        assert page.locator("main h2:has-text('office')").count()
