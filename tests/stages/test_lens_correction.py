"""Lens correction against lensfun's own model on rendered grids, and against the vignetting formula by hand."""

from __future__ import annotations

from dataclasses import replace

import lensfunpy
import numpy as np
import pytest
from lensfunpy import ModifyFlags
from PIL import Image as PillowImage
from scipy.ndimage import map_coordinates

from enhancer.image import Metadata
from enhancer.stages.exif_camera import Shot, read_shot
from enhancer.stages.lens_correction import LensCorrection, correct_geometry, find

STAGE = LensCorrection()
HEIGHT, WIDTH = 400, 600
CANON = ("Canon", "Canon EOS 5D Mark III", "EF24-105mm f/4L IS USM")


def exif_block(make="Canon", model="Canon EOS 5D Mark III", lens=CANON[2], focal=24.0, aperture=4.0):
    exif = PillowImage.Exif()
    exif[0x010F], exif[0x0110] = make, model
    ifd = exif.get_ifd(0x8769)
    for tag, value in ((0x829D, aperture), (0x920A, focal), (0xA434, lens)):
        if value is not None:
            ifd[tag] = value
    return exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.fixture
def taken(context):
    """Gives a context for a picture with this EXIF; lens correction is on unless said otherwise."""

    def make(exif=None, *, xmp=None, **lens):
        return replace(context(lens={"mode": "auto", **lens}), metadata=Metadata(exif=exif, xmp=xmp))

    return make


def modifier(camera, lens, focal, flags, *, reverse=False, scale=1.0):
    made = lensfunpy.Modifier(lens, camera.crop_factor, WIDTH, HEIGHT)
    made.initialize(focal, 4.0, 1000.0, scale=scale, pixel_format=np.float32, flags=flags, reverse=reverse)
    return made


def lines(positions, spacing=50):
    """Bright lines every `spacing` pixels, 2 pixels wide by their standard deviation."""
    return np.exp(-(((positions + spacing / 2) % spacing - spacing / 2) ** 2) / 8).astype(np.float32)


def line_errors(values, positions, spacing=50):
    """Along each row: how far the centroid of each line is from where `positions` passes a multiple of `spacing`."""
    errors = []
    for row, position in zip(values[8:-8:7], positions[8:-8:7], strict=True):
        for line in range(spacing, int(position.max()), spacing):
            expected = float(np.interp(line, position, np.arange(position.size)))
            if not 12 < expected < position.size - 12:
                continue
            window = np.arange(round(expected) - 9, round(expected) + 10)
            errors.append(abs(np.average(window, weights=row[window]) - expected))
    assert len(errors) > 200
    return np.array(errors)


@pytest.mark.parametrize(
    ("shot", "moved"),
    [
        (Shot(*CANON, 24.0, 4.0), 4),  # ptlens, barrel
        (Shot(*CANON, 105.0, 4.0), 1),  # ptlens, pincushion
        (Shot("SONY", "NEX-3N", "E 16-50mm F3.5-5.6 OSS PZ", 16.0, 4.0), 8),
        (Shot("Canon", "Canon PowerShot SD300", "", 5.8, 2.8), 3),  # a lens that does not come off
    ],
)
def test_grid_lines_come_out_within_half_a_pixel_of_lensfuns_model(shot, moved):
    match = find(shot, HEIGHT, WIDTH)
    distort = modifier(match.camera, match.lens, shot.focal_length, ModifyFlags.DISTORTION, reverse=True)
    scene = distort.apply_geometry_distortion()  # where in the scene each pixel of the photograph looks
    undistort = modifier(
        match.camera, match.lens, shot.focal_length, ModifyFlags.DISTORTION | ModifyFlags.SCALE, scale=0.0
    ).apply_geometry_distortion()  # where in the photograph each corrected pixel looks
    grid = np.indices((HEIGHT, WIDTH))[::-1].astype(np.float64)
    centre = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    off_axis = grid - centre[:, None, None]
    for axis in (0, 1):
        photograph = lines(scene[..., axis])
        corrected = correct_geometry(photograph[..., None], match, chromatic_aberration=False)[..., 0]
        # lensfun chose the enlargement: take it from its coordinates, through the scene, by least squares
        seen = map_coordinates(scene[..., axis], [undistort[..., 1], undistort[..., 0]], order=1) - centre[axis]
        inner = np.s_[40:-40, 40:-40]
        zoom = (seen[inner] * off_axis[axis][inner]).sum() / (off_axis[axis][inner] ** 2).sum()
        expected = centre[axis] + zoom * off_axis[axis]
        straight = (corrected, expected) if axis == 0 else (corrected.T, expected.T)
        assert line_errors(*straight).max() < 0.5
        uncorrected = (photograph, grid[0]) if axis == 0 else (photograph.T, grid[1].T)
        assert np.abs(scene[..., axis] - grid[axis]).max() > moved * (1, HEIGHT / WIDTH)[axis] - 0.5
        assert line_errors(*uncorrected).max() > 0.5


