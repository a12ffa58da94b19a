"""What docs/operations.md says of errors: each class and each message that it explains comes about as it says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from enhancer.batch.failures import classify
from enhancer.codecs import Limits, decode
from enhancer.errors import EnhancerError, LeaseLostError, RequestError
from enhancer.ledger import ItemState
from enhancer.ledger.migrate import check
from enhancer.storage.s3_errors import translated
from tests.batch.site_builder import Site, png
from tests.operations_page import PAGE, error_classes

SHOWN_BY_WORKERS = {
    "hung",  # test_worker_night.py
    "worker-killed",  # test_worker_night.py
    "memory-limit",  # test_worker.py
    "gate",  # test_evaluation.py
    "bad-result",  # test_evaluation.py
    "no-space",  # tests/storage/test_local.py
    "bad-copy",  # tests/storage/test_https_s3.py
}
"""They need a worker, a gate or a full disk, and are asserted where those are."""


def read(data: bytes, **limits: int) -> Exception:
    with pytest.raises(EnhancerError) as caught:
        decode(data, name="a.png", limits=Limits(**{"max_pixels": 10**6, "max_bytes": 10**6, "max_pages": 1, **limits}))
    return caught.value


def corrupt() -> bytes:
    """A PNG whose compressed pixels are overwritten in their middle."""
    data = png(1, 64, 64)
    start = data.index(b"IDAT") + 60
    return data[:start] + bytes(200) + data[start + 200 :]


def answered(code: str, status: int) -> Exception:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = translated("cannot read s3://a/b", ClientError(answer, "GetObject"))
    assert error is not None
    return error


def unreachable() -> Exception:
    error = translated("cannot read s3://a/b", EndpointConnectionError(endpoint_url="http://127.0.0.1:1"))
    assert error is not None
    return error


CAUSES: dict[str, Callable[[], Exception]] = {
    "slow-down": lambda: answered("SlowDown", 503),
    "timeout": lambda: TimeoutError("no answer"),
    "connection": unreachable,
    "access-denied": lambda: answered("AccessDenied", 403),
    "archived": lambda: answered("InvalidObjectState", 403),
    "truncated": lambda: read(png(1, 64, 64)[:-60]),
    "corrupt": lambda: read(corrupt()),
    "not-a-picture": lambda: read(b"this is no picture\n" * 40),
    "too-many-pixels": lambda: read(png(1, 64, 64), max_pixels=100),
    "too-many-bytes": lambda: read(png(1, 64, 64), max_bytes=10),
}


def test_every_class_of_the_page_has_its_cause_here() -> None:
    assert error_classes() == CAUSES.keys() | SHOWN_BY_WORKERS


@pytest.mark.parametrize("name", CAUSES)
def test_the_class_comes_about(name: str) -> None:
    assert classify(CAUSES[name](), "read").error_class == name


def test_a_shard_that_was_taken_over_says_so(site: Site) -> None:
    site.put(a_png=png(1))
    site.plan("r1")
    first = site.ledger.leases.take("r1", 0, "first", 60)
    site.ledger.leases.take("r1", 0, "second", 60)
    with pytest.raises(LeaseLostError, match="another attempt took over"):
        site.ledger.items.move(first, "a.png", ItemState.RUNNING)
    assert "another attempt took over" in PAGE


def test_a_manifest_of_too_many_shards_names_the_setting(new_site: Callable[..., Site], tmp_path) -> None:
    site = new_site(tmp_path / "site", max_shards=1, min_shards=2)
    site.put(a_png=png(1), b_png=png(2))
    with pytest.raises(RequestError, match="ENHANCER_MAX_SHARDS"):
        site.plan("r1")
    assert "`ENHANCER_MAX_SHARDS`" in PAGE


def test_an_old_schema_names_the_command(tmp_path) -> None:
    with pytest.raises(RequestError, match="enhancer ledger upgrade"):
        check(f"sqlite:///{tmp_path / 'ledger.db'}")
    assert "`enhancer ledger upgrade`" in PAGE
