"""Temporary keys of an object store, renewed while the work goes on.

Keys of an assumed role live for an hour or less, a shard may take longer. Settings therefore do not hold such keys but
name their source (``s3_key_source``), which each process registers for itself: an Airflow task the Connection's session
(:mod:`enhancer.airflow.connections`), a worker what its supervisor sends (:mod:`enhancer.batch.relayed_keys`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from enhancer.errors import RequestError
from enhancer.reasons import Reason


@dataclass(frozen=True, slots=True)
class Keys:
    """Temporary keys; not shown when printed.

    Attributes:
        access_key: of the pair.
        secret_key: of the pair.
        token: that goes with them.
        expires_at: Unix time in seconds.
    """

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(repr=False)
    expires_at: float


Source = Callable[[], Keys]
"""The newest keys: asks for others itself where the last ones are near their end."""

_sources: Final[dict[str, Source]] = {}
_last: Final[dict[str, Keys]] = {}


def register(name: str, source: Source) -> None:
    """Have this process take its keys of this name from `source`, in place of any earlier one."""
    _sources[name] = source


def keys_of(name: str) -> Keys:
    """The newest keys of a source.

    Raises:
        RequestError: this process has no such source.
        StorageError: it has no keys that are still good, and gets no others.
    """
    source = _sources.get(name)
    if source is None:
        raise RequestError(
            f"this process knows nothing of s3_key_source {name!r}: leave ENHANCER_S3_KEY_SOURCE unset; it is for the "
            "worker processes of Airflow's tasks",
            reason=Reason.BAD_CONNECTION,
        )
    _last[name] = source()
    return _last[name]


def secrets_of(name: str) -> tuple[str, ...]:
    """What must not show up in a message: the keys that were handed out last."""
    last = _last.get(name)
    return () if last is None else tuple(value for value in (last.access_key, last.secret_key, last.token) if value)


def credentials_of(name: str) -> Any:
    """Credentials for botocore that ask the source again before the keys are at their end.

    Raises:
        RequestError, StorageError: as :func:`keys_of`.
    """
    from botocore.credentials import RefreshableCredentials

    def newest() -> dict[str, str | None]:
        keys = keys_of(name)
        return {
            "access_key": keys.access_key,
            "secret_key": keys.secret_key,
            "token": keys.token,
            "expiry_time": datetime.fromtimestamp(keys.expires_at, UTC).isoformat(),
        }

    return RefreshableCredentials.create_from_metadata(newest(), refresh_using=newest, method=f"enhancer: {name}")
