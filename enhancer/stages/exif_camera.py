"""Which camera and lens took a picture and how they were set, from its EXIF block (CIPA DC-008, Exif 3.0)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image as PillowImage

_MAKE: Final = 0x010F
_MODEL: Final = 0x0110
_EXIF_IFD: Final = 0x8769
_F_NUMBER: Final = 0x829D
_SUBJECT_DISTANCE: Final = 0x9206
_FOCAL_LENGTH: Final = 0x920A
_LENS_MODEL: Final = 0xA434


@dataclass(frozen=True, slots=True)
class Shot:
    """How a picture was taken, as far as its EXIF says.

    Attributes:
        make: the camera's maker, empty where not said.
        model: the camera's model, empty where not said.
        lens: the lens's model, empty where not said.
        focal_length: in mm (of the lens, not its 35 mm equivalent), or None.
        aperture: f-number, or None.
        distance: to the subject, in m, or None.
    """

    make: str = ""
    model: str = ""
    lens: str = ""
    focal_length: float | None = None
    aperture: float | None = None
    distance: float | None = None


def read_shot(exif: bytes | None) -> Shot | None:
    """What an EXIF block says of camera and lens.

    Args:
        exif: TIFF structure without the prefix, as in :class:`enhancer.image.Metadata`.

    Returns:
        None where there is no block or it cannot be parsed (which decoding has already warned of).
    """
    if not exif:
        return None
    parsed = PillowImage.Exif()
    try:
        parsed.load(b"Exif\0\0" + exif)
        tags: dict[int, Any] = {tag: parsed.get(tag) for tag in (_MAKE, _MODEL)}
        tags.update(parsed.get_ifd(_EXIF_IFD))
    except Exception:  # a damaged block raises whatever the parser stumbles over; it then says nothing
        return None
    return Shot(
        make=_text(tags.get(_MAKE)),
        model=_text(tags.get(_MODEL)),
        lens=_text(tags.get(_LENS_MODEL)),
        focal_length=_positive(tags.get(_FOCAL_LENGTH)),
        aperture=_positive(tags.get(_F_NUMBER)),
        distance=_positive(tags.get(_SUBJECT_DISTANCE)),
    )


def _text(value: object) -> str:
    return value.split("\0")[0].strip() if isinstance(value, str) else ""


def _positive(value: Any) -> float | None:
    """A finite number above 0; EXIF writes "unknown" as 0 or as a division by 0."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None
