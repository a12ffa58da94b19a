"""Credentials from Airflow Connections, for use inside a task.

Two Connections are looked for, by the names in ``ledger_conn_id`` and ``s3_conn_id``; where one does not exist, the
``ENHANCER_*`` settings stand. What is found here goes on to the worker process in its environment, never through
params, XComs or a command line, and is masked in Airflow's logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from enhancer.errors import RequestError
from enhancer.reasons import Reason
from enhancer.settings import Settings, get_settings

if TYPE_CHECKING:
    from airflow.sdk import Connection

GENERIC: Final = "generic"
"""What Airflow's command line calls a Connection whose type's provider is not installed."""

_UNSUPPORTED_AWS: Final = ("role_arn", "assume_role_method", "profile_name")
"""Ways to come by credentials that Airflow's own hook knows and this package leaves to boto3's default chain."""


def settings_from_airflow() -> Settings:
    """The process's settings, completed from Airflow Connections.

    The ledger's Connection is of type ``postgres`` (opened with psycopg 3; those of its extras that libpq knows are
    kept, such as ``sslmode``) or ``sqlite`` (the file's path in the schema or host). Either may be called ``generic``,
    which is what ``airflow connections add`` makes of a type whose provider is not installed: a path is SQLite's,
    anything else PostgreSQL's. The store's is of type ``aws`` (or ``generic`` too):
    login and password are the keys; the extras ``region_name``, ``endpoint_url`` (also below ``service_config.s3``) and
    ``aws_session_token`` are read. Without a login the keys are left to the settings, and without those to boto3's
    default chain: environment, web identity, instance role.

    Raises:
        RequestError: a Connection that exists but cannot be used as it is.
    """
    settings = get_settings()
    updates: dict[str, Any] = {}
    if ledger := _find(settings.ledger_conn_id):
        updates["ledger_dsn"] = SecretStr(_dsn(ledger))
    if store := _find(settings.s3_conn_id):
        updates |= _s3(store)
    settings = settings.model_copy(update=updates)
    _mask(settings)
    return settings


def _find(conn_id: str) -> Connection | None:
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        found: Connection = Connection.get(conn_id)
    except AirflowNotFoundException:
        return None
    return found


def _dsn(connection: Connection) -> str:
    """SQLAlchemy URL of the ledger, password in clear."""
    from sqlalchemy import URL

    path = connection.schema or connection.host
    is_generic = connection.conn_type == GENERIC
    if connection.conn_type == "sqlite" or (is_generic and (path or "").startswith("/") and not connection.login):
        if not path:
            raise RequestError(f"Connection {connection.conn_id} names no SQLite file", reason=Reason.BAD_CONNECTION)
        return URL.create("sqlite", database=path).render_as_string(hide_password=False)
    if connection.conn_type in ("postgres", "postgresql") or (is_generic and connection.host and connection.schema):
        host, options = connection.host, _libpq_options(connection.extra_dejson)
        if host and host.startswith("/"):  # a folder with the server's socket, which has no place in a URL's host
            host, options = None, {**options, "host": host}
        return URL.create(
            "postgresql+psycopg",
            username=connection.login,
            password=connection.password,
            host=host,
            port=connection.port,
            database=connection.schema,
            query=options,
        ).render_as_string(hide_password=False)
    raise RequestError(
        f"Connection {connection.conn_id} is of type {connection.conn_type!r}; the ledger needs postgres or sqlite"
        + (", or of a generic one host and schema (a database's name), or a file's path as schema" * is_generic),
        reason=Reason.BAD_CONNECTION,
    )


def _libpq_options(extra: dict[str, Any]) -> dict[str, str]:
    """The extras that libpq knows; Airflow's hook keeps others there for itself, such as ``cursor``."""
    if not extra:
        return {}
    from psycopg.pq import Conninfo

    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    return {name: str(value) for name, value in extra.items() if name in known}


def _s3(connection: Connection) -> dict[str, Any]:
    """Settings of the object store."""
    if connection.conn_type not in ("aws", GENERIC):
        raise RequestError(
            f"Connection {connection.conn_id} is of type {connection.conn_type!r}; the store needs aws",
            reason=Reason.BAD_CONNECTION,
        )
    extra = connection.extra_dejson
    if used := [name for name in _UNSUPPORTED_AWS if extra.get(name)]:
        raise RequestError(
            f"Connection {connection.conn_id} uses {', '.join(used)}, which is not supported: give keys, or none and "
            "let the machine's own role apply",
            reason=Reason.BAD_CONNECTION,
        )
    service = (extra.get("service_config") or {}).get("s3") or {}
    values = {
        "s3_endpoint_url": service.get("endpoint_url") or extra.get("endpoint_url") or None,
        "s3_region": extra.get("region_name") or None,
    }
    updates: dict[str, Any] = {name: value for name, value in values.items() if value}
    if connection.login:
        token = extra.get("aws_session_token")
        updates |= {
            "s3_access_key_id": SecretStr(connection.login),
            "s3_secret_access_key": SecretStr(connection.password or ""),
            "s3_session_token": SecretStr(token) if token else None,  # never one pair's token with another's keys
        }
    return updates


def _mask(settings: Settings) -> None:
    """Tell Airflow what to blank out in this task's logs, including what came from the settings."""
    from airflow.sdk.log import mask_secret
    from sqlalchemy import make_url

    for _, value in settings:
        if isinstance(value, SecretStr) and value.get_secret_value():
            mask_secret(value.get_secret_value())
    url = make_url(settings.ledger_url())
    if url.password:
        mask_secret(url.password)
