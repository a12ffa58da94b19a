"""Training pictures: loaded once, kept as bytes, cut into patches at random."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]
T = TypeVar("T")
S = TypeVar("S", bound=np.generic)

ENDINGS: Final = frozenset({".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"})


def list_pictures(*folders: Path) -> list[Path]:
    """Every picture in the folders, sorted within each, those in subfolders too.

    Raises:
        FileNotFoundError: a folder holds none.
    """
    found: list[Path] = []
    for folder in folders:
        here = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
        if not here:
            raise FileNotFoundError(f"no pictures in {folder}: say with --data where the training pictures lie")
        found += here
    return found


def load_picture(path: Path, multiple: int = 1) -> Bytes:
    """One picture as H x W x 3 bytes of RGB, its sides cut to multiples of `multiple`."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    height, width = pixels.shape[0] // multiple * multiple, pixels.shape[1] // multiple * multiple
    return np.ascontiguousarray(pixels[:height, :width])


def reduced(pixels: Bytes, scale: int) -> Bytes:
    """The picture at a fraction of its size, by Pillow's antialiased bicubic filter (as MATLAB's ``imresize``)."""
    height, width = pixels.shape[0] // scale, pixels.shape[1] // scale
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def split(paths: Sequence[T], held_out: int) -> tuple[list[T], list[T]]:
    """Training and validation pictures: of the latter `held_out`, spread evenly over the sorted list."""
    places = {round((index + 0.5) * len(paths) / held_out - 0.5) for index in range(held_out)} if held_out else set()
    kept = [path for place, path in enumerate(paths) if place not in places]
    return kept, [path for place, path in enumerate(paths) if place in places]


def turned(pixels: NDArray[S], way: int) -> NDArray[S]:
    """One of the eight flips and quarter turns of an H x W or H x W x C array."""
    rotated = np.rot90(pixels, way % 4)
    return rotated[:, ::-1] if way >= 4 else rotated


class PatchSampler:
    """Random patches from pictures, the same for the same seed and step, however often training is resumed.

    Args:
        layers: pictures as H x W x 3 bytes; several aligned versions of each are given as several sequences, each with
            the ratio of its size to the first one's.
        patch: side of a patch in the first version.
        seed: of the draw.
    """

    def __init__(self, layers: Sequence[tuple[Sequence[Bytes], int]], patch: int, seed: int) -> None:
        self._layers = layers
        self._patch = patch
        self._seed = seed
        self._sides = np.array([picture.shape[:2] for picture in layers[0][0]])
        room = np.maximum(0, self._sides - patch + 1).prod(axis=1).astype(float)
        if not room.any():
            raise ValueError(f"no training picture holds a patch of {patch} pixels")
        self._share = room / room.sum()

    def draw(self, step: int, count: int) -> NDArray[np.int64]:
        """What is cut for a step, count x 4: which picture, top and left in its first version, which way to turn."""
        draw = np.random.default_rng((self._seed, step))
        chosen = draw.choice(len(self._share), count, p=self._share)
        corners = draw.integers(self._sides[chosen] - self._patch + 1)
        return np.column_stack([chosen, corners, draw.integers(8, size=count)])

    def batch(self, step: int, count: int) -> list[NDArray[np.float32]]:
        """One array a version: count x 3 x side x side, float32 in [0, 1]."""
        patches: list[list[Bytes]] = [[] for _ in self._layers]
        for index, top, left, way in self.draw(step, count).tolist():
            for (pictures, ratio), cut in zip(self._layers, patches, strict=True):
                side = self._patch * ratio
                window = pictures[index][top * ratio : top * ratio + side, left * ratio : left * ratio + side]
                cut.append(turned(window, way))
        return [np.stack(cut).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255) for cut in patches]
