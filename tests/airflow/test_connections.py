"""Settings completed from Airflow Connections, here given as Airflow's own AIRFLOW_CONN_* variables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from airflow.sdk._shared.secrets_masker import redact
from sqlalchemy import make_url

from demo.services.postgres import PostgresServer
from enhancer.airflow.connections import settings_from_airflow
from enhancer.errors import RequestError
from enhancer.settings import Settings, get_settings


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("ENHANCER_HOME", str(tmp_path))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def _connection(monkeypatch: pytest.MonkeyPatch, conn_id: str, value: str | dict[str, Any]) -> None:
    text = value if isinstance(value, str) else json.dumps(value)
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)


def _clear(settings: Settings) -> dict[str, str | None]:
    """The secrets in clear."""
    names = ("s3_access_key_id", "s3_secret_access_key", "s3_session_token")
    return {name: value.get_secret_value() if (value := getattr(settings, name)) else None for name in names}


def test_without_connections_the_settings_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENHANCER_S3_ACCESS_KEY_ID", "from-the-environment")
    assert settings_from_airflow() == Settings()


def test_an_aws_connection_brings_keys_endpoint_and_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENHANCER_S3_SECRET_ACCESS_KEY", "loses-to-the-connection")
    uri = "aws://AKIAEXAMPLE:se%2Fcret%2Bkey@/?endpoint_url=http%3A%2F%2F127.0.0.1%3A8333&region_name=eu-central-1"
    _connection(monkeypatch, "enhancer_s3", uri)
    settings = settings_from_airflow()
    assert _clear(settings) == {
        "s3_access_key_id": "AKIAEXAMPLE",
        "s3_secret_access_key": "se/cret+key",
        "s3_session_token": None,
    }
    assert (settings.s3_endpoint_url, settings.s3_region) == ("http://127.0.0.1:8333", "eu-central-1")


def test_session_token_and_service_config(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"aws_session_token": "token-of-an-hour", "service_config": {"s3": {"endpoint_url": "http://minio:9000"}}}
    _connection(
        monkeypatch, "enhancer_s3", {"conn_type": "aws", "login": "AKIA2", "password": "secret-two", "extra": extra}
    )
    settings = settings_from_airflow()
    assert _clear(settings)["s3_session_token"] == "token-of-an-hour"
    assert settings.s3_endpoint_url == "http://minio:9000"


def test_a_connection_with_keys_leaves_no_other_keys_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENHANCER_S3_SESSION_TOKEN", "of-other-keys")
    _connection(monkeypatch, "enhancer_s3", "aws://AKIA3:secret-three@")
    assert _clear(settings_from_airflow())["s3_session_token"] is None


def test_a_connection_without_keys_leaves_them_to_the_machines_role(monkeypatch: pytest.MonkeyPatch) -> None:
    _connection(monkeypatch, "enhancer_s3", "aws:///?region_name=eu-west-3")
    settings = settings_from_airflow()
    assert settings.s3_region == "eu-west-3"
    assert set(_clear(settings).values()) == {None}


def test_the_connections_names_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENHANCER_S3_CONN_ID", "team_store")
    _connection(monkeypatch, "team_store", "aws://AKIA4:secret-four@")
    assert _clear(settings_from_airflow())["s3_access_key_id"] == "AKIA4"


def test_a_postgres_connection_opens_the_ledger(monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer) -> None:
    """Against the real server: the URL's password, host, port and options are right, or nothing would connect."""
    url = make_url(postgres.create_database("by_connection"))
    extra = {"application_name": "from-extra", "cursor": "dictcursor"}  # the second is for Airflow's hook, not libpq
    _connection(
        monkeypatch,
        "enhancer_ledger",
        {
            "conn_type": "postgres",
            "host": url.host,
            "port": url.port,
            "login": url.username,
            "password": url.password,
            "schema": url.database,
            "extra": extra,
        },
    )
    engine = sqlalchemy.create_engine(settings_from_airflow().ledger_url())
    with engine.connect() as connection:
        row = connection.exec_driver_sql("SELECT current_database(), current_setting('application_name')").one()
    engine.dispose()
    assert tuple(row) == ("by_connection", "from-extra")
    assert engine.driver == "psycopg"


