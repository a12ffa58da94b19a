"""Colours that a file states without an ICC profile are followed (docs/formats.md): the result looks as it should."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageCms
from typer.testing import CliRunner

from enhancer.codecs import Limits, decode
from tests.cases.conftest import Enhance
from tests.cases.making import (
    HEIGHT,
    PRIMARIES,
    WIDTH,
    chrm,
    chunk,
    gama,
    into,
    jpeg,
    light,
    png,
    pq_curve,
    samples,
    short,
    srgb_curve,
    tiff,
    truth,
)
from tests.cases.reading import chunks, looks_like

LIMITS = Limits(max_bytes=1 << 24, max_pixels=1 << 24, max_pages=3)
SRGB_PNG = {"output": {"colour_space": "srgb", "format": "PNG"}}
NCLX = {"level": 95, "pixelformat": "yuv444", "matrix": 1}


def p3() -> np.ndarray:
    return srgb_curve(into("p3", light()))


def adobe() -> np.ndarray:
    return samples(into("adobe", light()) ** (256 / 563))


def adobe_by_exif(index: str = "R03", space: int = 0xFFFF) -> bytes:
    exif = PillowImage.Exif()
    exif.get_ifd(0x8769).update({0xA001: space, 0xA005: {1: index, 2: b"0100"}})
    return jpeg(PillowImage.fromarray(adobe()), exif=exif)


def p3_avif(bits: int = 8, transfer: int = 13, curve: np.ndarray | None = None) -> bytes:
    depth = {"bitspersample": bits} if bits > 8 else {}
    coded = samples(p3() if curve is None else curve, bits)
    return bytes(imagecodecs.avif_encode(coded, primaries=12, transfer=transfer, **NCLX, **depth))


def p3_heic() -> bytes:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    stream = io.BytesIO()
    codes = {"color_primaries": 12, "transfer_characteristics": 13, "matrix_coefficients": 6, "full_range_flag": 1}
    image = PillowImage.fromarray(samples(p3()))
    image.save(stream, "HEIF", quality=95, chroma=444, save_nclx_profile=True, **codes)
    return stream.getvalue()


def p3_profiled() -> bytes:
    points = [v for x, y in np.reshape(PRIMARIES["p3"], (3, 2)) for v in (x, y, 1.0)]
    profile = imagecodecs.cms_profile("rgb", whitepoint=(0.3127, 0.3290, 1.0), primaries=points, gamma=2.2)
    stream = io.BytesIO()
    PillowImage.fromarray(samples(into("p3", light()) ** (1 / 2.2))).save(stream, "PNG", icc_profile=profile)
    return stream.getvalue()


def ycbcr_tiff(compression: int, across: int = 1, down: int = 1, rows: int = HEIGHT) -> bytes:
    """YCbCr in strips of `rows`, colour at 1 / `across` and 1 / `down` of the resolution (TIFF 6.0, section 21)."""
    pixels = np.asarray(truth().convert("YCbCr"))
    pack = {1: bytes, 5: imagecodecs.lzw_encode, 8: zlib.compress}[compression]
    strips = []
    for top in range(0, HEIGHT, rows):
        part = pixels[top : top + rows]
        high = -(-part.shape[0] // down) * down
        part = np.pad(part, ((0, high - part.shape[0]), (0, -WIDTH % across), (0, 0)), mode="edge")
        body = b""
        for y in range(0, part.shape[0], down):
            for x in range(0, part.shape[1], across):
                unit = part[y : y + down, x : x + across]
                body += unit[..., 0].tobytes() + bytes(np.rint(unit[..., 1:].mean((0, 1))).astype(np.uint8))
        strips.append(bytes(pack(body)))
    reference = struct.pack("<12I", 0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)
    fields = [
        (256, 4, 1, struct.pack("<I", WIDTH)), (257, 4, 1, struct.pack("<I", HEIGHT)), (258, 3, 3, short(8) * 3),
        (259, 3, 1, short(compression)), (262, 3, 1, short(6)), (277, 3, 1, short(3)),
        (278, 4, 1, struct.pack("<I", rows)), (284, 3, 1, short(1)), (530, 3, 2, short(across) + short(down)),
        (532, 5, 6, reference),
    ]  # fmt: skip
    return tiff(fields, strips)


def tagged_tiff() -> bytes:
    """Adobe RGB by tags 301 (transfer function), 318 (white point) and 319 (primaries)."""
    table = np.rint(65535 * (np.arange(256) / 255) ** (563 / 256)).astype("<u2").tobytes()
    rational = lambda values: b"".join(struct.pack("<II", round(v * 10000), 10000) for v in values)  # noqa: E731
    fields = [
        (256, 4, 1, struct.pack("<I", WIDTH)), (257, 4, 1, struct.pack("<I", HEIGHT)), (258, 3, 3, short(8) * 3),
        (259, 3, 1, short(1)), (262, 3, 1, short(2)), (277, 3, 1, short(3)), (278, 4, 1, struct.pack("<I", HEIGHT)),
        (301, 3, 768, table * 3), (318, 5, 2, rational((0.3127, 0.3290))), (319, 5, 6, rational(PRIMARIES["adobe"])),
    ]  # fmt: skip
    return tiff(fields, [adobe().tobytes()])


STATED = {
    "linear.png": lambda: png(samples(light(), 16), gama(100_000)),
    "gamma.png": lambda: png(samples(light() ** (1 / 1.8)), gama(55_556)),
    "chrm.png": lambda: png(adobe(), gama(45_470), chrm("adobe")),
    "cicp.png": lambda: png(samples(p3()), chunk(b"cICP", bytes([12, 13, 0, 1]))),
    "cicp-before-iccp.png": lambda: png(
        samples(p3()), chunk(b"cICP", bytes([12, 13, 0, 1])), chunk(b"iCCP", b"x\0\0" + zlib.compress(srgb()))
    ),
    "srgb-before-gamma.png": lambda: png(np.asarray(truth()), chunk(b"sRGB", b"\0"), gama(100_000)),
    "narrow.png": lambda: png(
        np.rint(16 + p3() * 219).astype(np.uint8), chunk(b"cICP", bytes([12, 13, 0, 0]))
    ),
    "bt2020.png": lambda: png(samples(srgb_curve(into("bt2020", light())), 16), chunk(b"cICP", bytes([9, 13, 0, 1]))),
    "power.png": lambda: png(samples(light() ** (1 / 2.8), 16), chunk(b"cICP", bytes([1, 5, 0, 1]))),
    "p3.avif": p3_avif,
    "p3-10bit.avif": lambda: p3_avif(10),
    "p3-power-10bit.avif": lambda: p3_avif(10, 4, into("p3", light()) ** (1 / 2.2)),
    "p3.heic": p3_heic,
    "r03.jpg": adobe_by_exif,
    "space-2.jpg": lambda: adobe_by_exif("R98", 2),
    "profile.png": p3_profiled,
    "tags.tif": tagged_tiff,
}  # fmt: skip


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("name", STATED)
def test_stated_colours_survive_enlargement(enhance: Enhance, name: str) -> None:
    made = enhance(STATED[name](), name)
    assert made.record.state == "published"
    looks_like(made.data, truth())


@pytest.mark.parametrize("name", STATED)
def test_stated_colours_are_converted_on_request(enhance: Enhance, name: str) -> None:
    made = enhance(STATED[name](), name, scale=1, **SRGB_PNG)
    looks_like(made.data, truth())


@pytest.mark.parametrize(("across", "down", "rows"), [(1, 1, HEIGHT), (2, 1, HEIGHT), (2, 2, 10), (4, 2, 16)])
def test_ycbcr_of_a_tiff_is_read_as_libtiff_reads_it(across: int, down: int, rows: int) -> None:
    expected = np.asarray(PillowImage.open(io.BytesIO(ycbcr_tiff(5, across, down, rows))).convert("RGB"))
    for compression in (1, 5, 8):
        page = decode(ycbcr_tiff(compression, across, down, rows), name="a", limits=LIMITS).first
        assert np.abs(page.pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("compression", [1, 5])
def test_a_ycbcr_tiff_becomes_an_rgb_one(enhance: Enhance, compression: int) -> None:
    looks_like(enhance(ycbcr_tiff(compression), "a.tif").data, truth())


@pytest.mark.parametrize("curve", ["pq", "hlg"])
def test_hdr_is_refused_with_a_word_or_tone_mapped_on_request(enhance: Enhance, curve: str) -> None:
    wide = into("bt2020", light())
    if curve == "pq":
        coded, transfer = pq_curve(wide), 16
    else:  # scene light of a display of 1000 cd/m2 whose white is 203, by BT.2100
        shown = wide * 0.203
        luminance = np.maximum(shown @ [0.2627, 0.6780, 0.0593], 1e-6)[..., None]
        scene = shown * luminance ** (1 / 1.2 - 1)
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        coded = np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)
        transfer = 18
    data = bytes(imagecodecs.avif_encode(
        samples(coded, 10), primaries=9, transfer=transfer, **{**NCLX, "matrix": 9}, bitspersample=10
    ))  # fmt: skip
    refused = enhance(data, "a.avif")
    assert refused.record.error is not None
    assert refused.record.error.error_class == "unsupported"
    assert curve.upper() in refused.record.error.message
    mapped = enhance(data, "a.avif", input={"hdr": "tone-map"})
    assert mapped.warned_of("tone-mapped")
    small = PillowImage.open(io.BytesIO(mapped.data)) if mapped.data[:4] == b"\x89PNG" else None
    assert small is None or small.mode == "RGB"
    looks_like_but_for_highlights(mapped.data)


def looks_like_but_for_highlights(data: bytes) -> None:
    """What is below diffuse white keeps its look; only the brightest parts are rolled off."""
    from tests.cases.reading import reduced, seen

    right = np.asarray(truth()) / 255
    small = reduced(seen(data), WIDTH, HEIGHT)
    below = linear_max(right) < 0.6
    assert below.mean() > 0.5
    assert np.abs(small - right)[below].mean() * 255 <= 3


def linear_max(codes: np.ndarray) -> np.ndarray:
    from tests.cases.making import linear

    return linear(codes).max(axis=2)


def test_a_grey_picture_gets_no_rgb_profile(enhance: Enhance) -> None:
    data = png(np.asarray(truth().convert("L")), chunk(b"iCCP", b"x\0\0" + zlib.compress(srgb())))
    made = enhance(data, "a.png")
    kinds = dict(chunks(made.data))
    assert kinds[b"IHDR"][9] == 0
    assert b"iCCP" not in kinds
    assert made.warned_of("profile")


def test_exif_says_srgb_once_the_picture_is(enhance: Enhance) -> None:
    made = enhance(adobe_by_exif(), "a.jpg", scale=1, output={"colour_space": "srgb"})
    exif = PillowImage.open(io.BytesIO(made.data)).getexif()
    assert exif.get_ifd(0x8769)[0xA001] == 1
    assert exif.get_ifd(0xA005)[1].startswith("R98")


def test_two_encodings_of_one_look_score_as_equal(tmp_path: Path) -> None:
    from enhancer.cli.app import app

    (tmp_path / "p3.png").write_bytes(p3_profiled())
    truth().save(tmp_path / "truth.png")
    ran = CliRunner().invoke(
        app, ["score", str(tmp_path / "p3.png"), "--reference", str(tmp_path / "truth.png"), "--json"]
    )
    scores = json.loads(ran.stdout)["items"][0]["scores"]
    assert scores["reference"]["psnr"] >= 38