def test_red_and_blue_fall_on_green_again():
    shot = Shot(*CANON, 24.0, 4.0)
    match = find(shot, HEIGHT, WIDTH)
    scene = modifier(match.camera, match.lens, 24.0, ModifyFlags.TCA, reverse=True).apply_subpixel_distortion()
    photograph = np.stack([lines(scene[:, :, channel, 0]) for channel in range(3)], axis=2)
    corrected = correct_geometry(photograph, match, distortion=False)
    positions = np.tile(np.arange(WIDTH, dtype=np.float64), (HEIGHT, 1))
    assert line_errors(photograph[..., 0], positions).max() > 0.2
    for channel in range(3):
        assert line_errors(corrected[..., channel], positions).max() < 0.05


@pytest.mark.parametrize("channels", [1, 3])
def test_vignetting_is_taken_off_by_the_formula(taken, channels):
    context = taken(exif_block(), distortion=False, chromatic_aberration=False)
    camera = lensfunpy.Database(load_common=False).find_cameras(*CANON[:2])[0]
    lens = next(
        lens
        for lens in lensfunpy.Database(load_common=False).find_lenses(camera, None, CANON[2])
        if lens.model == "Canon EF 24-105mm f/4L IS USM"
    )
    k1, k2, k3 = lens.interpolate_vignetting(24.0, 4.0, 1000.0).terms
    y, x = np.indices((HEIGHT, WIDTH))
    r2 = ((x - (WIDTH - 1) / 2) ** 2 + (y - (HEIGHT - 1) / 2) ** 2) / (((WIDTH - 1) ** 2 + (HEIGHT - 1) ** 2) / 4)
    fall_off = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    assert fall_off.min() < 0.2
    light = np.repeat((0.4 * fall_off)[..., None], channels, axis=2)
    photograph = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)
    decision = STAGE.measure(photograph, context)
    assert decision.numbers["corrections"] == ["vignetting"]
    corrected = STAGE.apply(photograph, decision, context)
    assert corrected.shape == photograph.shape
    assert np.abs(corrected - (1.055 * 0.4 ** (1 / 2.4) - 0.055)).max() < 0.004


def test_a_known_picture_is_corrected_in_every_way(photo, taken):
    picture = photo("coffee")[:400, :510]
    picture = np.pad(picture, ((0, 0), (0, 90), (0, 0)), mode="reflect")
    context = taken(exif_block())
    decision = STAGE.measure(picture, context)
    assert decision.applied
    assert decision.numbers == {
        "camera": "Canon Canon EOS 5D Mark III",
        "lens": "Canon EF 24-105mm f/4L IS USM",
        "focal_length": 24.0,
        "aperture": 4.0,
        "distance": 1000.0,
        "corrections": ["vignetting", "distortion", "chromatic-aberration"],
    }
    corrected = STAGE.apply(picture, decision, context)
    assert corrected.shape == picture.shape
    assert corrected.dtype == np.float32
    assert 0 <= corrected.min() < corrected.max() <= 1


PICTURE = np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)


