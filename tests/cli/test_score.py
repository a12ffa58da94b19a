from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio


def noisy(pixels, sigma, seed=1):
    noise = np.random.default_rng(seed).normal(0, sigma, pixels.shape)
    return np.clip(pixels + noise, 0, 255).round().astype(np.uint8)


def test_a_pair_against_the_truth(run, tmp_path, crop):
    truth, made = crop(64), noisy(crop(64), 12)
    Image.fromarray(truth).save(tmp_path / "truth.png")
    Image.fromarray(made).save(tmp_path / "made.png")
    ran = run("score", tmp_path / "made.png", "--reference", tmp_path / "truth.png", "--crop", "4", "--json")
    assert ran.code == 0, ran.stderr
    scores = ran.reply.items[0].scores["reference"]
    inner = (slice(4, -4), slice(4, -4))
    assert scores["psnr"] == pytest.approx(peak_signal_noise_ratio(truth[inner], made[inner], data_range=255), abs=1e-3)
    expected = 0.4 * scores["psnr"] + 0.3 * scores["ssim"] + 0.3 * (1 - scores["lpips"])
    assert scores["composite"] == pytest.approx(expected)
    assert 0 < scores["lpips"] < 1
    assert scores["protocol"]["crop"] == 4
    assert scores["protocol"]["lpips"]["net"] == "alex"


def test_folders_by_relative_name_with_input_and_truth(run, tmp_path, crop):
    for name in ("truth/s/a.png", "in/s/a.bmp", "in/s/b.png", "truth/s/b.png", "out/s/a.bmp.png", "out/s/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    reduced = Image.fromarray(crop(64)).resize((32, 32), Image.Resampling.BICUBIC)
    enlarged = reduced.resize((64, 64), Image.Resampling.BICUBIC)
    reduced.save(tmp_path / "in/s/a.bmp")
    enlarged.save(tmp_path / "out/s/a.bmp.png")
    Image.fromarray(crop(64)).save(tmp_path / "truth/s/a.bmp", format="PNG")
    for folder in ("in", "out"):
        Image.fromarray(crop(48)).save(tmp_path / folder / "s/b.png")
    Image.fromarray(crop(40)).save(tmp_path / "truth/s/b.png")
    given = ("--input", tmp_path / "in", "--reference", tmp_path / "truth")
    ran = run("score", tmp_path / "out", *given, "--json")
    assert ran.code == 3  # b's truth has another size
    first, second = ran.reply.items
    assert set(first.scores) == {"reference", "baseline", "fidelity"}
    assert first.scores["reference"]["protocol"]["crop"] == 2
    # The result is itself the bicubic enlargement, which is what the baseline is.
    assert first.scores["reference"]["psnr"] == pytest.approx(first.scores["baseline"]["psnr"], abs=0.1)
    assert first.scores["fidelity"]["artifact_score"] is not None
    assert second.error.error_class == "reference-mismatch"
    assert ran.reply.summary["means"]["reference"]["psnr"] == first.scores["reference"]["psnr"]
    people = run("score", tmp_path / "out", *given)
    assert people.code == 3
    assert "LPIPS alex v0.1" in people.stdout
    assert "1 failed:" in people.stdout


def test_a_file_and_a_folder_are_no_pair(run, tmp_path, crop):
    Image.fromarray(crop(16)).save(tmp_path / "a.png")
    assert run("score", tmp_path / "a.png", "--input", tmp_path).code == 1
    assert run("score", tmp_path / "a.png", "--input", tmp_path / "none.png").code == 1
    assert run("score", tmp_path / "none.png", "--input", tmp_path / "a.png").code == 1
