"""The nightly reference check: the same pictures each night, true scores in the ledger, drift told and not swallowed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from skimage.metrics import peak_signal_noise_ratio

from enhancer.batch.canary import NOISE_SIGMA, canary_set
from enhancer.batch.layout import REFERENCE_CHECK_DAG
from enhancer.batch.reference_check import DriftError, check_reference, compare, worse_than_bicubic
from enhancer.errors import RequestError
from enhancer.ledger import Ledger
from enhancer.settings import Settings
from tests.model_cache import MODEL_CACHE

GOOD = {"a": {"psnr": 30.0, "ssim": 0.9, "lpips": 0.1, "bicubic": 28.0}}


def moved(**by: float) -> dict[str, dict[str, float]]:
    return {"a": {**GOOD["a"], **{metric: GOOD["a"][metric] + change for metric, change in by.items()}}}


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(data))).astype(float)


@pytest.mark.parametrize("change", [{"psnr": -0.3}, {"ssim": -0.006}, {"lpips": 0.02}])
def test_a_figure_beyond_its_bound_is_drift(change: dict[str, float]) -> None:
    [told] = compare(moved(**change), GOOD)
    assert told.startswith(f"a: {next(iter(change))}")


@pytest.mark.parametrize("change", [{}, {"psnr": -0.1}, {"psnr": 5.0}, {"ssim": 0.05}, {"lpips": -0.09}])
def test_a_little_worse_and_any_better_is_none(change: dict[str, float]) -> None:
    assert compare(moved(**change), GOOD) == []


def test_what_bicubic_beats_is_no_baseline() -> None:
    assert worse_than_bicubic(moved(psnr=-2.5)) != []
    assert worse_than_bicubic(GOOD) == []


def test_the_set_is_the_same_each_night_but_for_its_bytes() -> None:
    first, second = list(canary_set(2, "one")), list(canary_set(2, "two"))
    for one, two in zip(first, second, strict=True):
        assert one.damaged != two.damaged, "the same bytes would be looked up and not enhanced"
        assert np.array_equal(pixels(one.damaged), pixels(two.damaged))
        assert one.truth == two.truth


@pytest.mark.parametrize("scale", [1, 1.5, 2, 4, 8])
def test_truth_has_the_size_of_the_result(scale: float) -> None:
    for canary in canary_set(scale, "x"):
        small, large = pixels(canary.damaged), pixels(canary.truth)
        assert large.shape[:2] == tuple(round(side * scale) for side in small.shape[:2])
        assert min(large.shape[:2]) > 200


def test_the_noise_is_as_strong_as_it_says() -> None:
    noisy = next(canary for canary in canary_set(1, "x") if canary.key == "canary/noisy.png")
    expected = 20 * np.log10(255 / NOISE_SIGMA)
    found = peak_signal_noise_ratio(pixels(noisy.truth), pixels(noisy.damaged), data_range=255)
    assert found == pytest.approx(expected, abs=0.3)


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory):
    """A first night, and a second whose recorded baseline was better than what the recipe gives."""
    root: Path = tmp_path_factory.mktemp("reference")
    settings = Settings(
        home=root / "home", model_dir=MODEL_CACHE, output_url=str(root / "out"), threads=1, lpips_crops=1
    )
    (root / "home").mkdir()
    first = check_reference(settings=settings, run_id="night-1", recipe={"scale": 2})
    with Ledger(settings.ledger_url()) as ledger:
        record = ledger.runs.get("night-1").summary["reference_check"]
        for one in record["baseline"].values():
            one["psnr"] += 1.0
        ledger.runs.annotate("night-1", {"reference_check": record})
    return settings, first, check_reference(settings=settings, run_id="night-2", recipe={"scale": 2})


@pytest.mark.network  # LPIPS' weights, once
def test_the_first_check_is_the_baseline_of_the_second(nights) -> None:
    _, first, second = nights
    assert first.drift == ()
    assert (first.baseline_run, second.baseline_run) == ("night-1", "night-1")
    assert len(first.figures) == 4
    assert first.figures == second.figures, "the same pixels, computed anew"
    assert compare(second.figures, first.figures) == []


@pytest.mark.network
def test_each_night_is_computed_and_its_true_scores_are_in_the_ledger(nights) -> None:
    settings, _, second = nights
    with Ledger(settings.ledger_url()) as ledger:
        rows = list(ledger.queries.iter_items("night-2"))
        assert ledger.runs.get("night-2").dag_id == REFERENCE_CHECK_DAG
        assert ledger.queries.cost_history(without_dag=REFERENCE_CHECK_DAG) == (0.0, 0.0), "no rate for real pictures"
    assert {row.state for row in rows} == {"published"}, "not `reused`"
    base = Path(settings.output_url or "") / "_enhancer" / "reference-check"
    for row in rows:
        result = pixels((base / "output" / row.target_key).read_bytes())
        truth = pixels((base / "reference" / row.key).read_bytes())
        crop = (slice(2, -2), slice(2, -2))  # as many pixels as the scale
        found = peak_signal_noise_ratio(truth[crop], result[crop], data_range=255)
        assert second.figures[row.key]["psnr"] == pytest.approx(found, abs=0.01)


@pytest.mark.network
def test_drift_fails_loudly_and_names_the_pictures(nights) -> None:
    _, first, second = nights
    first.raise_on_drift()
    assert len(second.drift) == 4
    with pytest.raises(DriftError, match=r"night-2 against night-1.*canary/clean\.png: psnr.*--accept"):
        second.raise_on_drift()


def test_without_an_output_it_says_what_to_set(settings: Settings) -> None:
    with pytest.raises(RequestError, match="ENHANCER_OUTPUT_URL"):
        check_reference(settings=settings)