@pytest.mark.parametrize(
    ("exif", "reason"),
    [
        (None, "EXIF names no camera"),
        (b"", "EXIF names no camera"),
        (b"II*\0\x08\0\0\0", "EXIF names no camera"),
        (exif_block(make="Nobody", model="X1"), "camera 'Nobody X1' is not in"),
        (exif_block(model="Canon EOS"), "camera 'Canon Canon EOS' is not in"),
        (exif_block(lens="Unheard-of 12mm"), "lens 'Unheard-of 12mm' is not in"),
        (exif_block(lens="24-105mm"), "lens '24-105mm' is not in"),
        (exif_block(lens="EF"), "lens 'EF' is not in"),
        (exif_block(lens=None), "EXIF names no lens"),
        (exif_block(focal=None), "no focal length"),
        (exif_block(focal=0.0), "no focal length"),
        (exif_block(focal=200.0), "has no focal length of 200 mm"),
        (exif_block("NIKON", "COOLPIX P6000", None, 6.0), "is not in the lens database"),
    ],
)
def test_what_is_not_known_is_left_alone_and_said(taken, exif, reason):
    decision = STAGE.measure(PICTURE, taken(exif))
    assert not decision.applied
    assert reason in decision.reason


def test_a_crop_is_left_alone(taken):
    decision = STAGE.measure(PICTURE[:, :500], taken(exif_block()))
    assert not decision.applied
    assert "500 x 400" in decision.reason
    assert STAGE.measure(PICTURE.transpose(1, 0, 2), taken(exif_block())).applied


def test_a_camera_with_several_sensor_crops_takes_the_one_that_fits():
    wide = find(Shot("Panasonic", "DMC-LX3", "", 6.0, 2.8), 900, 1600)
    assert wide.camera.variant == "16:9"
    assert isinstance(find(Shot("SONY", "NEX-3N", "E PZ 16-50mm F3.5-5.6 OSS", 28.0, 8.0), 900, 1600), str)


def test_the_right_name_goes_before_a_calibration_on_the_same_sensor():
    match = find(Shot("Canon", "Canon EOS 40D", "EF24-105mm f/4L IS USM", 24.0, 4.0), HEIGHT, WIDTH)
    assert match.lens.model == "Canon EF 24-105mm f/4L IS USM"


@pytest.mark.parametrize(
    "xmp", [b'<x crs:LensProfileEnable="1"/>', b"<crs:LensProfileEnable>1<", b'enhancer:Processing="lens-correction"']
)
def test_nothing_is_corrected_twice(taken, xmp):
    assert not STAGE.measure(PICTURE, taken(exif_block(), xmp=xmp)).applied
    assert STAGE.measure(PICTURE, taken(exif_block(), xmp=b'<x crs:LensProfileEnable="0"/>')).applied


def test_the_recipe_and_transparency_turn_it_off(taken, context):
    off = replace(context(), metadata=Metadata(exif=exif_block()))
    assert not STAGE.measure(PICTURE, off).applied
    see_through = taken(exif_block())
    see_through.visible = np.ones((HEIGHT, WIDTH), bool)
    assert not STAGE.measure(PICTURE, see_through).applied
    assert not STAGE.measure(
        PICTURE, taken(exif_block(), distortion=False, vignetting=False, chromatic_aberration=False)
    ).applied


def test_real_cameras_are_read(shared_data):
    path = shared_data / "exif" / "jpg__gps__DSCN0012.jpg"
    exif = PillowImage.open(path).info["exif"].removeprefix(b"Exif\0\0")
    assert read_shot(exif) == Shot("NIKON", "COOLPIX P6000", "", 6.0, 4.5, None)
    broken = PillowImage.open(shared_data / "exif" / "jpg__exif-org__kodak-dc210.jpg").info["exif"]
    assert read_shot(broken.removeprefix(b"Exif\0\0")).distance is None  # a division by 0


def test_without_an_aperture_the_vignetting_stays(taken):
    decision = STAGE.measure(PICTURE, taken(exif_block(aperture=None)))
    assert decision.numbers["corrections"] == ["distortion", "chromatic-aberration"]
    grey = STAGE.measure(PICTURE[..., :1], taken(exif_block(aperture=None)))
    assert grey.numbers["corrections"] == ["distortion"]
