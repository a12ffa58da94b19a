"""The store's keys as the amazon provider's hook finds them: a profile, a role, web identity; and a role's keys renewed while
a shard is at work, by a Security Token Service whose keys live for seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.services.s3 import S3Server
from enhancer.airflow.connections import settings_from_airflow
from enhancer.batch.plan.planning import plan_run
from enhancer.batch.plan.request import RunRequest
from enhancer.batch.tasks import enhance_shard, evaluate_shard, publish_shard
from enhancer.batch.worker_process import worker_environment
from enhancer.errors import ErrorKind, RequestError, StorageError
from enhancer.ledger import Ledger
from enhancer.ledger.migrate import upgrade
from enhancer.settings import Settings, get_settings
from enhancer.storage import open_store
from tests.airflow.fake_sts import Sts, short_lived_keys
from tests.batch.site_builder import PLAIN, png
from tests.model_cache import MODEL_CACHE

ROLE = "arn:aws:iam::123456789012:role/pictures"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("ENHANCER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ENHANCER_MODEL_DIR", str(MODEL_CACHE))
    monkeypatch.setenv("ENHANCER_THREADS", "1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    get_settings.cache_clear()
    yield monkeypatch
    get_settings.cache_clear()


@pytest.fixture
def sts(s3: S3Server) -> Iterator[Callable[[float], Sts]]:
    """Makes the servers, with keys that live for so many seconds."""
    opened = []

    def make(life_s: float) -> Sts:
        opened.append(short_lived_keys(s3.endpoint, s3.keys.access_key, s3.keys.secret_key, life_s))
        return opened[-1].__enter__()

    yield make
    for one in opened:
        one.__exit__(None, None, None)


def connect(environment: pytest.MonkeyPatch, sts: Sts, name: str, **extra: Any) -> None:
    """A Connection that assumes the role; a name of its own for each test, since sessions are kept by it."""
    services = {"sts": {"endpoint_url": sts.url}, "s3": {"endpoint_url": sts.s3_url}}
    said = {"role_arn": ROLE, "region_name": "us-east-1", "service_config": services, **extra}
    connection = {"conn_type": "aws", "login": "AKIABASE", "password": "base-secret", "extra": said}
    environment.setenv("ENHANCER_S3_CONN_ID", name)
    environment.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
    get_settings.cache_clear()


def test_a_profile(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        "[archive]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = profile-secret\n"
    )
    environment.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    environment.setenv("AIRFLOW_CONN_ENHANCER_S3", "aws:///?profile_name=archive&region_name=eu-west-1")
    settings = settings_from_airflow()
    assert settings.s3_access_key_id is not None
    assert settings.s3_secret_access_key is not None
    assert settings.s3_access_key_id.get_secret_value() == "AKIAPROFILE"
    assert settings.s3_secret_access_key.get_secret_value() == "profile-secret"
    assert (settings.s3_region, settings.s3_key_source) == ("eu-west-1", None)


def test_keys_in_the_extra(environment: pytest.MonkeyPatch) -> None:
    extra = {"aws_access_key_id": "AKIAEXTRA", "aws_secret_access_key": "extra-secret"}
    environment.setenv("AIRFLOW_CONN_ENHANCER_S3", json.dumps({"conn_type": "aws", "extra": extra}))
    found = settings_from_airflow().s3_access_key_id
    assert found is not None
    assert found.get_secret_value() == "AKIAEXTRA"


def test_a_roles_keys_are_renewed_and_stand_in_no_setting(
    environment: pytest.MonkeyPatch, sts: Callable[[float], Sts], s3: S3Server
) -> None:
    service = sts(2)
    connect(environment, service, "role_short")
    settings = settings_from_airflow()
    store = open_store(s3.bucket(), settings)
    store.put("a.txt", b"one")
    time.sleep(2.1)
    assert store.get("a.txt").data == b"one"
    assert len(service.used) > 1
    assert service.expired == 0
    assert {query["RoleArn"] for query in service.asked} == {ROLE}
    given = json.dumps(worker_environment(settings))
    assert not any(text in given for text in ("ASIA", "secret-of", "token-of", "AKIABASE", "base-secret"))


def test_a_page_that_reads_the_connection_again_asks_for_no_other_keys(
    environment: pytest.MonkeyPatch, sts: Callable[[float], Sts]
) -> None:
    service = sts(3600)
    connect(environment, service, "role_long")
    first, second = settings_from_airflow(), settings_from_airflow()
    assert first == second
    assert len(service.asked) == 1
    connect(environment, service, "role_long", assume_role_kwargs={"RoleSessionName": "other"})
    settings_from_airflow()
    assert service.asked[-1]["RoleSessionName"] == "other"


def test_web_identity(
    environment: pytest.MonkeyPatch, sts: Callable[[float], Sts], s3: S3Server, tmp_path: Path
) -> None:
    service = sts(3600)
    (tmp_path / "token").write_text("an-identity")
    connect(
        environment,
        service,
        "role_web",
        assume_role_method="assume_role_with_web_identity",
        assume_role_with_web_identity_federation="file",
        assume_role_with_web_identity_token_file=str(tmp_path / "token"),
    )
    store = open_store(s3.bucket(), settings_from_airflow())
    store.put("a.txt", b"one")
    assert service.asked[0]["WebIdentityToken"] == "an-identity"


@pytest.mark.parametrize(
    ("answer", "error", "kind"),
    [
        ((403, "AccessDenied"), RequestError, ErrorKind.PERMANENT),
        ((503, "ServiceUnavailable"), StorageError, ErrorKind.TRANSIENT),
    ],
)
def test_a_refused_role_is_permanent_and_a_service_that_is_away_is_not(
    environment: pytest.MonkeyPatch,
    sts: Callable[[float], Sts],
    answer: tuple[int, str],
    error: type[Exception],
    kind: ErrorKind,
) -> None:
    service = sts(3600)
    service.refuse = answer
    name = f"role_{answer[0]}"
    connect(environment, service, name)
    with pytest.raises(error, match=f"Connection {name} gives no keys") as caught:
        settings_from_airflow()
    assert caught.value.kind is kind  # type: ignore[attr-defined]
    assert "base-secret" not in str(caught.value)


def test_a_process_without_the_source_says_so() -> None:
    with pytest.raises(RequestError, match="leave ENHANCER_S3_KEY_SOURCE unset"):
        open_store("s3://bucket", Settings(s3_key_source="airflow:nothing")).head("a.txt")


def test_keys_are_renewed_in_the_worker_during_a_shard_that_outlives_them(
    environment: pytest.MonkeyPatch, sts: Callable[[float], Sts], s3: S3Server
) -> None:
    """The worker's own start takes longer than these keys live, and so do the shard's pictures."""
    service = sts(3)
    connect(environment, service, "role_worker")
    source, output = s3.bucket(), s3.bucket()
    pictures = 12
    for number in range(pictures):
        s3.client.put_object(
            Bucket=source.removeprefix("s3://"), Key=f"{number}.png", Body=png(number, width=600, height=400)
        )
    settings = settings_from_airflow().model_copy(update={"overlap_pictures": 1})
    upgrade(settings.ledger_url())
    recipe = {**json.loads(PLAIN), "scale": 2}
    request = RunRequest.from_params({"input_url": source, "output_url": output, "recipe": recipe}, settings)
    plan = plan_run(request, settings=settings, run_id="r1", trigger="cli")
    [reference] = plan.shards
    for task in (enhance_shard, evaluate_shard, publish_shard):
        task(reference, settings=settings, owner="test")
    with Ledger(settings.ledger_url()) as ledger:
        assert ledger.items.counts("r1") == {"published": pictures}
        assert all(row.attempts == 1 for row in ledger.queries.iter_items("r1")), "no picture was tried in vain"
    assert service.expired == 0
    assert len(service.used) > 4
