"""Removal of JPEG artefacts (blocks, ringing, smeared colour) by a net that takes the quantisation step as an input.

The net is plain and ours (enhancer/training/jpeg.py). One net can serve every quality when the step is an input, as the
noise is for FFDNet (K. Zhang et al., IEEE TIP 2018); this is also the idea of FBCNN (J. Jiang et al., ICCV 2021).
Here nothing has to be predicted: the file's own quantisation tables give the step, and where the file is no JPEG, it is
estimated from the pixels where that is possible.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from enhancer.backends.tiler import run_tiled
from enhancer.codecs.jpeg import mean_step
from enhancer.image import FloatPixels
from enhancer.options import JpegArtifactsOptions
from enhancer.stages.base import Context, Decision, Stage
from enhancer.stages.channels import from_planes, to_planes
from enhancer.stages.jpeg_history import former_jpeg
from enhancer.stages.restored import left_to

GOOD: Final = 85
"""From this quality a JPEG file is left alone."""
GOOD_WITHOUT_FILE: Final = 60
"""The same for pixels that came in another format: somebody chose to keep them as they are; only what one sees goes."""
LOSSLESS: Final = frozenset({None, "PNG", "TIFF", "BMP", "GIF"})
"""Formats (and arrays) whose pixels may be those of an earlier JPEG to the bit."""
RESAMPLING: Final = ("size-limit", "lens-correction")
"""Stages after which neither the block grid nor the table's frequencies are what they were."""


class JpegArtifacts(Stage):
    """Repairs JPEGs of low quality, and pictures that were saved from such without loss."""

    name = "jpeg-artifacts"
    options = JpegArtifactsOptions
    off = "the recipe leaves JPEG artefacts alone"
    for_photographs = True
    corrects = True

    def idle(self, context: Context) -> str | None:
        """As every stage, and where the picture is restored."""
        return super().idle(context) or left_to(context)

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Determine the quality; leave alone good files and those whose quality cannot be determined.

        Args:
            pixels: H x W x C, float32 in [0, 1].
            context: the recipe's ``jpeg_artifacts.mode``; format, depth and ``jpeg_quality`` of its metadata; earlier
                decisions.

        Returns:
            A decision whose numbers are the ``quality`` (libjpeg's, 1 to 100), ``source`` (``file``: its tables;
            ``pixels``: :func:`enhancer.stages.jpeg_history.former_jpeg`, with its ``agreement``) and, where applied,
            the ``step`` given to the net (the tables' mean over 255) and its name as ``model``.
        """
        if (idle := self.idle(context)) is not None:
            return Decision(False, idle)
        for name in RESAMPLING:
            if name in context.decisions and context.decisions[name].applied:
                return Decision(False, f"{name} changed the block grid")
        numbers = _quality(pixels, context)
        if isinstance(numbers, str):
            return Decision(False, numbers)
        quality = numbers["quality"]
        if quality >= (GOOD if numbers["source"] == "file" else GOOD_WITHOUT_FILE):
            return Decision(False, f"JPEG of quality {quality}: good enough", numbers)
        numbers |= {
            "step": round(mean_step(quality), 4),
            "model": context.nets.jpeg_repair(context.recipe.precision).spec.name,
        }
        return Decision(True, f"JPEG of quality {quality}", numbers)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Repair a block.

        Args:
            block: H x W x C, float32 in [0, 1].
            decision: from :meth:`measure`.
            context: its nets.

        Returns:
            H x W x C, float32 in [0, 1]; grey stays one channel.
        """
        planes = to_planes(block)
        step = np.full((1, *planes.shape[1:]), decision.numbers["step"], np.float32)
        repaired = run_tiled(context.nets.jpeg_repair(context.recipe.precision), np.concatenate([planes, step]))
        return np.clip(from_planes(repaired, like=block), 0, 1)

    def halo(self, context: Context) -> int:
        """The net's."""
        return context.nets.jpeg_repair(context.recipe.precision).spec.halo


def _quality(pixels: FloatPixels, context: Context) -> dict[str, Any] | str:
    """The quality and how it is known, or why it is not."""
    metadata = context.metadata
    if metadata.format == "JPEG":
        if metadata.jpeg_quality is None:
            return "a JPEG whose tables say nothing of its quality"
        return {"quality": metadata.jpeg_quality, "source": "file"}
    if metadata.format not in LOSSLESS or metadata.bit_depth != 8:
        return "no JPEG"
    history = former_jpeg(pixels)
    if history is None:
        return "never was a JPEG, as far as its pixels tell"
    return {"quality": history.quality, "source": "pixels", "agreement": history.agreement}
