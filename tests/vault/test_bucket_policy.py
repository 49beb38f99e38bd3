"""The least policy: with it everything works on the real gateway, and nothing else does."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from appliance.formats.vault_credentials import Credentials
from appliance.vault.bucket import DeniedError
from appliance.vault.bucket_policy import make_policy
from appliance.vault.object_lock import probe_lock
from tests.vault.conftest import Connect, Run, new_name
from tests.vault.gateway import Gateway
from tests.vault.test_bucket_contract import BODY, names, sha256

MIB = 1 << 20
GUEST = Credentials("GUESTACCESS", "guest-secret")


@pytest.fixture(scope="module")
def guest(gateway: Gateway) -> str:
    """The ARN of an account that owns nothing."""
    return gateway.create_user("guest", GUEST)


def test_with_the_least_policy_everything_works_and_nothing_else(
    run: Run, connect: Connect, gateway: Gateway, guest: str
) -> None:
    address = gateway.address(new_name(), "office")
    owner = connect(address, with_lock=True)
    with pytest.raises(DeniedError):
        connect(address, GUEST, create=False)
    policy = json.dumps(make_policy(address, is_locked=True, principal=guest))
    run(owner.calls.call("put_bucket_policy", "PUT", "policy", Policy=policy))

    box = connect(address, GUEST, create=False, with_lock=True)
    assert run(probe_lock(box)).holds
    until = datetime.now(UTC) + timedelta(minutes=1)
    run(box.put("a/b", BODY, sha256(BODY), lock_until=until))
    long = BODY * 80
    run(box.put("a/c", long, sha256(long), lock_until=until, part_bytes=5 * MIB))
    run(box.replace("heads/m", b"one", tag=None))
    assert run(names(box, "a/")) == ["a/b", "a/c"]
    assert run(box.get("a/c")).data == long
    run(box.delete("heads/m"))
    run(box.drop_unfinished(until))
    run(box.list_versions("a/"))

    calls = box.calls
    for operation, members in (
        ("put_bucket_policy", {"Policy": policy}),
        ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Suspended"}}),
        ("put_object_lock_configuration", {"ObjectLockConfiguration": {}}),
        ("delete_bucket", {}),
        ("put_object", {"Key": "elsewhere/x", "Body": b"x"}),
        ("get_object", {"Key": "elsewhere/x"}),
        ("list_objects_v2", {"Prefix": "elsewhere/"}),
        ("list_objects_v2", {}),
    ):
        with pytest.raises(DeniedError):
            run(calls.call(operation, "PUT", operation, **members))


def test_a_policy_for_an_account_names_no_principal(gateway: Gateway) -> None:
    address = gateway.address("bucket")
    policy = make_policy(address, is_locked=False)
    assert policy["Version"] == "2012-10-17"
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert not [statement for statement in policy["Statement"] if "Principal" in statement]
    assert "s3:DeleteObjectVersion" not in actions
    assert not [action for action in actions if "Bypass" in action or action == "s3:*"]
