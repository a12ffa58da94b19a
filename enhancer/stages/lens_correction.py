"""Lens correction: vignetting, distortion and lateral chromatic aberration, from lensfun's database.

Models (lensfun, "Corrections"): vignetting after Hugin, ``C_d = C_s (1 + k1 r^2 + k2 r^4 + k3 r^6)``, divided out in
linear light; distortion by the polynomial models ``ptlens``, ``poly3`` and ``poly5``; chromatic aberration as a radial
scale of red and blue against green, a polynomial too. Vignetting comes first, where the lens put it; then one Lanczos
interpolation per channel does both displacements and enlarges as little as brings no empty border into the picture.

A wrong correction is worse than none, so each doubt leaves the picture alone and is given as the reason: camera or lens
are not in the database, the names fit several lenses, the focal length is not the lens's, the sides are not those of
the whole sensor (it was cropped, and the optical axis is anywhere), or its XMP says that it has been done.

Cameras that correct their own JPEGs, as most compacts and mirrorless ones do, do not say so in EXIF. Hence the stage is
off unless a recipe asks for it: it is meant for pictures developed from raw files without correction, and for SLRs.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any, Final

import cv2
import lensfunpy
import numpy as np
from lensfunpy import ModifyFlags
from numpy.typing import NDArray

from enhancer.image import FloatPixels
from enhancer.options import LensCorrectionOptions
from enhancer.stages.base import WHOLE_PICTURE, Context, Decision, Stage
from enhancer.stages.exif_camera import Shot, read_shot
from enhancer.stages.light import from_linear, to_linear

FAR: Final = 1000.0
"""Distance in m where EXIF says none: lensfun's own value for "far"."""
SENSOR_ASPECTS: Final = (3 / 2, 4 / 3)
ASPECT_TOLERANCE: Final = 0.01
FOCAL_TOLERANCE: Final = 0.02
LANCZOS_RADIUS: Final = 4
BAND: Final = 256
"""Rows that are interpolated at a time; their coordinates take 24 bytes a pixel."""
LARGEST_SIDE: Final = 32_000
"""cv2.remap's coordinates are 16-bit."""
ALREADY_DONE: Final = re.compile(rb"LensProfileEnable\s*(=\s*[\"']|>)\s*1|lens-correction")
"""Adobe's ``crs:LensProfileEnable="1"``, or our own note of processing."""


@dataclass(frozen=True, slots=True)
class Match:
    """What of the database fits a picture."""

    camera: lensfunpy.Camera
    lens: lensfunpy.Lens
    focal_length: float
    aperture: float | None
    distance: float


class LensCorrection(Stage):
    """Undoes what the lens did, where EXIF and lensfun's database leave no doubt about it."""

    name = "lens-correction"
    options = LensCorrectionOptions
    off = "the recipe has lens correction off"
    corrects = True

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Look up camera and lens.

        Args:
            pixels: H x W x C; only its shape matters.
            context: its recipe and the picture's EXIF and XMP.

        Returns:
            A decision whose numbers are ``camera``, ``lens``, ``focal_length`` (mm), ``aperture``, ``distance`` (m) and
            ``corrections``, those of ``vignetting``, ``distortion`` and ``chromatic-aberration`` that will be made.
        """
        if (idle := self.idle(context)) is not None:
            return Decision(False, idle)
        match = _hindrance(pixels, context) or find(read_shot(context.metadata.exif), *pixels.shape[:2])
        if isinstance(match, str):
            return Decision(False, match)
        numbers: dict[str, Any] = {
            "camera": f"{match.camera.maker} {match.camera.model}",
            "lens": match.lens.model,
            "focal_length": round(match.focal_length, 2),
            "aperture": match.aperture,
            "distance": match.distance,
        }
        corrections = _corrections(match, context.recipe.lens_correction, colour=pixels.shape[2] == 3)
        if not corrections:
            return Decision(False, f"nothing wanted is known of {match.lens.model}", numbers)
        numbers["corrections"] = corrections
        return Decision(True, f"{match.lens.model} at {match.focal_length:g} mm", numbers)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Correct the whole picture.

        Args:
            block: H x W x C, float32 in [0, 1]; all of the picture, since positions count from its middle.
            decision: from :meth:`measure`.
            context: the same picture's.

        Returns:
            H x W x C, float32 in [0, 1].
        """
        match = find(read_shot(context.metadata.exif), *block.shape[:2])
        if isinstance(match, str):
            raise ValueError(f"not the picture that was measured: {match}")  # noqa: TRY004
        corrections = decision.numbers["corrections"]
        if "vignetting" in corrections:
            block = correct_vignetting(block, match)
        if "distortion" in corrections or "chromatic-aberration" in corrections:
            block = correct_geometry(
                block,
                match,
                distortion="distortion" in corrections,
                chromatic_aberration="chromatic-aberration" in corrections,
            )
        return block

    def halo(self, context: Context) -> int:
        """Not bounded."""
        return WHOLE_PICTURE


