"""ImageEnhancer: contracts of its inputs and outputs, gates, batches of files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PillowImage
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from enhancer import Document, Image, ImageEnhancer, Metadata
from enhancer.codecs import Limits, decode
from enhancer.errors import PictureError, RequestError
from enhancer.identity import digest, identity_of
from enhancer.models.catalogue import load_catalogue
from enhancer.models.store import ensure
from enhancer.recipe import preset
from enhancer.settings import Settings
from tests.model_cache import MODEL_CACHE

ORDER = [
    "picture-kind", "size-limit", "lens-correction", "impulse-repair", "restoration", "jpeg-artifacts", "denoising",
    "scratches", "fading", "exposure", "colour-cast", "super-resolution", "artifact-guard", "colour-fix",
    "local-contrast", "tone", "sharpening",
]  # fmt: skip
"""DESIGN's order."""


def decision_on(enhanced, stage):
    return next(decision for decision in enhanced.decisions if decision.stage == stage)


@pytest.fixture(scope="module")
def enhancer(tmp_path_factory: pytest.TempPathFactory) -> ImageEnhancer:
    settings = Settings(home=tmp_path_factory.mktemp("home"), model_dir=MODEL_CACHE, device="cpu")
    return ImageEnhancer("photo", settings=settings)


def noisy(pixels, sigma=20):
    values = pixels + np.random.default_rng(1).normal(0, sigma, pixels.shape)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def as_dtype(pixels, dtype):
    if dtype == np.uint8:
        return pixels
    return pixels.astype(np.uint16) * 257 if dtype == np.uint16 else (pixels / 255).astype(np.float32)


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket", "camera", "coins", "moon", "page"])
def test_clean_pictures_come_out_byte_identical(enhancer, name):
    pixels = getattr(data, name)()
    result = enhancer.enhance(pixels, scale=1)
    assert result is pixels


def test_from_a_mildly_noisy_one_no_more_than_its_noise_is_taken(enhancer):
    truth = data.chelsea()[:256, :256]
    noise = np.random.default_rng(8).normal(0, 4, truth.shape)
    pixels = np.clip(np.rint(truth + noise), 0, 255).astype(np.uint8)
    enhanced = enhancer.enhance_document(Document((Image(pixels),)), preset("photo", scale=1))
    sigma = max(decision_on(enhanced, "denoising").numbers["sigma"])
    removed = enhanced.document.first.pixels.astype(float) - pixels
    assert 2.5 < sigma < 6
    assert removed.std() < 1.25 * sigma
    assert abs(removed.mean()) < 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("grey", [False, True])
def test_arrays_come_back_as_they_went_in(enhancer, dtype, grey):
    truth = data.camera()[100:228, 100:228] if grey else data.chelsea()[100:228, 100:228]
    given = as_dtype(noisy(truth), dtype)
    before = given.copy()
    result = enhancer.enhance(given, scale=1)
    assert (result.dtype, result.shape) == (given.dtype, given.shape)
    assert np.array_equal(given, before)
    wanted = as_dtype(truth, dtype)
    span = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[dtype]
    gain = peak_signal_noise_ratio(wanted, result, data_range=span) - peak_signal_noise_ratio(
        wanted, given, data_range=span
    )
    assert gain > 5


def test_the_default_enlarges_four_times(enhancer):
    given = np.ascontiguousarray(data.coffee()[200:224, 200:220])
    result = enhancer.enhance(given)
    assert result.shape == (96, 80, 3)
    assert enhancer.recipe == preset("photo")
    assert ImageEnhancer(settings=enhancer.settings).recipe.scale == 4


def test_alpha_keeps_its_dtype_and_no_fringe_comes_in(enhancer):
    pixels = np.zeros((32, 32, 3), np.uint8)  # black under transparency, as editors leave it
    alpha = np.zeros((32, 32), np.uint8)
    pixels[8:24, 8:24], alpha[8:24, 8:24] = (200, 120, 60), 255
    result = enhancer.enhance(Image(pixels, alpha, Metadata(format="PNG", mode="RGBA")), scale=2)
    assert result.alpha.shape == (64, 64)
    assert result.alpha.dtype == np.uint8
    assert result.metadata.format == "PNG"
    seen = result.pixels[result.alpha > 0].astype(int)
    assert np.abs(seen - (200, 120, 60)).max() <= 4


