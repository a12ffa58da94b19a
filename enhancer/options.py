"""What a recipe may say of each stage. The stages document what ``auto`` measures; it may do nothing."""

from __future__ import annotations

from importlib.metadata import entry_points
from itertools import pairwise
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Mode = Literal["off", "auto"]
Precision = Literal["auto", "fp32", "fp16", "int8"]
"""Of the nets; what each means on which device: :mod:`enhancer.backends.choice`."""
Unit = Annotated[float, Field(ge=0, le=1)]
PictureKindName = Literal["auto", "photograph", "document", "screen"]
ColourSpace = Literal["srgb", "display-p3", "adobe-rgb", "grey"]


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StageOptions(_Options):
    """What a recipe may say of one stage, under a key that is the stage's name (``_`` for ``-``).

    It is the half of a stage's description that planning needs, which must load no stage: whether the stage may act,
    which nets it may then use, what a gentler try of it is. The other half is the class
    (:class:`enhancer.stages.base.Stage`).
    """

    purposes: ClassVar[tuple[str, ...]] = ()
    """Of the catalogue's default nets that the stage may use; a net that a recipe names counts by its name."""

    def wanted(self) -> bool:
        """Whether the stage may act on some picture; by default wherever ``mode`` is not ``off``."""
        return getattr(self, "mode", None) != "off"

    def insists(self) -> bool:
        """Whether a stage that is made for photographs is to act on other pictures too; by default with ``mode`` on."""
        return getattr(self, "mode", None) == "on"

    def nets(self) -> tuple[str, ...]:
        """Purposes of the nets that the stage may use under these options."""
        return self.purposes if self.wanted() else ()

    def named_net(self, purpose: str) -> str | None:
        """The catalogue's net that the options name for one of :meth:`nets`; None, the default: its default net."""
        return None

    def gentler(self) -> Self:
        """The options of the one second try after a refusal; by default the same."""
        return self

    def automatic(self) -> Self:
        """What measures for itself instead of being off; where the options have no ``mode`` to set, the same."""
        off = getattr(self, "mode", None) == "off"
        return type(self).model_validate({**self.model_dump(), "mode": "auto"}) if off else self


class InputOptions(_Options):
    """What files to accept."""

    kind: PictureKindName = Field(
        "auto", description="what kind of picture it is; auto: measured. Stages made for photographs leave others alone"
    )
    salvage: bool = Field(False, description="take what can be read of a damaged file instead of refusing it")
    hdr: Literal["refuse", "tone-map"] = Field("refuse", description="what to do with PQ and HLG: tone-map to sRGB")

    @property
    def decoding(self) -> dict[str, bool]:
        """The keyword arguments of :func:`enhancer.codecs.decode` that it sets."""
        return {"salvage": self.salvage, "tone_map": self.hdr == "tone-map"}


class SizeLimitOptions(StageOptions):
    """Reduction of what is larger than this, before anything else."""

    max_pixels: int | None = Field(None, ge=1, description="reduce larger pictures to so many pixels, aspect kept")
    max_side: int | None = Field(None, ge=1, description="reduce pictures with a longer side than this")

    def wanted(self) -> bool:
        """Where there is a limit."""
        return self.max_pixels is not None or self.max_side is not None


class LensCorrectionOptions(StageOptions):
    """Corrections from the lens database, where camera and lens are known."""

    mode: Mode = "off"
    distortion: bool = True
    vignetting: bool = True
    chromatic_aberration: bool = True


class ImpulseRepairOptions(StageOptions):
    """Repair of salt and pepper."""

    mode: Mode = "auto"


class SuperResolutionOptions(StageOptions):
    """Of a perceptual net only, which invents texture: how much of it."""

    blend: Unit = Field(1.0, description="1 the perceptual net's result, 0 the default fidelity net's, between: a mix")


class ArtifactGuardOptions(StageOptions):
    """After a perceptual net: the fidelity net's result is put back where there are artefacts."""

    mode: Mode = "auto"


class ExposureOptions(StageOptions):
    """Exposure compensation in linear light."""

    mode: Mode = "off"
    max_ev: float = Field(3.0, gt=0, le=5, description="largest correction either way, in stops")
    ev: float | None = Field(None, ge=-5, le=5, description="this correction instead of a measured one")
    lift: Literal["exposure", "visibility"] = Field(
        "exposure", description="visibility: dark scenes with lamps too, denoised on the scale of the lifted picture"
    )

    def wanted(self) -> bool:
        """An explicit value holds whatever the mode."""
        return self.mode != "off" or self.ev is not None

    def insists(self) -> bool:
        """An explicit value holds whatever the picture."""
        return self.ev is not None


class RestorationOptions(StageOptions):
    """Restoration of really damaged pictures by one blind net, in place of JPEG repair, denoising and enlargement."""

    purposes = ("restoration",)

    mode: Literal["off", "auto", "on"] = "auto"
    model: str | None = Field(None, description="a restoring net of the catalogue; None: the default one")

    def named_net(self, purpose: str) -> str | None:
        """The net that restores."""
        return self.model


