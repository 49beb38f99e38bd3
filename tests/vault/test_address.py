"""URLs of vaults: what is taken, and what is refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import UsageError
from appliance.vault.address import (
    DirectoryAddress,
    S3Address,
    check_as_of,
    check_lock,
    parse_address,
)

GOOD = {
    "file:///mnt/disk": DirectoryAddress(Path("/mnt/disk")),
    "file:///mnt/my%20disk/": DirectoryAddress(Path("/mnt/my disk")),
    "s3://bucket": S3Address(
        "bucket", "", "https://s3.us-east-1.amazonaws.com", "us-east-1", "virtual"
    ),
    "s3://bucket/a/b/?region=cn-north-1": S3Address(
        "bucket", "a/b/", "https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1", "virtual"
    ),
    "s3://bucket?endpoint=http://127.0.0.1:8000": S3Address(
        "bucket", "", "http://127.0.0.1:8000", "us-east-1", "path"
    ),
    "s3://bucket?endpoint=http://[::1]:8000&style=path": S3Address(
        "bucket", "", "http://[::1]:8000", "us-east-1", "path"
    ),
    "s3://b.c?endpoint=https://ceph.office.example&style=path&region=here": S3Address(
        "b.c", "", "https://ceph.office.example", "here", "path"
    ),
    "s3://bucket?endpoint=https://oss-cn-hangzhou.aliyuncs.com&region=cn-hangzhou": S3Address(
        "bucket", "", "https://oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou", "virtual"
    ),
}

BAD = {
    "": "no vault",
    "ftp://bucket": "no vault",
    "/mnt/disk": "^'/mnt/disk' is no vault",
    "key:secret@bucket": "^key:// is no vault",
    "secret@bucket": "^that is no vault",
    "file://host/dir": "three slashes",
    "file:///": "absolute path",
    "file:///.": "absolute path",
    "file:///a/../etc": r"without '\.\.'",
    "file:///a/%2e%2e/etc": r"without '\.\.'",
    "file:///a%00b": "absolute path",
    "file:///a?as-of=x": "no parameters",
    "file:///a b": "spaces",
    "s3://": "no name of a bucket",
    "s3://ab": "no name of a bucket",
    "s3://Bucket": "no name of a bucket",
    "s3://127.0.0.1": "no name of a bucket",
    "s3://key:secret@bucket": "must not contain keys",
    "s3://bucket#x": "after '#'",
    "s3://bucket/../x": "cannot be a prefix",
    "s3://bucket/a b": "spaces",
    "s3://bucket/.hidden": "cannot be a prefix",
    "s3://bucket?secret_key=x": "no parameter",
    "s3://bucket?region=a&region=b": "twice",
    "s3://bucket?region=": "without value",
    "s3://bucket?region=A/B": "no region",
    "s3://bucket?style=both": "style is",
    "s3://b.c?style=virtual&endpoint=https://ceph.example": "no certificate",
    "s3://bucket?endpoint=https://oss-cn-hangzhou.aliyuncs.com&style=path": "style is virtual",
    "s3://bucket?endpoint=http://ceph.example": "anybody on the way",
    "s3://bucket?endpoint=http://10.0.0.1": "anybody on the way",
    "s3://bucket?endpoint=http://2130706433": "anybody on the way",
    "s3://bucket?endpoint=http://localhost.example": "anybody on the way",
    "s3://bucket?endpoint=https://169.254.169.254": "no vault can have",
    "s3://bucket?endpoint=https://[fe80::1]": "no vault can have",
    "s3://bucket?endpoint=https://[::ffff:169.254.169.254]": "no vault can have",
    "s3://bucket?endpoint=https://0.0.0.0": "no vault can have",
    "s3://bucket?endpoint=https://224.0.0.1": "no vault can have",
    "s3://bucket?endpoint=https://key:secret@host": "must not contain keys",
    "s3://bucket?endpoint=https://host/path": "nothing more",
    "s3://bucket?endpoint=https://host?x=y": "nothing more|twice|no parameter",
    "s3://bucket?endpoint=gopher://host": "nothing more",
    "s3://bucket?endpoint=https://host:99999": "no URL",
    "s3://bucket?endpoint=https://%0d%0ahost": "spaces or control",
    "s3://bucket?endpoint=https://": "no host",
    "s3://[": "is none",
}


@pytest.mark.parametrize("url", GOOD)
def test_a_good_address_is_taken_and_shown_so_that_it_can_be_read_again(url: str) -> None:
    address = parse_address(url)
    assert address == GOOD[url]
    assert parse_address(str(address)) == address


@pytest.mark.parametrize("url", BAD)
def test_a_bad_address_is_refused_with_the_reason(url: str) -> None:
    with pytest.raises(UsageError, match=BAD[url]) as refused:
        parse_address(url)
    assert "secret@" not in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.text() | st.text(alphabet="s3:/fileabc?=&%.@[]#\0 -"))
def test_whatever_is_typed_is_an_address_or_a_usage_error(text: str) -> None:
    for url in (text, f"s3://bucket/{text}", f"s3://bucket?{text}", f"file:///{text}"):
        try:
            address = parse_address(url)
        except UsageError:
            continue
        assert parse_address(str(address)) == address


def test_lock_and_as_of_are_for_buckets() -> None:
    with pytest.raises(UsageError, match="leave out --lock"):
        check_lock(parse_address("file:///a"), 7, is_confirmed=True)
    with pytest.raises(UsageError, match="leave out --as-of"):
        check_as_of(parse_address("file:///a"))
    check_as_of(parse_address("s3://bucket"))


def test_lock_days_are_capped_and_many_have_to_be_confirmed() -> None:
    address = parse_address("s3://bucket")
    check_lock(address, 1, is_confirmed=False)
    check_lock(address, 90, is_confirmed=False)
    with pytest.raises(UsageError, match="confirm"):
        check_lock(address, 91, is_confirmed=False)
    check_lock(address, 3650, is_confirmed=True)
    for days in (0, -1, 3651):
        with pytest.raises(UsageError, match="1 to 3650"):
            check_lock(address, days, is_confirmed=True)


def test_a_provider_without_object_lock_is_named() -> None:
    address = parse_address("s3://bucket?endpoint=https://oss-cn-hangzhou.aliyuncs.com")
    with pytest.raises(UsageError, match="Alibaba"):
        check_lock(address, 7, is_confirmed=True)
