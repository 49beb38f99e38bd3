"""What the box says of what went wrong, as a reader of the other language meets it."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from tests.web.browsing import open_page
from tests.web.served_box import ServedBox


def test_why_a_backup_failed_is_said_on_the_page_of_its_machine(
    browser: Browser, box: ServedBox
) -> None:
    with open_page(browser, box, language="zh") as watched:
        watched.show("/machines/lost")
        reason = watched.page.locator("main .notice .error-text")
        expect(reason).to_contain_text("来源不存在")
        expect(reason.locator("[lang=en]")).to_contain_text("No such file or directory")
        watched.page.get_by_role("link", name="查看任务及其日志").click()
        expect(watched.page.locator("main .error-text")).to_contain_text("来源不存在")


def test_a_wrong_recovery_key_is_called_wrong_and_the_right_one_proves_the_paper(
    browser: Browser, box: ServedBox
) -> None:
    wrong = " ".join(["abandon"] * 23 + ["art"])
    with open_page(browser, box, language="zh") as watched:
        page = watched.page
        watched.show("/settings/box")
        key = page.locator("[name=key]")
        key.fill(wrong)
        page.get_by_role("button", name="核对").click()
        alert = page.get_by_role("alert")
        expect(alert).to_have_text("这不是本设备的恢复密钥。请与纸上逐行核对。")
        expect(key).to_have_value(wrong)
        assert not watched.violations()
        key.fill(box.recovery_key)
        page.get_by_role("button", name="核对").click()
        expect(page.get_by_text("在手边", exact=True)).to_be_visible()
        expect(key).to_have_count(0)
