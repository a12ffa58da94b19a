"""Patches cut where the net lies: the pictures are brought there once, and of a batch only what to cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from enhancer.training.pictures import Bytes, turned

WAYS: Final = 8
"""Flips and quarter turns, as :func:`enhancer.training.pictures.turned` counts them."""


class PatchesThere:
    """One version of the pictures of a :class:`enhancer.training.pictures.PatchSampler`, on a device.

    Args:
        pictures: H x W x 3 bytes each.
        ratio: of their size to the sampler's first version.
        patch: side of a patch in that version.
        device: where they are kept.
    """

    def __init__(self, pictures: Sequence[Bytes], ratio: int, patch: int, device: torch.device) -> None:
        self._ratio = ratio
        self._pixels = torch.from_numpy(np.concatenate([picture.reshape(-1, 3) for picture in pictures])).to(device)
        areas = [picture.shape[0] * picture.shape[1] for picture in pictures]
        self._starts = torch.tensor([0, *np.cumsum(areas)[:-1].tolist()], device=device)
        self._widths = torch.tensor([picture.shape[1] for picture in pictures], device=device)
        rows, columns = np.indices((ratio * patch, ratio * patch))
        grids = [[turned(axis, way) for axis in (rows, columns)] for way in range(WAYS)]
        self._rows, self._columns = torch.from_numpy(np.array(grids)).to(device).unbind(1)

    def __call__(self, chosen: Tensor) -> Tensor:
        """Cut patches.

        Args:
            chosen: N x 4, as :meth:`PatchSampler.draw` gives it, on the device.

        Returns:
            N x 3 x side x side float32 in [0, 1], the channels of a pixel together.
        """
        picture, top, left, way = chosen.unbind(1)
        width = self._widths[picture]
        corner = self._starts[picture] + self._ratio * (top * width + left)
        index = corner[:, None, None] + self._rows[way] * width[:, None, None] + self._columns[way]
        return self._pixels[index].permute(0, 3, 1, 2).float() / 255
