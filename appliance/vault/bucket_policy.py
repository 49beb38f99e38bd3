"""The least that the box must be allowed to do with its bucket, in the words of S3's policies.

Owns one function. With object lock on, what is allowed here cannot shorten or remove a lock.
"""

from __future__ import annotations

from typing import Any

from appliance.vault.address import S3Address

_VERSION = "2012-10-17"
_OBJECT = (
    *("GetObject", "GetObjectVersion", "PutObject", "DeleteObject"),
    *("AbortMultipartUpload", "ListMultipartUploadParts"),
)
_OBJECT_LOCKED = ("DeleteObjectVersion", "GetObjectRetention", "PutObjectRetention")
_LISTS = ("ListBucket", "ListBucketVersions")
_SETTINGS = (
    "GetBucketVersioning",
    "GetBucketObjectLockConfiguration",
    "ListBucketMultipartUploads",
)


def make_policy(
    address: S3Address, *, is_locked: bool, principal: str | None = None
) -> dict[str, Any]:
    """The policy as a JSON object.

    With `principal` (an ARN) it is one for the bucket, without one for a user or role.
    """
    bucket = f"arn:aws:s3:::{address.bucket}"
    inside = f"{bucket}/{address.prefix}*"
    lists: dict[str, Any] = {"Action": _actions(_LISTS), "Resource": bucket}
    if address.prefix:
        lists["Condition"] = {"StringLike": {"s3:prefix": [f"{address.prefix}*"]}}
    objects = (*_OBJECT, *_OBJECT_LOCKED) if is_locked else _OBJECT
    statements = [
        {"Sid": "HoldfastSettings", "Action": _actions(_SETTINGS), "Resource": bucket},
        {"Sid": "HoldfastLists", **lists},
        {"Sid": "HoldfastObjects", "Action": _actions(objects), "Resource": inside},
    ]
    who = {} if principal is None else {"Principal": {"AWS": [principal]}}
    return {
        "Version": _VERSION,
        "Statement": [{"Effect": "Allow", **who, **statement} for statement in statements],
    }


def _actions(names: tuple[str, ...]) -> list[str]:
    return [f"s3:{name}" for name in names]
