"""What servers and the library say when something goes wrong, in the errors of a bucket.

Owns the table of S3's codes. Messages carry codes and never what a server wrote beside them,
which may quote keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from appliance.base.errors import HoldfastError, UsageError
from appliance.base.text import duration, printable
from appliance.vault.bucket import (
    ClockSkewError,
    ConflictError,
    CredentialsError,
    DeniedError,
    FullError,
    MissingBucketError,
    MissingObjectError,
    RefusedError,
    SlowDownError,
    TransientError,
)
from appliance.vault.traffic import Outcome
from appliance.vault.transport import AddressRefusedError


class UnsupportedError(RefusedError):
    """The server does not know this request or this header."""


class LostUploadError(TransientError):
    """A multipart upload, or a part of it, is no longer there."""


_CODES: dict[str, type[HoldfastError]] = {
    **dict.fromkeys(("NoSuchBucket",), MissingBucketError),
    **dict.fromkeys(("NoSuchKey", "NoSuchVersion", "MethodNotAllowed"), MissingObjectError),
    **dict.fromkeys(("NoSuchUpload", "InvalidPart", "InvalidPartOrder"), LostUploadError),
    **dict.fromkeys(
        ("PreconditionFailed", "ConditionalRequestConflict", "FileAlreadyExists"), ConflictError
    ),
    **dict.fromkeys(
        (
            *("SlowDown", "SlowDownRead", "SlowDownWrite", "TooManyRequests", "Throttling"),
            *("RequestLimitExceeded", "ServiceUnavailable", "DownloadTrafficRateLimitExceeded"),
            *("UploadTrafficRateLimitExceeded", "QpsLimitExceeded"),
        ),
        SlowDownError,
    ),
    **dict.fromkeys(
        (
            *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"),
            *("TokenRefreshRequired", "InvalidSecurity", "NotSignedUp", "AccountProblem"),
            *("UserSuspended", "InvalidSecurityToken", "SecurityTokenExpired", "ExpiredTokenId"),
        ),
        CredentialsError,
    ),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired"), ClockSkewError),
    **dict.fromkeys(("QuotaExceeded", "InsufficientStorage", "XMinioStorageFull"), FullError),
    **dict.fromkeys(("NotImplemented", "XNotImplemented"), UnsupportedError),
    **dict.fromkeys(
        (
            *("InternalError", "RequestTimeout", "BadDigest", "IncompleteBody", "OperationAborted"),
            *("XAmzContentSHA256Mismatch", "InvalidDigest", "ContentSHA256Mismatch"),
        ),
        TransientError,
    ),
}
_STATUSES: dict[int, type[HoldfastError]] = {
    401: CredentialsError,
    403: DeniedError,
    404: MissingObjectError,
    405: MissingObjectError,  # a delete marker was asked for as an object
    408: TransientError,
    409: ConflictError,
    412: ConflictError,
    416: UsageError,
    429: SlowDownError,
    500: TransientError,
    501: UnsupportedError,
    502: TransientError,
    503: SlowDownError,
    504: TransientError,
    507: FullError,
}
_WAYS_OUT = {
    CredentialsError: "give new ones with 'holdfast vault set-credentials'",
    DeniedError: "see 'holdfast vault policy' for what the box must be allowed to do",
    FullError: "raise the quota, or keep less in the vault",
    MissingBucketError: "has somebody deleted it? nothing on this box depends on it",
}
NO_ANSWER = "no answer in time"
_TIMEOUTS = (boto.ReadTimeoutError, boto.ConnectTimeoutError, asyncio.TimeoutError, TimeoutError)


def translate(error: BaseException, what: str, now: datetime) -> HoldfastError:
    """The error of the tree for what the library raised while doing `what`."""
    if isinstance(error, HoldfastError):
        return error
    for cause in _causes(error):
        if isinstance(cause, AddressRefusedError):
            return RefusedError(f"{what}: {cause}")
    if isinstance(error, boto.ClientError):
        return _translate_answer(error, what, now)
    if isinstance(error, boto.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return RefusedError(f"{what}: the server's certificate is not valid for this address")
    if isinstance(error, boto.ParamValidationError):
        return RefusedError(f"{what}: {printable(str(error))}")
    reason = f"the connection broke ({type(error).__name__})"
    if isinstance(error, _TIMEOUTS):
        reason = NO_ANSWER
    elif isinstance(error, ResponseParserError | ValueError):
        reason = "the answer is not S3's"
    return TransientError(f"{what}: {reason}")


def is_library_error(error: BaseException) -> bool:
    """Whether `error` is one that `translate` is for; others are faults of the program."""
    return isinstance(
        error,
        boto.BotoCoreError | boto.ClientError | aiohttp.ClientError | OSError | TimeoutError
        | HoldfastError | ValueError,
    )  # fmt: skip


def outcome_of(error: BaseException | None) -> Outcome:
    """How the line or the server looks after a request that ended with `error`."""
    if error is None:
        return Outcome.DONE
    if isinstance(error, SlowDownError):
        return Outcome.SLOW_DOWN
    if isinstance(error, TransientError):
        return Outcome.TIMEOUT if NO_ANSWER in str(error) else Outcome.BROKEN
    if isinstance(error, HoldfastError):
        return Outcome.REFUSED
    return Outcome.BROKEN


def _translate_answer(error: Any, what: str, now: datetime) -> HoldfastError:
    fault = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    code, status = str(fault.get("Code", "")), int(metadata.get("HTTPStatusCode", 0))
    said = f"{what}: {printable(code)[:60]} ({status})"
    if code in ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraint"):
        return _other_region(said, fault, metadata)
    kind = _CODES.get(code) or _STATUSES.get(status)
    if kind is None:
        if 300 <= status < 400:
            return RefusedError(f"{said}: the server sends us elsewhere, and we do not go")
        kind = TransientError if status >= 500 else RefusedError
    if kind is ClockSkewError:
        return ClockSkewError(f"{said}: {_describe_skew(metadata, now)}")
    if kind is UsageError:
        return UsageError(f"{what} has only fewer bytes than the offset asked for")
    way_out = _WAYS_OUT.get(kind)
    return kind(f"{said}: {way_out}" if way_out else said)


def _other_region(said: str, fault: dict[str, Any], metadata: dict[str, Any]) -> RefusedError:
    headers = metadata.get("HTTPHeaders", {})
    region = fault.get("Region") or headers.get("x-amz-bucket-region")
    hint = f"add region={printable(str(region))[:60]}" if region else "give its region and endpoint"
    return RefusedError(f"{said}: the bucket is in another region: {hint} to the vault's URL")


def _describe_skew(metadata: dict[str, Any], now: datetime) -> str:
    try:
        there = parsedate_to_datetime(metadata["HTTPHeaders"]["date"])
        apart_s = (now - there).total_seconds()
    except (KeyError, TypeError, ValueError):
        return "the clock of this box or of the server is wrong"
    side = "ahead of" if apart_s > 0 else "behind"
    return f"the clock of this box is {duration(abs(apart_s))} {side} the server's: set it"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What `error` was made of, outermost first."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [cause.__cause__, cause.__context__]
        kwargs = getattr(cause, "kwargs", None)
        inner = kwargs.get("error") if isinstance(kwargs, dict) else None
        waiting.append(inner if isinstance(inner, BaseException) else None)
        waiting.append(getattr(cause, "os_error", None))
