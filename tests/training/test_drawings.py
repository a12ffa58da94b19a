"""Drawings to learn from, and the training of the net that enlarges them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont
from safetensors.torch import load_file
from skimage.transform import downscale_local_mean

from enhancer.training import drawn_material
from enhancer.training.drawings import run
from enhancer.training.drawn_material import PAINTERS, SCALE, drawn_pair, fonts_in, letters_of
from enhancer.training.pictures import Bytes

PAINTED = [painter.__name__ for painter in PAINTERS]


@pytest.fixture(scope="module")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pillow's own font, as a file: a bare machine has no others."""
    path = tmp_path_factory.mktemp("fonts") / "Any.ttf"
    path.write_bytes(ImageFont.load_default(12).path.getvalue())  # type: ignore[union-attr]
    return fonts_in(path.parent)


@pytest.mark.parametrize("painter", PAINTED)
def test_the_small_one_is_the_mean_of_what_the_large_one_shows(
    painter: str, fonts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HINTED", "REDUCED", "COMPRESSED", "ALIASED"):
        monkeypatch.setattr(drawn_material, name, 0.0)
    monkeypatch.setattr(drawn_material, "ODDS", tuple(float(one == painter) for one in PAINTED))
    for seed in range(4):
        small, large = drawn_pair(np.random.default_rng(seed), fonts, 32)
        mean = downscale_local_mean(large.astype(float), (SCALE, SCALE, 1))
        assert np.abs(small - mean).max() <= 1  # both are rounded
        assert large.std() > 0 or painter != "text_page"


def test_text_that_is_fitted_to_the_pixels_stands_at_the_same_places(fonts: list[Path]) -> None:
    for seed in range(4):
        pair = drawn_material.fitted_text(np.random.default_rng(seed), fonts, 64, (0, 0, 0), (255, 255, 255))
        small, mean = pair[0].astype(float), downscale_local_mean(pair[1].astype(float), (SCALE, SCALE, 1))
        assert np.corrcoef(small.ravel(), mean.ravel())[0, 1] > 0.6
        assert not np.array_equal(small, np.rint(mean))


def test_what_the_web_does_to_drawings_is_among_them(fonts: list[Path]) -> None:
    def kind(pair: tuple[Bytes, Bytes]) -> bool:
        mean = downscale_local_mean(pair[1].astype(float), (SCALE, SCALE, 1))
        return bool(np.abs(pair[0] - mean).max() <= 1)

    alike = [kind(drawn_pair(np.random.default_rng(seed), fonts, 32)) for seed in range(40)]
    assert 0.3 < np.mean(alike) < 0.9


def test_the_same_seed_draws_the_same(fonts: list[Path]) -> None:
    one, same, other = (drawn_pair(np.random.default_rng(seed), fonts, 32) for seed in (5, 5, 6))
    assert all(np.array_equal(*both) for both in zip(one, same, strict=True))
    assert not np.array_equal(one[1], other[1])


def test_fonts_that_results_are_measured_on_are_left_out(fonts: list[Path], tmp_path: Path) -> None:
    for name in ("DejaVuSerif-Bold.ttf", "DejaVuSansMono-Oblique.ttf", "Kept.ttf"):
        (tmp_path / name).write_bytes(fonts[0].read_bytes())
    assert [path.name for path in fonts_in(tmp_path)] == ["Kept.ttf"]
    with pytest.raises(FileNotFoundError, match=r"no fonts .* --data"):
        fonts_in(tmp_path / "none")


def test_letters_are_those_that_the_font_has(fonts: list[Path]) -> None:
    assert letters_of(fonts[0]) == drawn_material.LATIN


def test_a_few_steps_give_weights_of_the_net(fonts: list[Path], tmp_path: Path) -> None:
    config = {
        "seed": 1,
        "drawings": 30,
        "reparameterise": False,
        "net": {"kind": "plain", "width": 8, "depth": 2, "scale": 4},
        "schedule": {"steps": 3, "batch": 2, "patch": 16, "validate_every": 3, "save_every": 3},
    }
    weights = load_file(run(config, [fonts[0].parent], tmp_path / "out"))
    assert weights["convolutions.0.weight"].shape == (8, 3, 3, 3)
    curve = (tmp_path / "out" / "curve.csv").read_text().splitlines()
    assert curve[0].split(",")[:4] == ["step", "minutes", "loss", "psnr"]
    again = load_file(run(config, [fonts[0].parent], tmp_path / "other"))
    assert all(np.array_equal(weights[name], again[name]) for name in weights)
