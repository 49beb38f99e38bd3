"""What a box is given and gives away: a certificate, its bundle, another name for a machine."""

from __future__ import annotations

import ssl
import tarfile
from pathlib import Path

from playwright.sync_api import Browser, expect

from appliance.access import authority
from appliance.base.clock import SystemClock
from tests.web.browsing import open_page
from tests.web.served_box import PASSWORD, ServedBox


def served(box: ServedBox) -> str:
    """The certificate that the next browser is shown."""
    return ssl.get_server_certificate(("localhost", box.port), timeout=60)


def test_a_certificate_is_brought_shown_to_browsers_and_given_up_again(
    browser: Browser, box: ServedBox
) -> None:
    names, now = ["localhost", "127.0.0.1"], SystemClock().now().replace(microsecond=0)
    company = authority.make_authority("company", names, now)
    brought = authority.issue(company, names, now)
    chain = (brought.certificate + company.certificate).decode()
    own = served(box)
    with open_page(browser, box) as watched:
        page = watched.page
        watched.show("/settings/certificates")
        page.locator("[name=certificate]").fill(chain)
        page.locator("[name=key]").fill("no key at all")
        page.get_by_role("button", name="Check and serve it").click()
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.locator("[name=certificate]")).to_have_value(chain)
        page.locator("[name=key]").fill(brought.key.decode())
        page.get_by_role("button", name="Check and serve it").click()
        back = page.get_by_role("button", name="Use the box's own")
        back.wait_for()
        assert served(box).strip() == chain[: len(served(box).strip())]
        assert not watched.violations()
        back.click()
        page.get_by_role("dialog").get_by_role("button", name="Use the box's own").click()
        page.get_by_role("link", name="authority").wait_for()
        assert served(box) == own


def test_the_bundle_is_downloaded_and_holds_no_secret(
    browser: Browser, box: ServedBox, tmp_path: Path
) -> None:
    target = tmp_path / "bundle.tar.gz"
    with open_page(browser, box) as watched:
        watched.show("/settings/support")
        with watched.page.expect_download() as download:
            watched.page.locator("main a[download]").click()
        download.value.save_as(target)
        assert not watched.violations()
    words = [line.split()[1:5] for line in box.recovery_key.splitlines() if line[:1].isdigit()]
    secrets = [PASSWORD, box.cookie["value"], *(" ".join(row) for row in words)]
    with tarfile.open(target) as archive:
        names = archive.getnames()
        texts = [archive.extractfile(one) for one in archive.getmembers() if one.isfile()]
        everything = b"".join(text.read() for text in texts if text).decode(errors="replace")
    assert any(name.endswith("daemon.log") or "logs" in name for name in names), names
    assert not [secret for secret in secrets if secret in everything]


def test_a_machine_is_called_otherwise(browser: Browser, box: ServedBox, disk: Path) -> None:
    box.run("machines add", name="old name", sources=[str(disk)])
    with open_page(browser, box) as watched:
        page = watched.page
        watched.show("/machines/old name")
        page.get_by_label("New name").fill("new <i>name")
        page.get_by_role("button", name="Rename it").click()
        expect(page.locator(".action .error-text")).to_be_visible()
        page.get_by_label("New name").fill("new-name")
        page.get_by_role("button", name="Rename it").click()
        expect(page.locator("h1")).to_have_text("new-name")
        assert not watched.violations()
        watched.show("/machines")
        expect(page.get_by_role("link", name="new-name")).to_be_visible()
        expect(page.get_by_role("link", name="old name")).to_have_count(0)
