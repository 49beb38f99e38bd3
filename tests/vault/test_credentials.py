"""Keys of a bucket: read strictly, kept sealed, shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import IntegrityError, NotFoundError, UsageError
from appliance.formats.vault_credentials import (
    Credentials,
    decode_credentials,
    encode_credentials,
)
from appliance.keys.hierarchy import MasterKey
from appliance.store.layout import Layout
from appliance.store.records import Records
from appliance.vault.credentials import (
    KeptCredentials,
    parse_credentials,
    read_credentials_file,
    read_environment,
)

SECRET = "s3cr3t/With+Signs="
FILE = f"""# remark
[default]
aws_access_key_id = AKIAEXAMPLE
aws_secret_access_key={SECRET}
region = somewhere

[other]
aws_access_key_id = OTHER
"""


def test_the_default_section_is_read(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    for text in (FILE, FILE.replace("\n", "\r\n"), "\ufeff" + FILE):
        path.write_bytes(text.encode())
        assert read_credentials_file(path) == Credentials("AKIAEXAMPLE", SECRET)


def test_a_session_token_comes_along() -> None:
    text = FILE.replace("region =", "aws_session_token =")
    assert parse_credentials(text.encode(), "f").session_token == "somewhere"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no section"),
        ("[default]\n", "no aws_access_key_id"),
        ("[default]\naws_access_key_id = a\n", "no aws_secret_access_key"),
        ("[default]\naws_access_key_id = a\naws_secret_access_key =\n", "no aws_secret"),
        (f"aws_secret_access_key = {SECRET}\n", "not an INI file"),
        (f"[default]\n{SECRET[:-1]}\n", "not an INI file"),
        (f"[default]\naws_access_key_id = a b\naws_secret_access_key = {SECRET}\n", "access key"),
        (f"[default]\naws_access_key_id = {SECRET}\naws_access_key_id = b\n", "given twice"),
        (
            f"[default]\naws_access_key_id = a\naws_secret_access_key = {SECRET}\n more\n",
            "secret key",
        ),
        ("[default]\n[default]\n", "not an INI file"),
        ("[default]\naws_access_key_id = a\0\naws_secret_access_key = b\n", "access key"),
        ("x" * 70_000, "longer than"),
    ],
)
def test_a_bad_file_is_named_and_not_quoted(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as refused:
        parse_credentials(text.encode(), "/etc/keys.ini")
    assert "/etc/keys.ini" in str(refused.value)
    assert SECRET[:-1] not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"keys\.ini"):
        read_credentials_file(tmp_path / "keys.ini")


@given(st.binary(max_size=300) | st.text(alphabet="[]=default\n #;aws_").map(str.encode))
def test_whatever_is_in_the_file_there_are_keys_or_a_usage_error(data: bytes) -> None:
    with pytest.raises(UsageError):
        parse_credentials(data, "f")


def test_the_environment_is_read_whole_or_not_at_all() -> None:
    assert read_environment({}) is None
    both = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": SECRET}
    assert read_environment(both) == Credentials("a", SECRET)
    with pytest.raises(UsageError, match="AWS_SECRET_ACCESS_KEY"):
        read_environment({"AWS_ACCESS_KEY_ID": "a"})


def test_nothing_shows_a_secret() -> None:
    credentials = Credentials("a", SECRET, "token-text")
    assert SECRET not in f"{credentials} {credentials!r}"
    assert "token-text" not in f"{credentials} {credentials!r}"


@pytest.fixture
def kept(state: Path) -> KeptCredentials:
    (state / "store").mkdir(parents=True)
    return KeptCredentials(Records(Layout(state), MasterKey(bytes(32), bytes(16))))


def test_kept_keys_are_sealed_and_come_back(kept: KeptCredentials, state: Path) -> None:
    credentials = Credentials("AKIAEXAMPLE", SECRET, None)
    kept.keep("main", credentials)
    assert kept.find("main") == credentials
    files = [path.read_bytes() for path in state.rglob("*") if path.is_file()]
    assert files
    assert not [data for data in files if SECRET.encode() in data or b"AKIAEXAMPLE" in data]
    other = Credentials("b", "c", "d")
    kept.keep("main", other)
    assert kept.find("main") == other
    kept.drop("main")
    kept.drop("main")
    with pytest.raises(NotFoundError, match="set-credentials"):
        kept.find("main")


def test_a_record_moved_to_another_vault_does_not_open(kept: KeptCredentials, state: Path) -> None:
    kept.keep("main", Credentials("a", "b"))
    path = state / "store/vaults/main.credentials"
    path.rename(path.with_name("other.credentials"))
    with pytest.raises(IntegrityError):
        kept.find("other")


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", "a" * 33])
def test_a_vaults_name_leads_nowhere_else(kept: KeptCredentials, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        kept.keep(name, Credentials("a", "b"))


@pytest.mark.parametrize(
    "members",
    [
        b'{"format": 1, "kind": "hold", "access_key": "a", "secret_key": "b"}',
        b'{"format": 1, "kind": "vault-credentials", "access_key": "a b", "secret_key": "b"}',
        b'{"format": 1, "kind": "vault-credentials", "access_key": "a"}',
        b"[]",
    ],
)
def test_a_record_that_is_none_is_refused(members: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_credentials(members)


def test_what_was_encoded_is_decoded() -> None:
    for credentials in (Credentials("a", "b"), Credentials("a", "b", "c")):
        assert decode_credentials(encode_credentials(credentials)) == credentials
