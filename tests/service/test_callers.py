"""Who may call: tokens, scopes, rates, anonymous callers of this machine; whose jobs they see."""

from __future__ import annotations

import pytest

from enhancer.service.security import Rates
from tests.service.conftest import ELSEWHERE, HERE, token, upload

ROUTES = [
    ("GET", "/v1/recipes"),
    ("GET", "/v1/models"),
    ("GET", "/v1/jobs"),
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs/x"),
    ("DELETE", "/v1/jobs/x"),
    ("GET", "/v1/jobs/x/items"),
    ("GET", "/v1/jobs/x/events"),
    ("GET", "/v1/jobs/x/results/y"),
    ("POST", "/v1/enhance"),
    ("POST", "/v1/inspect"),
]

SIGNED = ("get", "/v1/i/{signature}/{options}/{encoded}")
"""Takes a signature in a token's place: test_signed.py."""


def is_problem(answer, status, error_class):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["class"]) == (status, error_class)
    assert body["request_id"] == answer.headers["x-request-id"]
    return True


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nothing_is_answered_without_a_token(serve, method, path):
    client = serve()
    answer = client.request(method, path)
    assert is_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    for value in ("Bearer nonsense", "Basic YTpi", "Bearer", "enh_0", "Bearer enh_000000000000_" + "a" * 43):
        assert is_problem(client.request(method, path, headers={"Authorization": value}), 401, "unauthorized")


def test_every_route_of_the_api_is_in_that_list(serve):
    app = serve().app
    found = {(method, path) for path, methods in app.openapi()["paths"].items() for method in methods if "/v1/" in path}
    shape = {(method.lower(), path.replace("/x", "/{job_id}").replace("/y", "/{key}")) for method, path in ROUTES}
    assert found - {SIGNED} == shape
    assert SIGNED in found


def test_a_token_does_what_its_scopes_allow(serve):
    client = serve("read")
    assert client.get("/v1/recipes").status_code == 200
    assert is_problem(client.post("/v1/jobs", files=[upload()]), 403, "not-allowed")
    assert is_problem(client.post("/v1/enhance", files=[upload()]), 403, "not-allowed")


def test_revoked_and_expired_tokens_are_refused(serve):
    client = serve("read")
    ledger = client.app.state.ledger
    old = token(client.app, "read", valid_s=-1)
    assert is_problem(client.get("/v1/recipes", headers={"Authorization": f"Bearer {old}"}), 401, "unauthorized")
    [made] = [one for one in ledger.tokens.all() if one.expires_at is None]
    ledger.tokens.revoke(made.token_id)
    assert is_problem(client.get("/v1/recipes"), 401, "unauthorized")


def test_a_rate_is_kept(serve):
    client = serve()
    client.headers["Authorization"] = f"Bearer {token(client.app, 'read', rate=2)}"
    assert [client.get("/v1/recipes").status_code for _ in range(3)] == [200, 200, 429]
    assert int(client.get("/v1/recipes").headers["retry-after"]) >= 1


def test_a_rate_fills_evenly():
    now = [0.0]
    rates = Rates(clock=lambda: now[0])
    assert [rates.take("a", 2) for _ in range(3)] == [0, 0, 30]
    assert rates.take("b", 2) == 0, "another token has its own"
    now[0] = 30.0
    assert rates.take("a", 2) == 0
    assert rates.take("a", 2) > 0
    now[0] = 10_000.0
    assert [rates.take("a", 2) for _ in range(3)] == [0, 0, 30], "it never holds more than a minute's worth"


def test_anonymous_callers_are_answered_where_that_is_set_and_they_are_here(serve):
    assert serve(client=HERE).get("/v1/recipes").status_code == 401
    client = serve(client=HERE, service_anonymous=True)
    assert client.get("/v1/recipes").status_code == 200
    assert client.get("/v1/recipes", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 401
    assert client.get("/v1/recipes", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert serve(client=ELSEWHERE, service_anonymous=True).get("/v1/recipes").status_code == 401


def test_callers_see_their_own_jobs_and_an_admin_all(serve):
    ann = serve("read", "enhance")
    job = ann.post("/v1/jobs", files=[upload()]).json()
    mine = {"Authorization": ann.headers["Authorization"]}
    bobs = {"Authorization": f"Bearer {token(ann.app, 'read', 'enhance')}"}
    admins = {"Authorization": f"Bearer {token(ann.app, 'admin')}"}
    for path in (
        job["links"]["self"],
        job["links"]["items"],
        job["links"]["events"],
        f"/v1/jobs/{job['id']}/results/x",
    ):
        assert is_problem(ann.get(path, headers=bobs), 404, "no-job")
    assert is_problem(ann.delete(job["links"]["self"], headers=bobs), 404, "no-job")
    listed = [[one["id"] for one in ann.get("/v1/jobs", headers=who).json()] for who in (mine, bobs, admins)]
    assert listed == [[job["id"]], [], [job["id"]]]
    assert ann.get(job["links"]["self"], headers=admins).status_code == 200


def test_health_needs_no_token_and_names_no_address(serve, tmp_path):
    client = serve()
    assert client.get("/healthz").json()["status"] == "ok"
    ready = client.get("/readyz")
    assert ready.status_code == 503, "nothing was started"
    assert str(tmp_path) not in ready.text
