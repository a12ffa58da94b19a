"""Which addresses Airflow's runs and the page may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from enhancer.errors import RequestError
from enhancer.settings import Settings
from enhancer.storage.roots import ForeignAddressError, Roots


def roots(**values: str) -> Roots:
    return Roots.of(Settings(**values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url", ["s3://input", "s3://input/", "s3://input/a/b", "s3://outs/prefix", "s3://outs/prefix/x"]
)
def test_addresses_under_a_root(url: str) -> None:
    roots(input_url="s3://input", output_url="s3://outs/prefix/").check(input_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "s3://input2",
        "s3://other",
        "s3://outs",
        "s3://outs/prefix2",
        "s3://outs/prefix/../x",
        "s3://input/.",
        "/",
        "/etc",
        "relative",
    ],
)
def test_addresses_elsewhere(url: str) -> None:
    with pytest.raises(ForeignAddressError):
        roots(input_url="s3://input", output_url="s3://outs/prefix/").check(input_url=url)


def test_folders_are_compared_where_they_really_are(tmp_path: Path) -> None:
    for name in ("in", "in2", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "outside")
    allowed = roots(input_url=str(tmp_path / "in"))
    allowed.check(input_url=f"{tmp_path}/in/deeper")
    allowed.check(input_url=f"{tmp_path}/in2/../in")
    for url in ("in2", "in/..", "in/../outside", "in/link"):
        with pytest.raises(ForeignAddressError):
            allowed.check(input_url=f"{tmp_path}/{url}")


def test_what_is_not_a_store_at_all_is_no_address() -> None:
    with pytest.raises(RequestError, match="s3://bucket/prefix"):
        roots(input_url="s3://input").check(input_url="")


def test_the_refusal_names_address_bounds_and_way_out() -> None:
    with pytest.raises(
        ForeignAddressError, match=r"reference_url s3://other is not allowed.*s3://input.*ALLOWED_ROOTS"
    ):
        roots(input_url="s3://input").check(input_url="s3://input/a", work_url=None, reference_url="s3://other")


def test_the_old_name_of_the_setting_is_read_where_the_new_one_is_unset() -> None:
    assert roots(ui_roots="s3://old").urls == ("s3://old",)
    assert roots(ui_roots="s3://old", allowed_roots="s3://new").urls == ("s3://new",)


def test_allowed_roots_replaces_the_other_addresses_and_none_means_none() -> None:
    chosen = roots(input_url="s3://input", allowed_roots="s3://aaa/b, s3://ccc")
    chosen.check(input_url="s3://ccc/d")
    with pytest.raises(ForeignAddressError):
        chosen.check(input_url="s3://input")
    for nothing in (roots(), roots(input_url="s3://input", allowed_roots="")):
        with pytest.raises(ForeignAddressError):
            nothing.check(input_url="s3://input")
