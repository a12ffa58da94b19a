"""The package's version, and the version of what it does to pixels."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"

PIPELINE_VERSION: Final = "3"
"""Part of every identity: raise it when the same recipe and weights give other pixels, so that stored results are not
taken for what the new code would make."""
