"""Params of a run: precedence, refusals that name the param, and promises that a request cannot break."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from enhancer.batch.layout import ledger_run_id
from enhancer.batch.plan.request import RunRequest
from enhancer.errors import EnhancerError, ModelError, RequestError
from enhancer.settings import Settings

URLS = {"input_url": "s3://pictures/a", "output_url": "s3://twins/a"}


def parse(settings: Settings | None = None, /, **params: Any) -> RunRequest:
    return RunRequest.from_params({**URLS, **params}, settings or Settings())


def test_params_win_over_settings_and_empty_ones_do_not() -> None:
    settings = Settings(
        input_url="s3://from-settings",
        output_url="s3://out-settings",
        work_url="s3://work-settings",
        reference_url="s3://truth-settings",
        recipe="scan",
        rules='[{"match": "x2/*", "scale": 2}]',
    )
    silent = RunRequest.from_params({"input_url": None, "output_url": "", "scale": None, "recipe": ""}, settings)
    assert (silent.input_url, silent.output_url) == ("s3://from-settings", "s3://out-settings")
    assert (silent.work_url, silent.reference_url) == ("s3://work-settings", "s3://truth-settings")
    assert silent.recipe is not None
    assert silent.recipe.name == "scan"
    assert [rule.match for rule in silent.rules] == ["x2/*"]

    spoken = RunRequest.from_params({"input_url": "s3://mine", "recipe": "photo", "rules": []}, settings)
    assert spoken.input_url == "s3://mine"
    assert spoken.recipe is not None
    assert spoken.recipe.name == "photo"
    assert spoken.rules == ()


def test_work_lies_beside_the_output_by_default_under_the_reserved_prefix() -> None:
    assert parse().work_url == "s3://twins/a/_enhancer/work"


def test_urls_become_canonical(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    request = parse(input_url="pictures/", output_url=f"file://{tmp_path}/twins/", reference_url="S3://truth/")
    assert request.input_url == str(tmp_path / "pictures")
    assert request.output_url == str(tmp_path / "twins")
    assert request.reference_url == "s3://truth"


@pytest.mark.parametrize("name", ["input_url", "output_url"])
def test_a_missing_url_is_named_with_both_ways_out(name: str) -> None:
    with pytest.raises(RequestError, match=f"{name} is not set.*ENHANCER_{name.upper()}") as caught:
        parse(**{name: ""})
    assert caught.value.reason == "missing-param"


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"scale": 9}, "scale"),
        ({"scale": 0.5}, "scale"),
        ({"scale": "large"}, "scale"),
        ({"denoise_strength": 1.5}, "denoise_strength"),
        ({"denoise_strength": -0.1}, "denoise_strength"),
        ({"max_items": 0}, "max_items"),
        ({"max_items": "some"}, "max_items"),
        ({"rerun": "everything"}, "rerun"),
        ({"dry_run": "perhaps"}, "dry_run"),
        ({"colour": "blue"}, "colour"),
        ({"prefix": 5}, "prefix"),
        ({"input_url": "ftp://host/x"}, "input_url"),
        ({"output_url": "s3://-"}, "output_url"),
        ({"work_url": "gs://x"}, "work_url"),
        ({"reference_url": "s3://key:secret@host"}, "reference_url"),
        ({"recipe": "fotograf"}, "fotograf"),
        ({"recipe": '{"scale": 40}'}, "scale"),
        ({"recipe": "{"}, "recipe"),
        ({"recipe": 7}, "recipe"),
        ({"rules": "["}, "rules"),
        ({"rules": [{"match": "a/*"}, {"match": "b/*", "scale": 99}]}, "rule 2: scale"),
        ({"rules": [{"match": "a/*", "recipe": "nosuch"}]}, "rule 1: .*nosuch"),
        ({"model": "dat-huge"}, "dat-huge"),
        ({"rules": [{"match": "a/*", "model": "dat-huge"}]}, "dat-huge"),
        ({"rules": [{"match": "a/*", "recipe": {"model": "dat-huge"}}]}, "dat-huge"),
    ],
)
def test_an_invalid_param_is_refused_by_name(params: dict[str, Any], named: str) -> None:
    with pytest.raises(EnhancerError, match=named) as caught:
        parse(**params)
    assert isinstance(caught.value, RequestError | ModelError)
    assert caught.value.kind == "permanent"


def test_a_secret_in_a_url_is_not_repeated() -> None:
    with pytest.raises(RequestError) as caught:
        parse(input_url="s3://AKIA:topsecret@bucket")
    assert "topsecret" not in caught.value.message


@pytest.mark.parametrize(
    "params",
    [
        {"output_url": "s3://pictures/a"},
        {"output_url": "s3://pictures/a/"},
        {"output_url": "s3://pictures/a/twins"},
        {"output_url": "s3://pictures"},
        {"work_url": "s3://pictures/a/work"},
        {"work_url": "s3://pictures"},
    ],
)
def test_urls_that_overlap_the_input_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(RequestError, match=next(iter(params))) as caught:
        parse(**params)
    assert caught.value.reason == "overlapping-urls"


def test_neighbours_with_a_common_beginning_do_not_overlap() -> None:
    assert parse(output_url="s3://pictures/a-twins", work_url="s3://pictures/ab").output_url == "s3://pictures/a-twins"


def test_folders_overlap_by_their_real_paths(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for output in (tmp_path / "x" / ".." / "in" / "twins", tmp_path / "link" / "twins", tmp_path / "link"):
        with pytest.raises(RequestError) as caught:
            parse(input_url=str(tmp_path / "in"), output_url=str(output))
        assert caught.value.reason == "overlapping-urls"


def test_the_first_rule_that_matches_decides_and_explicit_params_win() -> None:
    rules = json.dumps(
        [
            {"match": "scans/*", "recipe": "scan", "scale": 3},
            {"match": "*", "recipe": "archive", "denoise_strength": 0.1},
        ]
    )
    request = parse(rules=rules)
    scan, other = request.recipe_for("scans/a/b.png"), request.recipe_for("Scans/a.png")
    assert (scan.name, scan.scale, scan.denoise_strength) == ("scan", 3.0, 0.5)
    assert (other.name, other.scale, other.denoise_strength) == ("archive", 1.0, 0.1)
    assert parse(rules=rules, scale=2).recipe_for("scans/a.png").scale == 2.0
    replaced = parse(rules=rules, recipe="low-light").recipe_for("scans/a.png")
    assert (replaced.name, replaced.scale) == ("low-light", 3.0)
    assert parse(denoise_strength=0).recipe_for("any").denoise_strength == 0.0


def test_params_survive_json() -> None:
    request = parse(rules=[{"match": "*", "scale": 2}], recipe="scan", max_items="7", dry_run="true")
    assert request.max_items == 7
    assert request.dry_run is True
    assert RunRequest.model_validate_json(json.dumps(request.as_params())) == request


@pytest.mark.parametrize(
    ("name", "run_id"),
    [
        ("scheduled__2026-01-01T00:00:00+00:00", "scheduled__2026-01-01T00-00-00-00-00"),
        ("nightly~2", "nightly~2"),
        ("../../etc", "..-..-etc"),
        ("ä" * 3 + "b", "-b"),
        ("x" * 300, "x" * 183 + "-" + blake3(b"x" * 300).hexdigest()[:16]),
    ],
)
def test_a_run_id_is_safe_in_paths(name: str, run_id: str) -> None:
    assert ledger_run_id(name) == run_id