class JpegArtifactsOptions(StageOptions):
    """Removal of what JPEG compression left: blocks, ringing, smeared colour."""

    purposes = ("jpeg",)

    mode: Mode = "auto"


class ScratchesOptions(StageOptions):
    """Scratches, dust and folds: found by a net, painted over from their surroundings."""

    purposes = ("scratches",)

    mode: Literal["off", "auto", "always"] = Field(
        "off", description="auto: where enough is surely damage; always: whatever is found, in any kind of picture"
    )
    sensitivity: Unit = Field(0.5, description="0 only the surest marks, 1 also faint and doubtful ones")

    def insists(self) -> bool:
        """With ``always``."""
        return self.mode == "always"


class FadingOptions(StageOptions):
    """Restoration of faded prints: by a net where it is confident, or each channel stretched over the whole scale."""

    purposes = ("colour",)

    mode: Mode = "off"
    method: Literal["learned", "classical"] = Field("learned", description="classical: never by the net")

    def nets(self) -> tuple[str, ...]:
        """None for the classical method."""
        return super().nets() if self.method == "learned" else ()


class ColourCastOptions(StageOptions):
    """Colour cast correction: von Kries in linear light."""

    mode: Mode = "off"
    strength: Unit = 1.0

    def wanted(self) -> bool:
        """Where there is a strength."""
        return self.mode != "off" and self.strength > 0

    def gentler(self) -> Self:
        """Half the correction."""
        return self.model_copy(update={"strength": self.strength / 2})


class ProgressiveOptions(_Options):
    """Enlargement in stages, each by the same factor, blended with plain enlargement; 1 stage: off."""

    stages: int = Field(1, ge=1, le=6, description="each enlarges by the stages-th root of the scale")
    blend: Unit = Field(0.7, description="of several stages: share of the net's result, the rest is bicubic")


class ColourFixOptions(StageOptions):
    """Agreement of the enlarged picture's low frequencies with the input's."""

    mode: Mode = "auto"


class _ForLooks(StageOptions):
    """Of a stage that is for looks alone: a gentler try goes without it."""

    def gentler(self) -> Self:
        """Nothing of it."""
        return type(self)()


class LocalContrastOptions(_ForLooks):
    """CLAHE on luminance."""

    mode: Literal["off", "auto", "on"] = "off"
    clip_limit: float = Field(2.0, gt=0, le=40)
    tiles: int = Field(8, ge=1, le=64, description="along the longer side")


class ToneOptions(_ForLooks):
    """Tone curve on luminance, and saturation, in this order: black and white point, gamma, curve, saturation."""

    curve: Literal["none", "soft-contrast", "strong-contrast", "lift-shadows", "film"] | None = None
    points: tuple[tuple[Unit, Unit], ...] = Field((), description="of a curve of one's own: (in, out), in rising")
    black_point: Unit = 0.0
    white_point: Unit = 1.0
    gamma: float = Field(1.0, gt=0, le=5, description="above 1 brightens the middle")
    saturation: float = Field(1.0, ge=0, le=4)

    def wanted(self) -> bool:
        """Where anything is asked for."""
        return self != ToneOptions()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.black_point >= self.white_point:
            raise ValueError("black_point must be below white_point")
        if any(left[0] >= right[0] for left, right in pairwise(self.points)):
            raise ValueError("the inputs of points must rise")
        if self.points and self.curve not in (None, "none"):
            raise ValueError("give either points or a curve")
        return self


class SharpeningOptions(_ForLooks):
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


FORMATS: Final = ("JPEG", "PNG", "TIFF", "WEBP", "AVIF", "DICOM")
"""The formats of this package that results can be written in."""


def _written_format(name: str) -> str:
    """A format of :data:`FORMATS`, or one that another package registers: its entry point's name, nothing loaded."""
    added = sorted(point.name for point in entry_points(group="enhancer.formats"))
    if name not in FORMATS and name not in added:
        raise ValueError(f"no format is called {name!r} (known: {', '.join((*FORMATS, *added))})")
    return name


class OutputOptions(_Options):
    """How the result is encoded."""

    format: Annotated[str, AfterValidator(_written_format)] | None = Field(
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


class Gate(_Options):
    """When a result may be published (see :mod:`enhancer.quality.gate`).

    The defaults are measured (``python -m benchmarks.bench_gate``, ten training pictures, nine kinds of damage, each
    mended by its preset). All of it passes, and its worst is: score 0.28 (enlarged four times), artefacts 0.004, shift
    0.016 (impulses repaired) and residual 1.2 (enlarged four times). Of results spoiled on purpose in six ways 95 % are
    refused; what passes is blurred ones.
    """

    min_score: float = Field(0.25, ge=0, le=1, description="with a reference: least `score`")
    max_artifact_score: float = Field(0.5, ge=0, le=1, description="without: most artefacts")
    max_low_frequency_shift: float = Field(
        0.1, ge=0, le=1, description="without: largest mean shift of the low frequencies, on [0, 1] values"
    )
    max_residual_ratio: float = Field(
        1.5, gt=0, description="without: removed residual over measured noise, beyond which detail was removed"
    )
