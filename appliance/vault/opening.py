"""Opening what an address names: the directory, or the bucket with what it can do.

Owns the step from an address to a `Bucket`, and the creation of either.
"""

from __future__ import annotations

from typing import Any

from appliance.base.clock import Clock, SystemClock
from appliance.base.errors import NotFoundError, UsageError
from appliance.formats.vault_credentials import Credentials
from appliance.vault.address import Address, DirectoryAddress, S3Address
from appliance.vault.bucket import (
    Abilities,
    Bucket,
    ConflictError,
    MissingBucketError,
    RefusedError,
    Throttle,
)
from appliance.vault.directory import DirectoryBucket, make_root
from appliance.vault.s3 import S3Bucket
from appliance.vault.s3_calls import Patience, S3Calls
from appliance.vault.s3_errors import UnsupportedError


async def open_bucket(
    address: Address,
    credentials: Credentials | None = None,
    *,
    create: bool = False,
    with_lock: bool = False,
    throttle: Throttle | None = None,
    patience: Patience | None = None,
    clock: Clock | None = None,
) -> Bucket:
    """The bucket at `address`, which was asked what it is; the caller closes it.

    With `create` one that is missing is made, `with_lock` with object lock switched on. Raises
    MissingBucketError, UsageError if `with_lock` and an old bucket has none, and the errors of a
    bucket. Whether locks hold is another question: `object_lock.probe_lock`.
    """
    clock = clock or SystemClock()
    if isinstance(address, DirectoryAddress):
        if with_lock:
            raise UsageError(
                "a directory cannot lock objects: leave out --lock", code="place-without-lock"
            )
        if create:
            make_root(address.path)
        return DirectoryBucket(address.path, clock)
    if credentials is None:
        raise UsageError(
            "an s3:// vault needs credentials: give them with --credentials-file",
            code="needs-credentials",
        )
    calls = S3Calls(address, credentials, clock=clock, throttle=throttle, patience=patience)
    await calls.open()
    try:
        if create:
            await _make_missing(calls, with_lock=with_lock)
        abilities = await _ask_abilities(calls, address)
        if with_lock and not abilities.has_lock:
            raise UsageError(
                f"bucket {address.bucket} was made without object lock, which cannot be switched "
                "on later: name a new bucket, or leave out --lock",
                code="bucket-without-lock",
            )
    except BaseException:
        await calls.close()
        raise
    return S3Bucket(calls, abilities)


async def _find(calls: S3Calls) -> None:
    """Raise MissingBucketError unless the bucket is there."""
    name = calls.address.bucket
    # Not HEAD: a policy that lets the box see only its prefix would refuse that.
    look = {"Prefix": calls.address.prefix, "MaxKeys": 1}
    try:
        await calls.call("list_objects_v2", "LIST", f"bucket {name}", **look)
    except NotFoundError:
        raise _missing(calls) from None


def _missing(calls: S3Calls) -> MissingBucketError:
    return MissingBucketError(f"there is no bucket {calls.address.bucket}")


async def _make_missing(calls: S3Calls, *, with_lock: bool) -> None:
    """Find the bucket, or make it."""
    try:
        await _find(calls)
    except MissingBucketError:
        pass
    else:
        return
    members: dict[str, Any] = {}
    if with_lock:
        members["ObjectLockEnabledForBucket"] = True
    if calls.address.provider.location and calls.address.region != "us-east-1":
        members["CreateBucketConfiguration"] = {"LocationConstraint": calls.address.region}
    try:
        await calls.call("create_bucket", "PUT", f"bucket {calls.address.bucket}", **members)
    except (ConflictError, RefusedError):
        # Ours after all, made a moment ago or by an attempt whose answer was lost; or a stranger's.
        await _find(calls)


async def _ask_abilities(calls: S3Calls, address: S3Address) -> Abilities:
    provider = address.provider
    has_versions = has_lock = False
    try:
        answer = await calls.call("get_bucket_versioning", "GET", "versioning")
        has_versions = answer.get("Status") in ("Enabled", "Suspended")
        if has_versions and provider.lock:
            answer = await calls.call("get_object_lock_configuration", "GET", "object lock")
            configuration = answer.get("ObjectLockConfiguration", {})
            has_lock = configuration.get("ObjectLockEnabled") == "Enabled"
    except MissingBucketError:
        raise _missing(calls) from None
    except (NotFoundError, UnsupportedError):
        await _find(calls)  # not configured, or not known here: that says nothing of the bucket
    is_conditional = provider.conditional_versions if has_versions else provider.conditional
    return Abilities(has_versions, has_lock, is_conditional)
