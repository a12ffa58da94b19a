"""What a recipe may say of each classical stage. The stages document what ``auto`` measures; it may do nothing."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Mode = Literal["off", "auto"]
Precision = Literal["auto", "fp32", "fp16", "int8"]
"""Of the nets; what each means on which device: :mod:`enhancer.backends.choice`."""
Unit = Annotated[float, Field(ge=0, le=1)]
ColourSpace = Literal["srgb", "display-p3", "adobe-rgb", "grey"]


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputOptions(_Options):
    """Before anything else: what to accept and how large."""

    salvage: bool = Field(False, description="take what can be read of a damaged file instead of refusing it")
    max_pixels: int | None = Field(None, ge=1, description="reduce larger pictures to so many pixels, aspect kept")
    max_side: int | None = Field(None, ge=1, description="reduce pictures with a longer side than this")


class LensOptions(_Options):
    """Corrections from the lens database, where camera and lens are known."""

    mode: Mode = "off"
    distortion: bool = True
    vignetting: bool = True
    chromatic_aberration: bool = True


class SuperResolutionOptions(_Options):
    """Of a perceptual net only, which invents texture: how much of it, and whether it is watched."""

    blend: Unit = Field(1.0, description="1 the perceptual net's result, 0 the default fidelity net's, between: a mix")
    guard: Mode = Field("auto", description="auto: put the fidelity net's result back where there are artefacts")


class ExposureOptions(_Options):
    """Exposure compensation in linear light."""

    mode: Mode = "off"
    max_ev: float = Field(3.0, gt=0, le=5, description="largest correction either way, in stops")
    ev: float | None = Field(None, ge=-5, le=5, description="this correction instead of a measured one")


class RestorationOptions(_Options):
    """Restoration of really damaged pictures by one blind net, in place of JPEG repair, denoising and enlargement."""

    mode: Literal["off", "auto", "on"] = "auto"
    model: str | None = Field(None, description="a restoring net of the catalogue; null: the default one")


class JpegOptions(_Options):
    """Removal of what JPEG compression left: blocks, ringing, smeared colour."""

    mode: Mode = "auto"


class ScratchOptions(_Options):
    """Scratches, dust and folds: found by a net, painted over from their surroundings."""

    mode: Mode = "off"


class FadingOptions(_Options):
    """Restoration of faded prints: by a net where it is confident, or each channel stretched over the whole scale."""

    mode: Mode = "off"
    method: Literal["learned", "classical"] = Field("learned", description="classical: never by the net")


class CastOptions(_Options):
    """Colour cast correction: von Kries in linear light."""

    mode: Mode = "off"
    strength: Unit = 1.0


class ProgressiveOptions(_Options):
    """Enlargement in stages, each by the same factor, blended with plain enlargement; 1 stage: off."""

    stages: int = Field(1, ge=1, le=6, description="each enlarges by the stages-th root of the scale")
    blend: Unit = Field(0.7, description="of several stages: share of the net's result, the rest is bicubic")


class ColourFixOptions(_Options):
    """Agreement of the enlarged picture's low frequencies with the input's."""

    mode: Mode = "auto"


class LocalContrastOptions(_Options):
    """CLAHE on luminance."""

    mode: Literal["off", "auto", "on"] = "off"
    clip_limit: float = Field(2.0, gt=0, le=40)
    tiles: int = Field(8, ge=1, le=64, description="along the longer side")


class ToneOptions(_Options):
    """Tone curve on luminance, and saturation, in this order: black and white point, gamma, curve, saturation."""

    curve: Literal["none", "soft-contrast", "strong-contrast", "lift-shadows", "film"] | None = None
    points: tuple[tuple[Unit, Unit], ...] = Field((), description="of a curve of one's own: (in, out), in rising")
    black_point: Unit = 0.0
    white_point: Unit = 1.0
    gamma: float = Field(1.0, gt=0, le=5, description="above 1 brightens the middle")
    saturation: float = Field(1.0, ge=0, le=4)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.black_point >= self.white_point:
            raise ValueError("black_point must be below white_point")
        if any(left[0] >= right[0] for left, right in pairwise(self.points)):
            raise ValueError("the inputs of points must rise")
        if self.points and self.curve not in (None, "none"):
            raise ValueError("give either points or a curve")
        return self


class SharpenOptions(_Options):
    """Sharpening; ``frequency`` with kernel 3 and amount 0.8 as specified."""

    mode: Literal["off", "auto", "on"] = "off"
    method: Literal["frequency", "adaptive", "unsharp"] = "adaptive"
    kernel: int = Field(3, ge=3, le=31, description="of the low-pass filter, odd")
    amount: float = Field(0.8, ge=0, le=5)
    threshold: Unit = Field(0.0, description="unsharp: smaller differences are left alone")

    @model_validator(mode="after")
    def _odd(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError("kernel must be odd")
        return self


class OutputOptions(_Options):
    """How the result is encoded."""

    format: Literal["JPEG", "PNG", "TIFF", "WEBP", "AVIF"] | None = Field(
        None, description="None: the input's format where it can be written, else PNG or TIFF"
    )
    quality: int = Field(92, ge=1, le=100, description="for the lossy formats")
    lossless: bool = Field(False, description="WebP without loss")
    convert: bool = Field(
        False, description="bring what the format cannot hold (alpha, 16 bits) to what it can, instead of refusing"
    )
    colour_space: ColourSpace | None = Field(
        None, description="convert the result to it; None: the input's own profile"
    )
    strip_private: bool = Field(False, description="remove GPS position, serial numbers and owner names")
