from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from skimage.util import random_noise


@pytest.fixture
def look(run, tmp_path):
    """Inspect without any weights: measuring needs none."""

    def call(*arguments):
        return run("inspect", *arguments, "--json", ENHANCER_OFFLINE="1", ENHANCER_MODEL_DIR=str(tmp_path / "none"))

    return call


def test_a_jpeg_and_what_it_says_of_itself(look, tmp_path, crop):
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Maker", "Model 1", 6
    exif.get_ifd(0x8769)[0x829D] = 2.8
    exif.get_ifd(0x8825)[1] = "N"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / "a photo.jpg"
    Image.fromarray(crop(64)[:48]).save(path, quality=85, exif=exif, icc_profile=icc, dpi=(300, 300))
    reply = look(path).reply
    assert reply.ok
    (item,) = reply.items
    facts = item.facts
    assert (item.width, item.height) == (48, 64)  # upright: orientation 6 turns it
    assert (facts["format"], facts["mode"], facts["bit_depth"], facts["pages"]) == ("JPEG", "RGB", 8, 1)
    assert facts["bytes"] == path.stat().st_size
    assert facts["orientation"] == 6
    assert facts["dpi"] == [300, 300]
    assert facts["jpeg_quality"] == 85
    assert "sRGB" in facts["icc"]
    assert facts["exif"] == {"make": "Maker", "model": "Model 1", "f_number": 2.8, "gps": True}


def test_depth_and_pages(look, tmp_path, crop):
    deep = (crop(32)[..., 0].astype(np.uint16) << 8) | 7
    Image.fromarray(deep).save(tmp_path / "deep.png")
    tifffile.imwrite(tmp_path / "pages.tif", np.stack([crop(32)] * 3), photometric="rgb")
    pages, png = sorted(
        look(tmp_path / "deep.png", tmp_path / "pages.tif").reply.items, key=lambda i: -i.facts["pages"]
    )
    assert (pages.facts["format"], pages.facts["pages"], pages.facts["bit_depth"]) == ("TIFF", 3, 8)
    assert (png.facts["bit_depth"], png.facts["pages"]) == (16, 1)


def test_decisions_say_what_and_why_and_touch_nothing(look, tmp_path):
    import skimage.data

    clean = skimage.data.astronaut()[:160, :160]
    noisy = random_noise(clean, var=(25 / 255) ** 2, rng=1)
    Image.fromarray((noisy * 255).round().astype(np.uint8)).save(tmp_path / "noisy.png")
    Image.fromarray(clean).save(tmp_path / "clean.png")
    before = sorted(tmp_path.iterdir())
    reply = look(tmp_path / "noisy.png", tmp_path / "clean.png", "--recipe", "scan").reply
    noisy, clean = ({d.stage: d for d in item.decisions} for item in reply.items)
    assert reply.summary["recipe"]["name"] == "scan"
    assert noisy["denoising"].applied
    assert noisy["denoising"].numbers["model"] == "denoise"
    assert np.mean(reply.items[0].facts["noise"]) == pytest.approx(25, abs=4)
    assert not clean["denoising"].applied
    assert clean["super-resolution"].numbers["model"] == "fast-x2"
    assert sorted(tmp_path.iterdir()) == before


def test_a_bad_file_among_good_ones(look, run, pictures):
    ran = look(pictures)
    assert ran.code == 3
    assert [item.error.error_class for item in ran.reply.items if item.error] == ["truncated"]
    people = run("inspect", pictures)
    assert people.code == 3
    assert "super-resolution" in people.stdout
    assert "[truncated, decode]" in people.stdout


def test_two_files_of_one_name_are_both_inspected(look, pictures, tmp_path):
    (tmp_path / "small.png").write_bytes((pictures / "small.png").read_bytes())
    assert len(look(pictures / "small.png", tmp_path / "small.png").reply.items) == 2


def test_measurements_and_what_auto_would_do(look, tmp_path):
    import skimage.data
    from skimage.filters import gaussian

    clean = skimage.data.astronaut()[:256, :256]
    linear = ((clean / 255 + 0.055) / 1.055) ** 2.4
    Image.fromarray(np.uint8(gaussian(clean / 255, 2, channel_axis=2) * 255)).save(tmp_path / "soft.png")
    dark = 1.055 * np.clip(linear / 8, 0.0031308, 1) ** (1 / 2.4) - 0.055
    Image.fromarray(np.uint8(dark * 255)).save(tmp_path / "dark.png")
    Image.fromarray(clean).save(tmp_path / "clean.png")
    ran = look(*(tmp_path / name for name in ("soft.png", "dark.png", "clean.png")), "--recipe", "archive")
    soft, dark, clean = (item.facts for item in ran.reply.items)
    automatic = [{d["stage"]: d for d in facts["auto"]} for facts in (soft, dark, clean)]
    assert soft["sharpness"]["blur"] > 1.3 > clean["sharpness"]["blur"]
    assert [found["sharpening"]["applied"] for found in automatic] == [True, False, False]
    # An eighth of the light is three stops.
    stops = np.log2(clean["range"]["luminance_percentiles"]["50"] / dark["range"]["luminance_percentiles"]["50"])
    assert stops == pytest.approx(3, abs=0.3)
    assert all(not decision.applied for item in ran.reply.items for decision in item.decisions)


def test_settings_change_what_is_decided(look, run, tmp_path, crop):
    Image.fromarray(crop(64)).save(tmp_path / "a.png")
    (item,) = look(tmp_path / "a.png", "--set", "tone.gamma=1.5", "--set", "scale=2").reply.items
    decisions = {decision.stage: decision for decision in item.decisions}
    assert decisions["tone"].applied
    assert decisions["super-resolution"].numbers["scale"] == 2
    people = run("inspect", tmp_path / "a.png", "--recipe", "archive").stdout
    assert "sharpness" in people
    assert "sharpening auto" in people