def test_constant_alpha_and_clean_pixels_at_scale_1_are_the_same_image(enhancer):
    pixels = data.coffee()
    image = Image(pixels, np.full(pixels.shape[:2], 128, np.uint8))
    assert enhancer.enhance(image, scale=1) is image


def test_impulses_then_noise_then_size_are_decided_in_order(enhancer):
    pixels = noisy(data.coffee()[:160, :160], 15)
    rng = np.random.default_rng(4)
    struck = pixels.copy()
    hit = rng.random((160, 160)) < 0.03
    struck[hit] = np.where(rng.random((160, 160)) < 0.5, 0, 255)[hit][:, None]
    enhanced = enhancer.enhance_document(Document((Image(struck),)), preset("archive", denoise_strength=0.5))
    assert [d.stage for d in enhanced.decisions] == ORDER
    assert [d.stage for d in enhanced.decisions if d.applied] == ["impulse-repair", "denoising"]
    # Impulses would have doubled the noise estimate had they not gone first.
    assert np.mean(decision_on(enhanced, "denoising").numbers["sigma"]) == pytest.approx(15, rel=0.2)
    assert enhanced.models == {"denoise": load_catalogue().get("denoise").sha256}
    assert list(enhanced.timings) == ORDER
    assert enhanced.processing == "impulse-repair, denoising (denoise)"
    assert all(seconds >= 0 for seconds in enhanced.timings.values())


def test_pages_are_judged_one_by_one(enhancer):
    clean = Image(np.ascontiguousarray(data.camera()[:128, :128, None]))
    document = Document((clean, Image(noisy(clean.pixels))))
    enhanced = enhancer.enhance_document(document, preset("low-light"))
    assert enhanced.document.pages[0] is clean
    assert enhanced.document.pages[1] is not document.pages[1]
    denoising = [(d.numbers["page"], d.applied) for d in enhanced.decisions if d.stage == "denoising"]
    assert denoising == [(1, False), (2, True)]
    assert enhanced.models.keys() == {"denoise"}


def test_where_nothing_is_done_the_document_itself_comes_back(enhancer):
    document = Document((Image(data.astronaut()),))
    enhanced = enhancer.enhance_document(document, preset("archive"))
    assert enhanced.document is document
    assert (enhanced.models, enhanced.processing) == ({}, None)


def test_a_result_that_is_too_large_is_refused_before_any_work(tmp_path):
    tight = ImageEnhancer(settings=Settings(home=tmp_path, max_output_pixels=10_000, offline=True))
    with pytest.raises(PictureError, match=r"scale to 2\.00 or less.*ENHANCER_MAX_OUTPUT_PIXELS") as caught:
        tight.enhance(np.zeros((50, 50), np.uint8))
    assert caught.value.reason == "output-too-large"
    assert tight.nets.loaded == ()


@pytest.mark.parametrize(
    ("config", "message"),
    [({"device": "tpu"}, "device"), ({"scale": 9}, "scale"), ("potho", "did you mean"), ({"dpi": 3}, "dpi")],
)
def test_bad_configurations_are_named(config, message):
    with pytest.raises(RequestError, match=message):
        ImageEnhancer(config)


def test_bad_arguments_are_named(enhancer):
    with pytest.raises(RequestError, match="scale"):
        enhancer.enhance(np.zeros((4, 4), np.uint8), scale=0.5)
    with pytest.raises(TypeError, match="float64"):
        enhancer.enhance(np.zeros((4, 4)))
    with pytest.raises(TypeError, match="NoneType"):
        enhancer.enhance(None)
    with pytest.raises(PictureError, match="nowhere"):
        enhancer.enhance("nowhere.png")


def test_machine_keys_work_and_are_no_part_of_the_recipe(enhancer):
    path = ensure(load_catalogue().get("ffdnet-color"), enhancer.settings)
    configured = ImageEnhancer({"name": "archive", "device": "cpu", "dn_path": str(path)}, settings=enhancer.settings)
    assert configured.recipe == preset("archive")
    weights = configured.weights_for()
    assert list(weights) == ["file:denoising"]
    assert configured.weights_for(preset("photo")).keys() == {"file:denoising", "fast-x4", "drawn-x4", "jpeg"}
    given = noisy(data.coffee()[:64, :64])
    by_name = preset("archive", denoise_model="ffdnet-color")
    expected = enhancer.enhance_document(Document((Image(given),)), by_name).document.first.pixels
    assert np.array_equal(configured.enhance(given), expected)


