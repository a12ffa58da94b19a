"""What is refused before anything is read or decoded, and what every answer carries."""

from __future__ import annotations

import io
import json
import logging
import os
from pathlib import Path

import pytest
import structlog
from prometheus_client import generate_latest

from tests.service.conftest import upload
from tests.service.test_callers import is_problem


def test_headers_stand_on_every_answer(serve):
    client = serve("read")
    for path in ("/", "/v1/recipes", "/nothing", "/static/nothing", "/v1/jobs/x", "/healthz"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
        assert headers["x-request-id"]


def test_a_request_id_is_kept_where_it_is_harmless(serve):
    client = serve()
    assert client.get("/healthz", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    for bad in ("a b", "x" * 65, 'a"b'):
        assert client.get("/healthz", headers={"X-Request-Id": bad}).headers["x-request-id"] != bad


def test_cors_is_off_unless_an_origin_is_named(serve):
    asked = {"Origin": "https://shop.example"}
    assert "access-control-allow-origin" not in serve("read").get("/v1/recipes", headers=asked).headers
    client = serve("read", service_cors_origins="https://shop.example")
    assert client.get("/v1/recipes", headers=asked).headers["access-control-allow-origin"] == "https://shop.example"
    other = client.get("/v1/recipes", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_the_log_has_the_request_and_no_token(serve, capsys):
    client = serve("read")
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    try:
        answer = client.get("/v1/recipes?secret=abc")
    finally:
        structlog.reset_defaults()
    out = capsys.readouterr().out
    [line] = [json.loads(one) for one in out.splitlines() if '"path"' in one]
    assert (line["id"], line["path"], line["status"]) == (answer.headers["x-request-id"], "/v1/recipes", 200)
    assert "enh_" not in out
    assert "abc" not in out


def test_too_long_a_body_is_refused_announced_or_not(serve):
    client = serve("enhance", "read", service_max_bytes=1000)
    big = b"x" * 2000
    assert is_problem(client.post("/v1/jobs", files=[upload(content=big)]), 413, "too-many-bytes")
    for kind in ("application/json", "multipart/form-data; boundary=b"):
        answer = client.post("/v1/jobs", content=iter([big[:900], big[900:]]), headers={"Content-Type": kind})
        assert is_problem(answer, 413, "too-many-bytes")
    assert list(client.app.state.settings.home.glob("service/uploads/*")) == []


def test_counts_are_bounded(serve):
    client = serve("enhance", "read", service_max_files=2)
    answer = client.post("/v1/jobs", files=[upload(f"{number}.png") for number in range(3)])
    assert answer.status_code in (400, 413, 422)
    asked = {"addresses": [f"/data/{number}.png" for number in range(3)]}
    assert is_problem(client.post("/v1/jobs", json=asked), 422, "bad-params")


def test_the_queue_is_bounded(serve):
    client = serve("enhance", "read", service_queue=1)
    assert client.post("/v1/jobs", files=[upload()]).status_code == 202
    full = client.post("/v1/jobs", files=[upload()])
    assert is_problem(full, 429, "queue-full")
    assert int(full.headers["retry-after"]) > 0
    assert len(list(client.app.state.settings.home.glob("service/uploads/*"))) == 1, "what was refused is not kept"


@pytest.mark.parametrize(
    "recipe",
    [
        {"denoise_model": "/etc/passwd.safetensors"},
        {"model": "../secret"},
        {"super_resolution": {"fidelity_model": "/x"}},
        {"scale": 99},
        {"nonsense": 1},
        "no-such-preset",
    ],
)
def test_a_recipe_names_nothing_on_the_server_and_is_valid(serve, recipe):
    client = serve("enhance", "read")
    answer = client.post("/v1/jobs", files=[upload()], data={"recipe": json.dumps(recipe)})
    assert answer.status_code == 422, answer.text
    assert "Traceback" not in answer.text


def test_a_form_has_files_in_the_field_file_and_known_wishes(serve):
    client = serve("enhance", "read")
    png = io.BytesIO(b"x")
    assert is_problem(client.post("/v1/jobs", files=[("other", ("a.png", png))]), 422, "bad-params")
    assert is_problem(client.post("/v1/jobs", files=[upload()], data={"input_url": "/etc"}), 422, "bad-params")
    assert is_problem(client.post("/v1/jobs", files=[upload()], data={"scale": "many"}), 422, "bad-params")
    assert is_problem(client.post("/v1/jobs", files=[upload("notes.txt")]), 415, "not-a-picture")
    assert is_problem(client.post("/v1/jobs", content=b"x", headers={"Content-Type": "text/plain"}), 415, "unsupported")
    assert is_problem(
        client.post("/v1/jobs", content=b"{", headers={"Content-Type": "application/json"}), 422, "bad-params"
    )


@pytest.mark.parametrize(
    "name", ["../../../etc/cron.d/x.png", "C:\\x.png", "a\nb.png", "..", "x" * 400 + ".png", "a/../b.png"]
)
def test_an_uploads_name_leads_nowhere(serve, name):
    client = serve("enhance", "read")
    answer = client.post("/v1/jobs", files=[upload(name)])
    assert answer.status_code == 202, answer.text
    store = client.app.state.settings.home / "service"
    [kept] = [path for path in store.rglob("*") if path.is_file()]
    assert kept.parent == store / "uploads" / answer.json()["id"]
    assert len(kept.name) <= 130


def test_nesting_and_null_bytes_are_no_error_of_the_services(serve):
    client = serve("enhance", "read")
    deep = '{"a":' * 100_000 + "1" + "}" * 100_000
    assert client.post("/v1/jobs", files=[upload()], data={"recipe": deep}).status_code == 422
    body = f'{{"addresses": ["/a.png"], "recipe": {deep}}}'
    answer = client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert is_problem(answer, 422, "bad-params")
    assert client.get("/v1/jobs/a%00b").status_code == 422
    job = client.post("/v1/jobs", files=[upload()]).json()
    assert is_problem(client.get(f"/v1/jobs/{job['id']}/results/a%00b.png"), 404, "gone")


def test_an_unknown_page_is_a_problem_too(serve):
    assert is_problem(serve().get("/nothing"), 404, "not-found")
    assert serve().get("/static/../app.py").status_code == 404
    assert serve().get("/static/..%2f..%2fapp.py").status_code == 404


def test_the_openapi_file_is_what_the_service_says(serve):
    client = serve()
    file = Path(__file__).parents[2] / "docs" / "openapi.json"
    said = client.get("/openapi.json").json()
    if os.environ.get("WRITE_OPENAPI"):
        file.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    assert json.loads(file.read_text(encoding="utf-8")) == said, "WRITE_OPENAPI=1 writes it anew"


def test_metrics_count_requests_by_route_and_jobs_by_state(serve):
    client = serve("read", "enhance")
    job = client.post("/v1/jobs", files=[upload()]).json()
    client.get(job["links"]["self"])
    text = generate_latest(client.app.state.metrics.registry).decode()
    count = 'enhancer_service_requests_total{method="GET",route="/v1/jobs/{job_id}",status="200"} 1.0'
    assert count in text
    assert 'enhancer_service_jobs{state="queued"} 1.0' in text
    assert job["id"] not in text


def test_no_single_pictures_without_workers(serve):
    for path in ("/v1/enhance", "/v1/inspect"):
        assert is_problem(serve("enhance").post(path, files=[upload()]), 503, "timeout")
        assert is_problem(serve("read").post(path, files=[upload()]), 403, "not-allowed")
