"""The one JSON contract: names that others depend on."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from enhancer.contract import SCHEMA_VERSION, DecisionRecord, Envelope, ErrorRecord, ItemRecord
from enhancer.version import __version__


def whole() -> Envelope:
    return Envelope(
        command="enhance",
        ok=False,
        items=[
            ItemRecord(
                input="a.png",
                state="failed",
                error=ErrorRecord(error_class="truncated", message="ends early", stage="decode"),
                decisions=[DecisionRecord(stage="denoising", applied=True, reason="noise", numbers={"sigma": 9.5})],
                scores={"fidelity": {"psnr": 31.5, "protocol": {"space": "rgb"}}},
            ),
            ItemRecord(input="b.png", output="b.png", state="published"),
        ],
        summary={"failed": 1},
    )


def test_the_names_are_these() -> None:
    raw = json.loads(whole().to_json())
    assert set(raw) >= {"schema_version", "version", "command", "ok", "items", "summary"}
    assert (raw["schema_version"], raw["version"]) == (SCHEMA_VERSION, __version__) == (1, __version__)
    assert set(raw["items"][0]) >= {  # additive only: a name that is here stays
        "input", "output", "state", "attempts", "recipe", "scale", "identity", "width", "height", "output_width",
        "output_height", "error", "decisions", "models", "scores", "timings", "warnings",
    }  # fmt: skip
    assert raw["items"][0]["error"] == {"class": "truncated", "message": "ends early", "stage": "decode"}
    assert raw["items"][0]["decisions"][0] == {
        "stage": "denoising",
        "applied": True,
        "reason": "noise",
        "numbers": {"sigma": 9.5},
    }
    assert raw["items"][1]["error"] is None


@pytest.mark.parametrize("indent", [None, 2])
def test_it_reads_what_it_wrote(indent: int | None) -> None:
    assert Envelope.model_validate_json(whole().to_json(indent=indent)) == whole()


def test_an_infinite_figure_is_still_json() -> None:
    record = ItemRecord(input="a", state="published", scores={"reference": {"psnr": float("inf")}})
    text = Envelope(command="score", ok=True, items=[record]).to_json()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    assert json.loads(text, parse_constant=refuse)["items"][0]["scores"] == {"reference": {"psnr": None}}


@pytest.mark.parametrize(
    "record",
    [
        {"state": "published"},
        {"input": "a"},
        {"input": "a", "state": "failed", "error": {"class": "x", "message": "y"}},
        {"input": "a", "state": "failed", "error": {"message": "y", "stage": "decode"}},
    ],
)
def test_what_is_missing_is_refused(record: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ItemRecord.model_validate(record)


def test_an_older_reader_bears_a_newer_writer() -> None:
    raw = json.loads(whole().to_json())
    raw["items"][0]["invented_later"] = raw["invented_later"] = 1
    assert Envelope.model_validate(raw) == whole()