def png(pixels) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def inputs(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.png").write_bytes(png(noisy(data.coffee()[:96, :96])))
    PillowImage.fromarray(data.chelsea()[:64, :64]).save(folder / "sub" / "b.bmp")
    (folder / "cut.png").write_bytes(png(data.coffee()[:96, :96])[:2000])
    (folder / "notes.txt").write_text("no picture")
    return folder


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_enhanced_whatever_lies_in_it(enhancer, inputs, tmp_path):
    before = contents(inputs)
    restorer = ImageEnhancer("low-light", settings=enhancer.settings)
    records = {record.input: record for record in restorer.batch_enhance(inputs, tmp_path / "out")}
    assert {key: record.state for key, record in records.items()} == {
        "a.png": "published", "sub/b.bmp": "published", "cut.png": "quarantined", "notes.txt": "quarantined",
    }  # fmt: skip
    assert contents(inputs) == before
    assert set(contents(tmp_path / "out")) == {"a.png", "sub/b.bmp.png"}
    done = records["a.png"]
    assert (done.output, done.width, done.output_height) == ("a.png", 96, 96)
    assert done.identity == identity_of(digest(before["a.png"]), preset("low-light"))
    assert done.models.keys() == {"denoise"}
    assert {"read", "decode", "enhance", "encode", "write"} <= done.timings.keys()
    assert (records["cut.png"].error.error_class, records["cut.png"].error.stage) == ("truncated", "decode")
    assert records["notes.txt"].error.error_class == "not-a-picture"
    # The clean picture's pixels are what they were.
    page = decode((tmp_path / "out/sub/b.bmp.png").read_bytes(), name="b", limits=Limits(1 << 20, 1 << 20, 1)).first
    assert np.array_equal(page.pixels, data.chelsea()[:64, :64])


def test_results_replace_earlier_ones_but_never_an_input(enhancer, inputs):
    restorer = ImageEnhancer("archive", settings=enhancer.settings)
    with pytest.raises(RequestError, match="must not be the input folder"):
        restorer.batch_enhance(inputs, inputs / "sub" / "..")
    with pytest.raises(RequestError, match="not a folder"):
        restorer.batch_enhance(inputs / "a.png", inputs)
    before = contents(inputs)
    for _ in range(2):  # the output folder inside the input folder is passed over the second time
        records = restorer.batch_enhance(inputs, inputs / "done")
        assert sorted(record.input for record in records) == ["a.png", "cut.png", "notes.txt", "sub/b.bmp"]
    assert {key: data for key, data in contents(inputs).items() if not key.startswith("done/")} == before
    # sub/sub/x.png would be written to sub/x.png, which is an input
    (inputs / "sub/sub").mkdir()
    for place in ("sub/x.png", "sub/sub/x.png"):
        (inputs / place).write_bytes(png(data.coffee()[:32, :32]))
    before = (inputs / "sub/x.png").read_bytes()
    records = {record.input: record for record in restorer.batch_enhance(inputs / "sub", inputs)}
    assert records["sub/x.png"].error.error_class == "target-taken"
    assert (inputs / "sub/x.png").read_bytes() == before


def test_two_inputs_never_share_a_target(enhancer, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    PillowImage.fromarray(data.chelsea()[:32, :32]).save(folder / "a.bmp")
    (folder / "a.bmp.png").write_bytes(png(data.coffee()[:32, :32]))
    records = ImageEnhancer("archive", settings=enhancer.settings).batch_enhance(folder, tmp_path / "out")
    assert sorted(record.state for record in records) == ["published", "quarantined"]


def test_a_clean_jpeg_is_not_encoded_again(enhancer, tmp_path):
    buffer = io.BytesIO()
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    PillowImage.fromarray(data.astronaut()).save(buffer, "JPEG", quality=90, exif=exif)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(buffer.getvalue())
    keeper = ImageEnhancer(preset("photo", scale=1), settings=enhancer.settings)
    [record] = keeper.batch_enhance(folder, tmp_path / "out")
    assert record.state == "published"
    assert (tmp_path / "out" / "a.jpg").read_bytes() == buffer.getvalue()
    other = ImageEnhancer(preset("photo", scale=1, output={"format": "PNG"}), settings=enhancer.settings)
    [record] = other.batch_enhance(folder, tmp_path / "png")
    with PillowImage.open(tmp_path / "png" / "a.jpg.png") as converted:
        assert (converted.format, converted.size) == ("PNG", (512, 512))


def test_a_limited_picture_keeps_its_alpha_with_it(enhancer):
    pixels = np.ascontiguousarray(data.coffee()[:120, :160])
    alpha = np.zeros((120, 160), np.uint8)
    alpha[30:90, 40:120] = 255
    recipe = preset("archive", input={"max_side": 80})
    enhanced = enhancer.enhance_document(Document((Image(pixels, alpha),)), recipe)
    result = enhanced.document.first
    assert (result.pixels.shape, result.alpha.shape) == ((60, 80, 3), (60, 80))
    assert result.alpha[30, 40] == 255
    assert result.alpha[5, 5] == 0
    shown = np.asarray(PillowImage.fromarray(pixels).resize((80, 60), PillowImage.Resampling.LANCZOS)).astype(int)
    inside = np.s_[20:40, 26:54]
    assert np.abs(result.pixels[inside].astype(int) - shown[inside]).max() <= 1


def test_a_limit_makes_room_for_an_enlargement(tmp_path):
    tight = ImageEnhancer(
        preset("photo", scale=2, denoise_strength=0, input={"max_side": 50}),
        settings=Settings(home=tmp_path, model_dir=MODEL_CACHE, max_output_pixels=10_000, device="cpu"),
    )
    assert tight.enhance(np.ascontiguousarray(data.coffee()[:100, :100])).shape == (100, 100, 3)


def test_a_wide_gamut_picture_is_enhanced_in_the_working_space_and_comes_back_in_its_own(enhancer):
    from enhancer.codecs.profiles import profile_for

    pixels = np.ascontiguousarray(data.coffee()[:96, :96])
    image = Image(pixels, metadata=Metadata(format="PNG", icc=profile_for("adobe-rgb")))
    untouched = enhancer.enhance_document(Document((image,)), preset("archive"))
    assert untouched.document.first is image
    brightened = preset("archive", exposure={"ev": 1.0})
    result = enhancer.enhance_document(Document((image,)), brightened).document.first
    assert result.metadata.icc == image.metadata.icc
    plain = enhancer.enhance(Image(pixels), scale=1)  # the same numbers without a profile are other colours
    assert plain.metadata.icc is None
    # Adobe RGB's curve is close to a power of 2.2 (563/256): twice the light in it, where nothing reaches the shoulder.
    given = (pixels / 255.0) ** (563 / 256)
    dark = (given * 2).max(axis=2) < 0.7
    expected = 255 * (2 * given[dark]) ** (256 / 563)
    assert dark.mean() > 0.3
    assert np.percentile(np.abs(result.pixels[dark] - expected), 99) <= 3


def test_what_a_result_is_held_against_has_its_corrections_and_nothing_else(enhancer):
    from enhancer.stages.sequence import corrected

    truth = np.ascontiguousarray(data.coffee()[:128, :128])
    given = Document((Image(noisy(truth, 15)),))
    recipe = preset("archive", exposure={"ev": 0.8}, tone={"saturation": 1.2})
    enhanced = enhancer.enhance_document(given, recipe)
    assert decision_on(enhanced, "denoising").applied
    held = corrected(given.first, enhanced.decisions, recipe, enhancer.nets)
    without = preset("archive", denoise_strength=0, exposure={"ev": 0.8}, tone={"saturation": 1.2})
    expected = enhancer.enhance_document(given, without).document.first.pixels
    assert np.abs(held.pixels.astype(int) - expected).mean() < 1  # the brightest value, which noise had raised
    assert np.abs(held.pixels.astype(int) - given.first.pixels).mean() > 10
