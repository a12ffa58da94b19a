"""The object store's settings from an ``aws`` Connection, read by the amazon provider's own hook.

What the hook knows works here too: keys in login and password or in the extra, a profile, a role to assume (also by web
identity or SAML), endpoint and region, ``service_config``. Keys that do not end go into the settings as they are. Those
of a role do, so the settings name their source instead (:mod:`enhancer.storage.s3_keys`), which this module keeps for
the process: the hook's session renews them.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from enhancer.errors import ErrorKind, RequestError, StorageError
from enhancer.reasons import Reason
from enhancer.storage.s3_keys import Keys, register

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

_KEPT: Final[dict[str, tuple[Any, SessionKeys]]] = {}
"""By Connection: what it said, and the session made of it. A page that reads the Connection each minute asks for a
role's keys once in their life and not each minute."""
_making: Final = threading.Lock()


def store_settings(conn_id: str) -> dict[str, Any]:
    """Fields of :class:`~enhancer.settings.Settings` for the store.

    Raises:
        RequestError: the Connection cannot be used, or its role may not be assumed.
        StorageError: transient: who gives out the role's keys does not answer.
    """
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

    hook: AwsGenericHook[Any] = AwsGenericHook(aws_conn_id=conn_id, client_type="s3")
    with _trouble(conn_id):
        found = hook.conn_config
        values = {
            "s3_endpoint_url": found.get_service_endpoint_url("s3"),
            "s3_region": found.region_name,
        }
        updates: dict[str, Any] = {name: value for name, value in values.items() if value}
        if found.role_arn or found.profile_name:
            return updates | _of_session(conn_id, hook)
    if found.aws_access_key_id:
        updates |= _fixed(found.aws_access_key_id, found.aws_secret_access_key, found.aws_session_token)
    return updates


def _fixed(access: str, secret: str | None, token: str | None) -> dict[str, Any]:
    return {
        "s3_access_key_id": SecretStr(access),
        "s3_secret_access_key": SecretStr(secret or ""),
        "s3_session_token": SecretStr(token) if token else None,  # never one pair's token with another's keys
    }


def _of_session(conn_id: str, hook: AwsGenericHook[Any]) -> dict[str, Any]:
    """The keys of a profile or role."""
    from botocore.credentials import RefreshableCredentials

    said = repr(hook.conn_config.extra_config), hook.conn_config.session_kwargs
    with _making:
        kept = _KEPT.get(conn_id)
        if kept is None or kept[0] != said:
            credentials = hook.get_session().get_credentials()
            if credentials is None:
                raise RequestError(
                    f"Connection {conn_id} leads to no keys: its profile has none", reason=Reason.BAD_CONNECTION
                )
            if not isinstance(credentials, RefreshableCredentials):
                frozen = credentials.get_frozen_credentials()
                return _fixed(frozen.access_key or "", frozen.secret_key, frozen.token)
            kept = _KEPT[conn_id] = (said, SessionKeys(conn_id, credentials))
    source = f"airflow:{conn_id}"
    register(source, kept[1])
    kept[1]()  # what is wrong with the role is said now and by this name, not in the middle of a shard
    no_keys = dict.fromkeys(("s3_access_key_id", "s3_secret_access_key", "s3_session_token"))
    return {**no_keys, "s3_key_source": source}


class SessionKeys:
    """The keys of a session that renews them; a source for :func:`enhancer.storage.s3_keys.register`."""

    def __init__(self, conn_id: str, credentials: Any) -> None:
        self._conn_id = conn_id
        self._credentials = credentials

    def __call__(self) -> Keys:
        """The newest keys, masked in Airflow's logs.

        Raises:
            RequestError: the role may not be assumed (any more).
            StorageError: transient: who gives them out does not answer.
        """
        from airflow.sdk.log import mask_secret

        with _trouble(self._conn_id):
            frozen = self._credentials.get_frozen_credentials()
        for secret in (frozen.access_key, frozen.secret_key, frozen.token):
            if secret:
                mask_secret(secret)
        ends = getattr(self._credentials, "_expiry_time", None)  # botocore has no public name for it
        expires_at = time.time() + 300 if ends is None else ends.timestamp()
        return Keys(frozen.access_key, frozen.secret_key, frozen.token, expires_at)


class _trouble:  # noqa: N801 - used as a with statement
    """``with _trouble(conn_id):`` raises this package's errors in place of the hook's and botocore's."""

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        from botocore.exceptions import ConfigNotFound, ConfigParseError, ProfileNotFound

        from enhancer.storage.s3_errors import translated

        if not isinstance(error, Exception) or isinstance(error, RequestError | StorageError):
            return
        what = f"Connection {self._conn_id} gives no keys"
        own = translated(what, error)
        is_said_wrong = isinstance(error, ConfigNotFound | ConfigParseError | ProfileNotFound)
        if own is not None and own.kind is ErrorKind.TRANSIENT and not is_said_wrong:
            raise own from error
        said = own.message if own is not None else f"{what}: {type(error).__name__}: {error}"
        raise RequestError(said, reason=Reason.BAD_CONNECTION) from error
