"""The presets: recipes with a name, each for one purpose.

A preset is what a recipe of its name means where it is silent, in requests and in digests alike: changing a value here
redoes nothing that was published, and must raise :data:`enhancer.version.PIPELINE_VERSION`, since results of the same
request become other ones.
"""

from __future__ import annotations

from typing import Any, Final

DEFAULT_PRESET: Final = "photo"

_AS_THEY_ARE: Final[dict[str, Any]] = {"exposure": {"mode": "off"}, "colour_cast": {"mode": "off"}}
"""Brightness and colours stay: what they are is what the picture says, or the look that somebody chose."""

_UNRESTORED: Final[dict[str, Any]] = {"restoration": {"mode": "off"}}
"""The restoring net learned from photographs of today, and draws what they have."""

_NOTHING_ELSE: Final[dict[str, Any]] = {**_AS_THEY_ARE, **_UNRESTORED, "jpeg_artifacts": {"mode": "off"}}
"""For pictures whose every value may be evidence: nor is anything redrawn."""

PRESETS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "photo": ("photographs: 4x; noise, wrong exposure and clear colour casts go, where they are measured", {}),
    "real": (
        "damaged photographs, such as re-saved or noisy ones: 4x; restored and enlarged by one net, the light stays",
        {"restoration": {"mode": "on", "model": "general-half-x4v3"}, **_AS_THEY_ARE},
    ),
    "scan": (
        "scanned prints and slides: 2x; noise and clear colour casts go, the brightness stays",
        {"scale": 2.0, **_UNRESTORED, "scratches": {"mode": "auto"}, "exposure": {"mode": "off"}},
    ),
    "old-photo": (
        "aged prints: 2x; stronger denoising, faded tones and clear casts mended, local contrast where it is flat",
        {
            "scale": 2.0,
            "denoise_strength": 0.6,
            **_UNRESTORED,
            "scratches": {"mode": "auto"},
            "fading": {"mode": "auto"},
            "local_contrast": {"mode": "auto"},
        },
    ),
    "document": (
        "text and drawings: 2x; light denoising, soft strokes sharpened, brightness and colours stay",
        {"scale": 2.0, "denoise_strength": 0.3, **_AS_THEY_ARE, **_UNRESTORED, "sharpening": {"mode": "auto"}},
    ),
    "low-light": (
        "night and indoor pictures: size kept; denoised, dark ones lifted by up to 5 stops, lamp light evened",
        {
            "scale": 1.0,
            "denoise_strength": 0.6,
            **_UNRESTORED,
            "exposure": {"mode": "auto", "max_ev": 5.0, "lift": "visibility"},
        },
    ),
    "medical-grey": (
        "grey diagnostic pictures: size kept; light denoising and nothing else, so that grey values keep their meaning",
        {"scale": 1.0, "denoise_strength": 0.3, "impulse_repair": {"mode": "off"}, **_NOTHING_ELSE},
    ),
    "web-image": (
        "small pictures from the web: 4x; light denoising, soft edges sharpened, the look that was chosen stays",
        {"denoise_strength": 0.4, **_AS_THEY_ARE, "sharpening": {"mode": "auto"}},
    ),
    "archive": (
        "masters for keeping: size kept; light denoising and impulse repair, nothing else",
        {"scale": 1.0, "denoise_strength": 0.3, **_NOTHING_ELSE},
    ),
}
"""One line for people, and what differs from :class:`~enhancer.recipe.Recipe`'s defaults.

No preset turns lens correction on: most cameras correct their JPEGs themselves and EXIF does not tell.
"""
