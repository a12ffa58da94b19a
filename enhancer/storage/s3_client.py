"""boto3 clients: one per process and set of settings, shared by all stores and threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from enhancer.errors import RequestError
from enhancer.settings import ChecksumUse, Settings
from enhancer.storage import s3_keys

_making = threading.Lock()


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach an S3 server; equal connections share a client. The secrets are not shown when it is printed."""

    endpoint: str | None
    region: str
    access_key: str | None = field(repr=False)
    secret_key: str | None = field(repr=False)
    token: str | None = field(repr=False)
    request_checksums: ChecksumUse = "when_required"
    response_checksums: ChecksumUse = "when_required"
    key_source: str | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Connection:
        """The connection that the settings describe.

        Raises:
            RequestError: an access key without its secret, or the other way round.
        """
        access, secret, token = (
            value.get_secret_value() if value is not None else None
            for value in (settings.s3_access_key_id, settings.s3_secret_access_key, settings.s3_session_token)
        )
        if bool(access) != bool(secret):
            raise RequestError("s3_access_key_id and s3_secret_access_key go together: set both, or neither")
        server = (settings.s3_endpoint_url or None, settings.s3_region)
        checksums = {
            "request_checksums": settings.s3_request_checksum_calculation,
            "response_checksums": settings.s3_response_checksum_validation,
        }
        if settings.s3_key_source:
            return cls(*server, None, None, None, key_source=settings.s3_key_source, **checksums)
        return cls(*server, access or None, secret or None, token or None, **checksums)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not show up in a message."""
        if self.key_source is not None:
            return s3_keys.secrets_of(self.key_source)
        return tuple(value for value in (self.access_key, self.secret_key, self.token) if value)

    def client(self, process: int) -> Any:
        """The client of this process (``os.getpid()``): sockets must not be shared across a fork, which Airflow does.

        Clients are safe to use from many threads; making one is not, hence the lock.
        """
        with _making:
            return _client(self, process)


@lru_cache(maxsize=16)
def _client(connection: Connection, _process: int) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "adaptive", "total_max_attempts": 6},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=32,
        s3={"addressing_style": "path" if connection.endpoint else "auto"},
        request_checksum_calculation=connection.request_checksums,
        response_checksum_validation=connection.response_checksums,
    )
    session = boto3.session.Session()
    if connection.key_source is not None:
        inner: Any = session._session  # there is no public way; the amazon provider's hook does the same
        inner._credentials = s3_keys.credentials_of(connection.key_source)
    return session.client(
        "s3",
        endpoint_url=connection.endpoint,
        aws_access_key_id=connection.access_key,
        aws_secret_access_key=connection.secret_key,
        aws_session_token=connection.token,
        region_name=connection.region,
        config=config,
    )
