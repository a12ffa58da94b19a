"""Whatever is sent to the service that its description allows, or nearly: no answer is an error of its own, and every
answer is as described.
"""

from __future__ import annotations

import pytest

schemathesis = pytest.importorskip("schemathesis", reason="needs the schemathesis package")

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = (
    schemathesis.checks.not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)


@pytest.mark.parametrize("scopes", [("read", "enhance"), ("admin",)], ids="+".join)
def test_answers_are_as_described(serve, scopes) -> None:
    client = serve(*scopes, service_queue=1_000_000)
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    headers = {"Authorization": client.headers["Authorization"]}
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=12,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
        )
        def attempt(case) -> None:
            answer = case.call(headers=headers)
            if answer.status_code == 503:  # no warm worker runs here, and it says so
                assert "json" in answer.headers["content-type"][0]
                return
            case.validate_response(answer, checks=CHECKS)

        given(case=operation.as_strategy())(attempt)()
        tried += 1
    assert tried >= 12
