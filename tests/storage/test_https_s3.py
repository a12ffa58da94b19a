"""S3 over HTTPS with a private CA, on servers that understand checksum trailers and on those that do not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from enhancer.batch.plan.planning import plan_run
from enhancer.batch.plan.request import RunRequest
from enhancer.batch.run import run_batch
from enhancer.cli.app import app
from enhancer.contract import Envelope
from enhancer.errors import ErrorKind, StorageError
from enhancer.ledger import Ledger
from enhancer.settings import Settings
from enhancer.storage import open_store, s3_client
from tests.batch.site_builder import PLAIN, png
from tests.model_cache import MODEL_CACHE
from tests.storage.https_s3 import HttpsS3, PrivateCA, serving

DATA = bytes(range(256)) * 40
KEYS = {"s3_access_key_id": "someone", "s3_secret_access_key": "secret"}


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> PrivateCA:
    return PrivateCA(tmp_path_factory.mktemp("ca"))


@pytest.fixture(autouse=True)
def _trusting(ca: PrivateCA, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(ca.bundle))
    yield
    s3_client._client.cache_clear()


@pytest.fixture(params=[True, False], ids=["understands trailers", "stores them"])
def server(request: pytest.FixtureRequest, ca: PrivateCA) -> Iterator[HttpsS3]:
    with serving(HttpsS3(ca, understands_trailers=request.param)) as running:
        yield running


@pytest.fixture
def naive(ca: PrivateCA) -> Iterator[HttpsS3]:
    with serving(HttpsS3(ca, understands_trailers=False)) as running:
        yield running


def settings(server: HttpsS3, **values: Any) -> Settings:
    return Settings(s3_endpoint_url=server.endpoint, **{**KEYS, **values})


def test_by_default_every_server_stores_what_was_put(server: HttpsS3) -> None:
    store = open_store("s3://some", settings(server))
    assert store.put("a.png", DATA).size == len(DATA)
    assert server.objects["some/a.png"] == (DATA, "image/png")
    assert "aws-chunked" not in "".join(server.encodings)
    assert store.get("a.png").data == DATA
    store.copy_from(store, "a.png", "b.png")
    assert server.objects["some/b.png"][0] == DATA


def test_trailers_where_they_are_asked_for(ca: PrivateCA) -> None:
    with serving(HttpsS3(ca, understands_trailers=True)) as server:
        store = open_store("s3://some", settings(server, s3_request_checksum_calculation="when_supported"))
        store.put("a.png", DATA)
        assert server.encodings == ["aws-chunked"]
        assert server.objects["some/a.png"][0] == DATA


def test_a_body_that_was_stored_with_its_trailer_is_no_success(naive: HttpsS3) -> None:
    store = open_store("s3://some", settings(naive, s3_request_checksum_calculation="when_supported"))
    with pytest.raises(StorageError, match=r"a\.png holds .*ENHANCER_S3_REQUEST_CHECKSUM_CALCULATION") as caught:
        store.put("a.png", DATA)
    assert (caught.value.reason, caught.value.kind) == ("bad-copy", ErrorKind.TRANSIENT)
    assert naive.objects["some/a.png"][0] != DATA


@pytest.mark.parametrize("harm", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"x" + data[1:]])
def test_bytes_are_read_back_where_the_etag_is_no_md5(naive: HttpsS3, harm: Any) -> None:
    naive.etag = lambda data: "opaque"  # type: ignore[method-assign]
    store = open_store("s3://some", settings(naive))
    assert store.put("a.png", DATA).etag == "opaque"
    assert store.put("empty", b"").size == 0

    class Harming(dict[str, tuple[bytes, str]]):
        def __setitem__(self, name: str, value: tuple[bytes, str]) -> None:
            super().__setitem__(name, (harm(value[0]), value[1]))

    naive.objects = Harming()
    with pytest.raises(StorageError, match="check the server") as caught:
        store.put("a.png", DATA)
    assert caught.value.reason == "bad-copy"


def test_a_server_of_an_unknown_ca_is_refused(naive: HttpsS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE")
    with pytest.raises(StorageError, match="certificate verify failed"):
        open_store("s3://some", settings(naive)).head("a.png")


def test_enhance_says_done_only_of_what_the_server_holds(naive: HttpsS3, tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(tmp_path / "a.png")

    def enhance(use: str) -> Envelope:
        env = {
            "ENHANCER_HOME": str(tmp_path / "home"),
            "ENHANCER_MODEL_DIR": str(MODEL_CACHE),
            "ENHANCER_S3_ENDPOINT_URL": naive.endpoint,
            "ENHANCER_S3_ACCESS_KEY_ID": "someone",
            "ENHANCER_S3_SECRET_ACCESS_KEY": "secret",
            "ENHANCER_S3_REQUEST_CHECKSUM_CALCULATION": use,
        }
        arguments = ["enhance", str(tmp_path / "a.png"), "-o", "s3://some/out", "--scale", "1", "--json"]
        return Envelope.model_validate_json(CliRunner().invoke(app, arguments, env=env).stdout)

    assert enhance("when_required").ok
    assert naive.objects["some/out/a.png"][0] == (tmp_path / "a.png").read_bytes()
    refused = enhance("when_supported")
    assert not refused.ok
    assert refused.items[0].error is not None
    assert refused.items[0].error.error_class == "bad-copy"


@pytest.mark.network  # LPIPS' weights, once
def test_a_whole_run_whose_workers_know_the_private_ca(
    server: HttpsS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-for-workers")
    server.objects["pictures/a.png"] = png(1, 48, 40), "image/png"
    server.objects["pictures/IM1"] = png(2, 48, 40), "image/png"
    server.objects["pictures/IM2"] = png(3, 48, 40), "binary/octet-stream"
    server.objects["pictures/README"] = png(4, 48, 40), "text/plain"
    server.objects["pictures/IM3"] = b"no picture, whatever its content type says", "image/png"
    given = settings(server, home=tmp_path / "home", model_dir=MODEL_CACHE, threads=1)
    given.home.mkdir()
    urls = {"input_url": "s3://pictures", "output_url": "s3://twins"}
    report = run_batch(RunRequest.from_params({**urls, "recipe": PLAIN}, given), settings=given, run_id="night")
    assert (report.outcome, report.counts) == ("success", {"published": 3, "skipped": 1, "quarantined": 1})
    with Image.open(io.BytesIO(server.objects["twins/a.png"][0])) as made:
        assert made.size == (48, 40)
    assert {name for name in server.objects if name.startswith("twins/IM")} == {"twins/IM1", "twins/IM2"}
    with Ledger(given.ledger_url()) as ledger:
        rows = {row.key: row for row in ledger.queries.iter_items("night")}
    assert {key: rows[key].details for key in ("README", "IM3")} == {
        "README": {"content_type": "text/plain"},
        "IM3": {"content_type": "image/png"},
    }
    again = plan_run(
        RunRequest.from_params(urls | {"recipe": PLAIN}, given), settings=given, run_id="r2", trigger="cli"
    )
    assert (again.shards, again.summary["repeated_verdicts"], again.summary["side_files"]) == ([], 1, {"no suffix": 1})
