"""What S3's and boto3's errors mean: gone, permanent with the way out, or transient."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from enhancer.errors import EnhancerError, ErrorKind, ObjectGoneError, StorageError
from enhancer.storage.s3_client import Connection

_GONE = {"NoSuchKey", "NoSuchVersion", "404", "NotFound"}

_PERMANENT: dict[str, tuple[str, str]] = {
    "NoSuchBucket": ("no-such-store", "the bucket is not there; create it or correct the URL"),
    "AccessDenied": (
        "access-denied",
        "the keys in use lack the right to; grant s3:GetObject, s3:ListBucket, and for outputs s3:PutObject and "
        "s3:DeleteObject (without s3:ListBucket a missing object looks forbidden too)",
    ),
    "InvalidAccessKeyId": ("bad-credentials", "the server does not know the access key; check s3_access_key_id"),
    "SignatureDoesNotMatch": ("bad-credentials", "the secret does not fit the access key; check s3_secret_access_key"),
    "InvalidToken": ("bad-credentials", "the session token is not valid; check s3_session_token"),
    "PermanentRedirect": ("wrong-region", "the bucket is in another region; set s3_region"),
    "AuthorizationHeaderMalformed": ("wrong-region", "the bucket is in another region; set s3_region"),
    "IllegalLocationConstraintException": ("wrong-region", "the bucket is in another region; set s3_region"),
    "InvalidBucketName": ("no-such-store", "that cannot be a bucket's name; correct the URL"),
    "KeyTooLongError": ("bad-key", "the key with its prefix is longer than the server takes"),
    "EntityTooLarge": ("too-large", "the object is larger than the server takes"),
    "InvalidObjectState": ("archived", "the object lies in an archive tier; restore it first"),
    "RequestTimeTooSkewed": ("clock", "this machine's clock is wrong; set it"),
}
_PERMANENT |= {
    "AllAccessDisabled": _PERMANENT["AccessDenied"],
    "AccountProblem": _PERMANENT["AccessDenied"],
    "403": _PERMANENT["AccessDenied"],
    "Forbidden": _PERMANENT["AccessDenied"],
    "301": _PERMANENT["PermanentRedirect"],
}

_TRANSIENT: dict[str, tuple[str, str]] = {
    "ExpiredToken": ("expired-credentials", "the session token has expired; renew s3_session_token"),
    "PreconditionFailed": ("changing", "the object changed meanwhile"),
    "412": ("changing", "the object changed meanwhile"),
}

_SLOW = {"SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "RequestLimitExceeded"}


def no_such_bucket(url: str) -> StorageError:
    """The error for a bucket that is not there, for answers to HEAD, which have no code."""
    return _from_answer(f"cannot use {url}", "NoSuchBucket", 404, "")


def _from_answer(what: str, code: str, status: int, detail: str) -> StorageError:
    """The error that the server gave."""
    if code in _GONE:
        return ObjectGoneError(f"{what}: it is not there")
    if code in _PERMANENT:
        reason, way_out = _PERMANENT[code]
        return StorageError(f"{what}: {way_out} ({code})", reason=reason, kind=ErrorKind.PERMANENT)
    if code in _TRANSIENT:
        reason, way_out = _TRANSIENT[code]
        return StorageError(f"{what}: {way_out} ({code})", reason=reason)
    if code in _SLOW or status in {429, 503}:
        return StorageError(f"{what}: the server asks to slow down ({code})", reason="slow-down")
    if 400 <= status < 500 and code != "RequestTimeout":
        return StorageError(
            f"{what}: the server refused: {detail} ({code}, {status})", reason="refused", kind=ErrorKind.PERMANENT
        )
    return StorageError(f"{what}: the server failed: {detail} ({code}, {status})")


def translated(what: str, error: Exception) -> StorageError | None:
    """The store's own error for one of boto3's, or None where it is none.

    Args:
        what: beginning of the message: what could not be done, with the address.
        error: what boto3, botocore or urllib3 (while a body was read) raised.
    """
    from boto3.exceptions import Boto3Error
    from botocore import exceptions as aws
    from urllib3.exceptions import HTTPError

    match error:
        case aws.ClientError():
            answer = error.response
            code = str(answer.get("Error", {}).get("Code", "unknown"))
            status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            return _from_answer(what, code, status, str(answer.get("Error", {}).get("Message", "")))
        case aws.NoCredentialsError() | aws.PartialCredentialsError() | aws.CredentialRetrievalError():
            return StorageError(
                f"{what}: no keys were found; set s3_access_key_id and s3_secret_access_key, or a profile or role",
                reason="no-credentials",
                kind=ErrorKind.PERMANENT,
            )
        case aws.ParamValidationError() | aws.InvalidEndpointConfigurationError():
            return StorageError(f"{what}: {error}", reason="refused", kind=ErrorKind.PERMANENT)
        case aws.EndpointConnectionError() | aws.ConnectionError() | aws.HTTPClientError():
            return StorageError(f"{what}: the server cannot be reached or broke off: {error}", reason="connection")
        case aws.BotoCoreError() | Boto3Error() | HTTPError():
            return StorageError(f"{what}: {error}")
    return None


class trouble:  # noqa: N801 - used as a with statement, as contextlib's own are
    """``with trouble(what, connection):`` raises the store's errors in place of boto3's, free of secrets."""

    def __init__(self, what: str, connection: Connection) -> None:
        self._what = what
        self._connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, EnhancerError):
            return
        own = translated(self._what, error)
        if own is None:
            return
        for secret in self._connection.secrets:
            own.message = own.message.replace(secret, "***")
        own.args = (own.message,)
        # The cause is left out where its text would carry a secret into a traceback.
        leaks = any(secret in str(error) for secret in self._connection.secrets)
        raise own from (None if leaks else error)
