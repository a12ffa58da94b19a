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


def settings_from_airflow() -> Settings:
    """The process's settings, completed from Airflow Connections.

    The ledger's Connection is of type ``postgres`` (opened with psycopg 3; those of its extras that libpq knows are
    kept, such as ``sslmode``) or ``sqlite`` (the file's path in the schema or host). Either may be called ``generic``,
    which is what ``airflow connections add`` makes of a type whose provider is not installed: a path is SQLite's,
    anything else PostgreSQL's. The store's is of type ``aws`` (or ``generic`` too), and whatever the amazon provider's
    hook makes of it (:mod:`enhancer.airflow.aws`). One that names neither keys nor a profile nor a role leaves them to
    the settings, and without those to boto3's default chain: environment, web identity, instance role.

    Raises:
        RequestError: a Connection that exists but cannot be used as it is.
        StorageError: transient: the role's keys cannot be had just now.
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
            options["host"], host = host, None
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
    """Settings of the object store, by way of the amazon provider's own hook."""
    if connection.conn_type not in ("aws", GENERIC):
        raise RequestError(
            f"Connection {connection.conn_id} is of type {connection.conn_type!r}; the store needs aws",
            reason=Reason.BAD_CONNECTION,
        )
    from enhancer.airflow.aws import store_settings

    return store_settings(connection.conn_id)


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
