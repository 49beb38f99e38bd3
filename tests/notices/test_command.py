"""The whole way with the real command: a channel, a test, a finding by mail, and the log."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from appliance.keys.keyring import load_master_key
from appliance.policies.book import Book
from appliance.store.store import Store
from tests.command import Holdfast
from tests.notices.servers import PASSWORD, USER, HookServer, MailServer


def make_late(holdfast: Holdfast) -> None:
    """Let the machine have been added, and promised something, long ago."""
    store = Store(holdfast.state, load_master_key(holdfast.state, None))
    book = Book(store.points)
    record = book.find("web1")
    assert record is not None
    book.put(msgspec.structs.replace(record, since="2026-01-01T00:00:00Z"))
    promise = book.of("web1")
    book.clear("web1")
    book.set(promise, datetime(2026, 1, 1, tzinfo=UTC))


def test_a_machine_that_is_late_is_told_by_mail_and_webhook_once(
    holdfast: Holdfast, tmp_path: Path, certificates: Path
) -> None:
    holdfast("init", "--recovery-out", tmp_path / "key", expect=0)
    source = tmp_path / "disk.raw"
    source.write_bytes(b"x" * 100_000)
    holdfast("machines", "add", "web1", source, expect=0)
    holdfast("policy", "set", "--machine", "web1", "--rpo", "0.02", "--at", "22:00", expect=0)
    password, secret = tmp_path / "password", tmp_path / "secret"
    password.write_text(PASSWORD + "\n")
    secret.write_text("0123456789abcdef\n")
    ca = certificates / "cert.pem"
    with MailServer(certificates) as mail, HookServer(certificates) as hook:
        server = f"localhost:{mail.port}"
        add: list[str | Path] = [
            "notices",
            "add",
            "it",
            "--server",
            server,
            "--user",
            USER,
            "--ca-file",
            ca,
        ]
        holdfast(*add, "--secret-file", password, "--to", "it@example.org", expect=0)
        url = f"https://localhost:{hook.port}/"
        add = ["notices", "add", "hook", "--url", url, "--ca-file", ca, "--allow-private"]
        holdfast(*add, "--secret-file", secret, expect=0)
        said = holdfast("notices", "test", "it", "--json", expect=0).json()
        assert said["answer"] == "localhost took it for 1 recipients"
        make_late(holdfast)
        found = holdfast("health", "--json").json()["findings"]
        late = [item for item in found if item["rule"] == "machine.late"]
        assert [item["subject"] for item in late] == ["machine web1"]
        assert holdfast("notices", "send", "--json", expect=0).json()["made"] == 2
        holdfast("health")
        assert holdfast("notices", "send", "--json", expect=0).json() == {"made": 0, "tried": []}
    assert len(mail.mails) == 2
    assert b"machine web1: it has no good point yet" in mail.mails[1].as_bytes()
    assert "machine.late" in {item["rule"] for item in hook.hits[0].json()["came"]}
    log = holdfast("notices", "log", "--json", expect=0)
    states = [(row["channel"], row["state"]) for row in log.json()["messages"]]
    assert sorted(states) == [("hook", "sent"), ("it", "sent"), ("it", "sent")]
    listed = holdfast("notices", "list", "--json", expect=0)
    for said_text in (log.out, listed.out, holdfast("notices", "list").out):
        assert PASSWORD not in said_text
        assert "0123456789abcdef" not in said_text
    stored = b"".join(path.read_bytes() for path in holdfast.state.rglob("*") if path.is_file())
    assert PASSWORD.encode() not in stored
    holdfast("notices", "remove", "it", expect=0)
    holdfast("notices", "test", "it", expect=5)