def _hindrance(pixels: FloatPixels, context: Context) -> str | None:
    """Why this picture needs no looking up."""
    if context.visible is not None:
        return "a picture with transparency is not as a camera took it"
    if context.metadata.xmp and ALREADY_DONE.search(context.metadata.xmp):
        return "its XMP says that the lens has been corrected already"
    if max(pixels.shape[:2]) > LARGEST_SIDE:
        return f"a side is longer than {LARGEST_SIDE} pixels"
    return None


def find(shot: Shot | None, height: int, width: int) -> Match | str:
    """Camera and lens of a picture of this size, or why it is left alone."""
    if shot is None or not shot.model:
        return "EXIF names no camera"
    name = f"{shot.make} {shot.model}".strip()
    aspect = max(height, width) / min(height, width)
    cameras = _database().find_cameras(shot.make, shot.model)
    if not cameras:
        return f"the camera {name!r} is not in the lens database"
    fitting = [camera for camera in cameras if _fits_sensor(camera, aspect)]
    if len({camera.crop_factor for camera in fitting}) != 1:
        return f"sides of {width} x {height} are not those of the whole sensor of {name!r}"
    camera = fitting[0]
    if shot.focal_length is None:
        return "EXIF says no focal length"
    lens = _find_lens(camera, shot.lens, shot.focal_length)
    if isinstance(lens, str):
        return lens
    return Match(camera, lens, shot.focal_length, shot.aperture, min(shot.distance or FAR, FAR))


def correct_vignetting(pixels: FloatPixels, match: Match) -> FloatPixels:
    """`pixels` (H x W x C, sRGB values in [0, 1]) with the fall-off of light divided out in linear light.

    The model needs the aperture, which the match must have.
    """
    height, width, channels = pixels.shape
    light = np.array(np.broadcast_to(to_linear(pixels), (height, width, 3)), dtype=np.float32, order="C")
    _modifier(match, height, width, ModifyFlags.VIGNETTING).apply_color_modification(light)
    return from_linear(np.clip(light[..., :channels], 0, 1))


def correct_geometry(
    pixels: FloatPixels, match: Match, *, distortion: bool = True, chromatic_aberration: bool = True
) -> FloatPixels:
    """`pixels` (H x W x C, values in [0, 1]) with distortion and lateral chromatic aberration undone.

    Grey has no colour to align and follows green. What lies outside repeats the border.
    """
    flags = (ModifyFlags.DISTORTION | ModifyFlags.SCALE if distortion else 0) | (
        ModifyFlags.TCA if chromatic_aberration else 0
    )
    height, width, channels = pixels.shape
    modifier = _modifier(match, height, width, flags)
    corrected = np.empty_like(pixels)
    for top in range(0, height, BAND):
        rows = slice(top, min(top + BAND, height))
        sources = modifier.apply_subpixel_geometry_distortion(0, top, width, rows.stop - top)
        for channel in range(channels):
            source = sources[:, :, channel if channels == 3 else 1]
            corrected[rows, :, channel] = _interpolate(pixels[..., channel], source)
    return np.clip(corrected, 0, 1)


