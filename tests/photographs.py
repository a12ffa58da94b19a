"""Pictures that ship with scikit-image, by name: what tests of every room may look at without a download."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from numpy.typing import NDArray
from skimage import data

SHIPPED: Final[dict[str, Callable[[], NDArray[Any]]]] = {
    "astronaut": data.astronaut,
    "chelsea": data.chelsea,
    "coffee": data.coffee,
    "rocket": data.rocket,
    "motorcycle": lambda: data.stereo_motorcycle()[0],
    "retina": data.retina,
    "immunohistochemistry": data.immunohistochemistry,
    "camera": data.camera,
    "coins": data.coins,
    "moon": data.moon,
    "page": data.page,
    "text": data.text,
    "brick": data.brick,
    "grass": data.grass,
    "gravel": data.gravel,
    "cell": data.cell,
}
"""H x W or H x W x 3, uint8."""
