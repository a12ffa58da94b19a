"""Nets of which only name and scale are known: enough to measure, and no weights are needed."""

from __future__ import annotations

from dataclasses import dataclass

from enhancer.backends.base import Net
from enhancer.errors import ModelError
from enhancer.image import FloatPixels
from enhancer.models.catalogue import ModelEntry, load_catalogue, super_resolution_entry
from enhancer.models.spec import NetSpec
from enhancer.options import Precision
from enhancer.stages.nets import Nets, denoiser_weights


@dataclass(frozen=True, slots=True)
class NamedNet:
    """A catalogue entry in a net's place. It cannot run."""

    spec: NetSpec

    @classmethod
    def of(cls, entry: ModelEntry) -> NamedNet:
        """The entry's name and scale; the denoisers of the catalogue take a noise map beside RGB."""
        return cls(NetSpec(entry.name, entry.scale, 4 if entry.purpose == "denoise" else 3, 3, halo=0))

    def run(self, batch: FloatPixels) -> FloatPixels:
        """Refused.

        Raises:
            ModelError: always.
        """
        raise ModelError(f"{self.spec.name} was not loaded: pictures are measured here, not enhanced")


class NamedNets(Nets):
    """What the recipe's stages would use; nothing is fetched or loaded."""

    def super_resolution(self, scale: float, name: str | None = None, precision: Precision = "auto") -> Net:
        """The entry that :meth:`Nets.super_resolution` would load."""
        return NamedNet.of(super_resolution_entry(scale, name))

    def restoration(self, scale: float, name: str | None = None, precision: Precision = "auto") -> Net:
        """The entry that :meth:`Nets.restoration` would load."""
        return NamedNet.of(load_catalogue().serving("restoration", scale, name))

    def denoiser(self, name: str | None = None, precision: Precision = "auto") -> Net:
        """The entry or file that :meth:`Nets.denoiser` would load."""
        known, _ = denoiser_weights(name)
        return NamedNet(NetSpec(known, 1, 4, 3, halo=0))
