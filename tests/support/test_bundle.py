"""The support bundle tells how a box is, and none of the secrets that were planted everywhere."""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from appliance.access.access import Access
from appliance.base.clock import SystemClock
from appliance.base.errors import HoldfastError
from appliance.base.progress import Progress
from appliance.cli.main import main
from appliance.formats.recovery_key import format_base32, word_rows
from appliance.support.bundle import LOG_MAX_BYTES, LOOKS, Bundle
from tests.access.conftest import PASSWORD, cheap_passwords, facts

KEY = bytes(range(32))
ROWS = [" ".join(row) for row, _ in word_rows(KEY)]
TOKEN = "hf_0123456789ab_" + "A" * 43


def read_bundle(data: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        return {
            member.name: (archive.extractfile(member) or io.BytesIO()).read().decode()
            for member in members
        }


def make(state: Path, answers: dict[str, object]) -> dict[str, str]:
    def ask(words: Sequence[str]) -> str:
        if words[0] not in answers:
            raise HoldfastError(f"{words[0]}: the passphrase=planted-in-an-error is wrong")
        return json.dumps(answers[words[0]])

    target = io.BytesIO()
    Bundle(state, "9.9", SystemClock(), ask).write(target, Progress())
    return read_bundle(target.getvalue())


def planted() -> Iterator[tuple[str, str]]:
    """(a line of a log, what must not be in the bundle)"""
    yield f"Authorization: Bearer {TOKEN}", TOKEN
    yield f"token is {TOKEN}.", "A" * 43
    yield "password=planted-1 user=ann", "planted-1"
    yield '{"secret_key": "planted 2 with spaces"}', "planted 2"
    yield "export HOLDFAST_PASSPHRASE='planted-3'", "planted-3"
    yield "open https://ann:planted-4@vault.example/bucket", "planted-4"
    yield f"base32: {format_base32(KEY)}", format_base32(KEY)
    yield format_base32(KEY).replace("-", ""), format_base32(KEY).replace("-", "")
    yield (
        "\n".join(
            f"{n}  {row}  {d}" for n, (row, d) in enumerate(zip(ROWS, "123456", strict=True), 1)
        ),
        ROWS[3],
    )
    yield " ".join(ROWS).upper(), ROWS[1].upper()
    yield "$argon2id$v=19$m=65536,t=3,p=4$planted5$planted5", "planted5"
    yield "-----BEGIN PRIVATE KEY-----\nplanted6\n-----END PRIVATE KEY-----", "planted6"
    yield "setup code, good for an hour: 0123A-BCDEF-GHJKM-NPQRS", "0123A-BCDEF"


def test_what_has_the_form_of_a_secret_is_hidden_in_logs_and_answers(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    lines = [line for line, _ in planted()]
    (tmp_path / "run" / "daemon.log").write_text(
        "\n---\n".join(["begin", *lines, "end of the log"])
    )
    job = {"verb": "vault add", "arguments": {"credentials_file": "planted-7"}, "log": lines}
    files = make(tmp_path, {"jobs": {"jobs": [job]}, "status": {"name": "box1", "note": lines[0]}})
    everything = "\n".join(files.values())
    for _, secret in [*planted(), ("", "planted-7"), ("", "planted-in-an-error")]:
        assert secret not in everything, secret
    assert "end of the log" in files["holdfast-bundle/logs/run/daemon.log"]
    assert '"name": "box1"' in files["holdfast-bundle/status.json"]
    assert "vms" in files["holdfast-bundle/missing.json"]


def test_what_a_guest_printed_and_what_lies_in_the_store_stays_away(tmp_path: Path) -> None:
    for name in ("vms/web1/0-serial.log", "store/x.log", "tls/y.log", "vms/web1/qemu.log"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a line\n")
    (tmp_path / "vms" / "link.log").symlink_to("/etc/passwd")
    logs = [name for name in make(tmp_path, {}) if "/logs/" in name]
    assert logs == ["holdfast-bundle/logs/vms/web1/qemu.log"]


def test_its_beginning_comes_before_the_first_answer(tmp_path: Path) -> None:
    target, begun = io.BytesIO(), []

    def ask(words: Sequence[str]) -> str:
        begun.append(zlib.decompressobj(wbits=31).decompress(target.getvalue()))
        raise HoldfastError(f"{words[0]}: a disk hangs")

    Bundle(tmp_path, "9.9", SystemClock(), ask).write(target, Progress())
    assert b'"holdfast": "9.9"' in begun[0]
    assert "a disk hangs" in read_bundle(target.getvalue())["holdfast-bundle/missing.json"]


def test_of_a_long_log_the_end_is_told_from_a_whole_line(tmp_path: Path) -> None:
    secret = "password=" + "x" * 100
    (tmp_path / "a.log").write_text(f"{secret}\n" + "line\n" * (LOG_MAX_BYTES // 5 - 10))
    text = make(tmp_path, {})["holdfast-bundle/logs/a.log"]
    assert "x" not in text
    assert text.endswith("line\n")
    assert len(text) <= LOG_MAX_BYTES


def test_a_real_box_tells_none_of_its_secrets(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, key, out = tmp_path / "state", tmp_path / "key", tmp_path / "bundle.tar.gz"
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("planted passphrase of the store\n")
    monkeypatch.setenv("HOLDFAST_STATE", str(state))
    assert main(["--passphrase-file", str(passphrase), "init", "--recovery-out", str(key)]) == 0
    with Access(state, passwords=cheap_passwords()) as access:
        access.accounts.add("ann", "admin", PASSWORD)
        cookie = access.gate.log_in("ann", PASSWORD, None, facts())
        token = access.tokens.make("ci", "ann", "viewer").secret
        totp = access.second_factor.begin(access.accounts.get("ann"), "box1").secret
        stored = access.accounts.get("ann").password
        code = access.gate.show_presence_code("ann")
        access.audit.note("ann", "vault add", detail={"secret_key": "planted-key"})
    looks = tuple(words for words in LOOKS if words[0] in ("status", "users", "tokens", "audit"))
    monkeypatch.setattr("appliance.support.bundle.LOOKS", looks)
    assert main(["bundle", str(out)]) == 0
    assert out.stat().st_mode & 0o777 == 0o600
    files = read_bundle(out.read_bytes())
    everything = "\n".join(files.values())
    secrets = [cookie, token, totp, stored, code, PASSWORD, "planted"]
    words = [line for line in key.read_text().splitlines() if line[:1].isdigit()]
    for secret in [*secrets, *(" ".join(line.split()[1:5]) for line in words)]:
        assert secret not in everything
    assert "ann" in files["holdfast-bundle/users-list.json"]
    assert "vault add" in files["holdfast-bundle/audit-list-limit-1000.json"]
