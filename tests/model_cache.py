"""The model cache of one run of the tests, shared by its processes: empty at its start, gone at its end.

A test that needs published weights gets them through :func:`enhancer.models.store.ensure`, as a user would; what lies in
the cache of whoever runs the tests is never looked at. ``TEST_MODEL_CACHE=folder`` keeps one from run to run.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

VARIABLE = "TEST_MODEL_CACHE"

KEPT = VARIABLE in os.environ
"""Whether somebody else owns the folder: the caller, or the process that started this pytest-xdist worker."""

MODEL_CACHE = Path(os.environ.get(VARIABLE) or tempfile.mkdtemp(prefix="enhancer-test-models-")).absolute()
os.environ[VARIABLE] = str(MODEL_CACHE)  # pytest-xdist's workers inherit it
