"""Batch picture enhancement for Apache Airflow.

``from enhancer import ImageEnhancer`` is the Python API. Importing this package is cheap: the heavy libraries load
when a picture is enhanced, never before, because DAG files and the CLI's ``--help`` import it too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enhancer.version import __version__

if TYPE_CHECKING:
    from enhancer.image import Document, Image, Metadata
    from enhancer.processing import ImageEnhancer
    from enhancer.recipe import Recipe

__all__ = ["Document", "Image", "ImageEnhancer", "Metadata", "Recipe", "__version__"]

_HOMES = {
    "Document": "enhancer.image",
    "Image": "enhancer.image",
    "ImageEnhancer": "enhancer.processing",
    "Metadata": "enhancer.image",
    "Recipe": "enhancer.recipe",
}


def __getattr__(name: str) -> object:
    """Load the public names on first use (PEP 562)."""
    if name in _HOMES:
        from importlib import import_module

        from enhancer.extras import imports_of_extras

        with imports_of_extras():
            return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'enhancer' has no attribute {name!r}")