def _interpolate(values: FloatPixels, sources: NDArray[np.float32]) -> FloatPixels:
    """`values` (H x W) at `sources` (h x w x 2; x, y), reading only the rows that they reach."""
    height = values.shape[0]
    first = int(np.clip(np.floor(sources[..., 1].min()) - LANCZOS_RADIUS, 0, height - 1))
    last = int(np.clip(np.ceil(sources[..., 1].max()) + LANCZOS_RADIUS, first + 1, height))
    shifted = sources - np.array([0, first], dtype=np.float32)
    part = np.ascontiguousarray(values[first:last])
    interpolated: FloatPixels = cv2.remap(part, shifted, None, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
    return interpolated


@functools.cache
def _database() -> lensfunpy.Database:
    """The database in the wheel alone: what a machine happens to have installed would make its results its own."""
    return lensfunpy.Database(load_common=False)


def _fits_sensor(camera: lensfunpy.Camera, aspect: float) -> bool:
    """Whether a picture of these sides shows the whole sensor; a ``variant`` such as ``16:9`` names its own sides."""
    sides = re.fullmatch(r"(\d+):(\d+)", camera.variant or "")
    wanted = (int(sides[1]) / int(sides[2]),) if sides else SENSOR_ASPECTS
    return any(abs(aspect / each - 1) <= ASPECT_TOLERANCE for each in wanted)


def _find_lens(camera: lensfunpy.Camera, name: str, focal_length: float) -> lensfunpy.Lens | str:
    """The one lens that it can be, or why none. Mounts in lower case are lensfun's for lenses that do not come off."""
    fixed = camera.mount[:1].islower()
    if not fixed and not name:
        return "EXIF names no lens"
    # lensfun's own order of candidates prefers a calibration on the camera's sensor size to the right name.
    if fixed:
        lenses = _database().find_lenses(camera, None, None)
        lenses = [lens for lens in lenses if "standard" in lens.model.lower()] or lenses
    else:
        lenses = [
            lens
            for lens in _database().find_lenses(camera, None, name)
            if _words(lens.model, lens.maker) == _words(name, lens.maker)
        ]
    shown = repr(name) if name else f"of {camera.model}"
    if not lenses:
        return f"the lens {shown} is not in the lens database"
    low, high = 1 - FOCAL_TOLERANCE, 1 + FOCAL_TOLERANCE
    fitting = [lens for lens in lenses if low * lens.min_focal <= focal_length <= high * lens.max_focal]
    if not fitting:
        return f"the lens {shown} has no focal length of {focal_length:g} mm"
    if len({lens.model for lens in fitting}) > 1:
        return f"several lenses of the database may be the lens {shown}"
    return fitting[0]


def _words(name: str, maker: str) -> list[str]:
    """The words and numbers of a lens's name without its maker's: ``EF24-105mm f/4L`` as 105, 24, 4, ef, f, l, mm.

    ``MkII`` is ``II``.
    """
    words = re.findall(r"\d+(?:\.\d+)?|[a-z]+", re.sub(r"mk(?=[iv\d])", "", name.lower()))
    ignored = maker.lower().split()
    return sorted(f"{float(word):g}" if word[0].isdigit() else word for word in words if word not in ignored)


def _corrections(match: Match, options: LensCorrectionOptions, *, colour: bool) -> list[str]:
    """Those that the recipe wants and the database can make."""
    lens = match.lens
    known = {
        "vignetting": options.vignetting
        and match.aperture is not None
        and lens.interpolate_vignetting(match.focal_length, match.aperture, match.distance) is not None,
        "distortion": options.distortion and lens.interpolate_distortion(match.focal_length) is not None,
        "chromatic-aberration": options.chromatic_aberration
        and colour
        and lens.interpolate_tca(match.focal_length) is not None,
    }
    return [name for name, wanted in known.items() if wanted]


def _modifier(match: Match, height: int, width: int, flags: int) -> lensfunpy.Modifier:
    modifier = lensfunpy.Modifier(match.lens, match.camera.crop_factor, width, height)
    modifier.initialize(
        match.focal_length,
        match.aperture or match.lens.min_aperture or 1.0,
        match.distance,
        pixel_format=np.float32,
        flags=int(flags),
    )
    return modifier