def test_a_password_with_every_awkward_character_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    password = "a@b/c:d?e#f%g&h+i j"
    _connection(
        monkeypatch,
        "enhancer_ledger",
        {"conn_type": "postgres", "host": "db", "login": "u", "password": password, "schema": "ledger"},
    )
    assert make_url(settings_from_airflow().ledger_url()).password == password


def test_a_sqlite_connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _connection(monkeypatch, "enhancer_ledger", f"sqlite:///{tmp_path}/other.db")
    engine = sqlalchemy.create_engine(settings_from_airflow().ledger_url())
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x INTEGER)")
    engine.dispose()
    assert (tmp_path / "other.db").stat().st_size > 0


@pytest.mark.parametrize(
    ("connection", "url"),
    [
        (
            {"host": "db", "login": "u", "password": "p", "schema": "enhancer"},
            "postgresql+psycopg://u:p@db/enhancer",
        ),
        ({"schema": "/srv/ledger.db"}, "sqlite:////srv/ledger.db"),
        ({"host": "/srv/ledger.db"}, "sqlite:////srv/ledger.db"),
        (
            {"host": "/run/postgresql", "login": "u", "schema": "enhancer"},
            "postgresql+psycopg://u@/enhancer?host=/run/postgresql",
        ),
    ],
)
def test_a_generic_connection_is_what_it_looks_like(
    monkeypatch: pytest.MonkeyPatch, connection: dict[str, str], url: str
) -> None:
    """`airflow connections add --conn-type postgres` makes one where the provider postgres is not installed."""
    _connection(monkeypatch, "enhancer_ledger", {"conn_type": "generic", **connection})
    assert make_url(settings_from_airflow().ledger_url()) == make_url(url)


@pytest.mark.parametrize(
    ("conn_id", "uri", "says"),
    [
        ("enhancer_ledger", "mysql://u:p@h/db", "postgres or sqlite"),
        ("enhancer_ledger", "sqlite://", "no SQLite file"),
        ("enhancer_ledger", "generic://u:p@h", "host and schema"),
        ("enhancer_s3", "http://u:p@h/", "needs aws"),
        ("enhancer_s3", "aws:///?role_arn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx", "no keys were found"),
        ("enhancer_s3", "aws:///?profile_name=nobody", "nobody"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, conn_id: str, uri: str, says: str
) -> None:
    _connection(monkeypatch, conn_id, uri)
    with pytest.raises(RequestError, match=says) as caught:
        settings_from_airflow()
    assert conn_id in caught.value.message


def test_secrets_are_hidden_when_printed_and_masked_in_airflows_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "key": "AKIAMASKED",
        "secret": "very/secret+value",
        "ledger": "ledger-p@ss-word",
        "token": "setting-token",
    }
    monkeypatch.setenv("ENHANCER_S3_SESSION_TOKEN", secrets["token"])
    monkeypatch.setenv("ENHANCER_S3_ACCESS_KEY_ID", secrets["key"])
    monkeypatch.setenv("ENHANCER_S3_SECRET_ACCESS_KEY", secrets["secret"])
    _connection(
        monkeypatch,
        "enhancer_ledger",
        {"conn_type": "postgres", "host": "db", "login": "u", "password": secrets["ledger"], "schema": "ledger"},
    )
    settings = settings_from_airflow()
    for secret in secrets.values():
        assert secret not in repr(settings) + str(settings) + settings.model_dump_json()
        assert redact(f"boto said: {secret}!") == "boto said: ***!"
    assert "p%40ss" not in redact(f"could not open {settings.ledger_url()}")
