"""Which extra of this package brings a library, and an error that names it where the library is missing.

The base install serves the scheduler, the API server and the DAG processor: it has the ledger, the stores, the plan and
the page, and nothing that computes on pixels. ``pyproject.toml`` lists what each extra brings.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from enhancer.errors import MissingExtraError

DISTRIBUTION: Final = "airflow-image-enhancer"

EXTRA_OF: Final[dict[str, str]] = {
    "airflow": "airflow",
    "cachetools": "worker",
    "cv2": "worker",
    "filelock": "worker",
    "imagecodecs": "worker",
    "lensfunpy": "worker",
    "openvino": "worker",
    "pypi_simple": "worker",
    "pywt": "worker",
    "safetensors": "worker",
    "scipy": "worker",
    "skimage": "worker",
    "tifffile": "worker",
    "spandrel": "torch",
    "torch": "torch",
    "torchvision": "torch",
    "nncf": "build",
    "onnx": "build",
    "onnxruntime": "build",
    "pydicom": "dicom",
    "pillow_heif": "heic",
    "rasterio": "geo",
    "rio_cogeo": "geo",
    "fastapi": "service",
    "prometheus_client": "service",
    "python_multipart": "service",
    "uvicorn": "service",
    "c2pa": "provenance",
    "cryptography": "provenance",
}
"""Importable top-level module -> the smallest extra that brings it."""


def install_command(extra: str) -> str:
    """What to type to get an extra.

    >>> install_command("worker")
    "pip install 'airflow-image-enhancer[worker]'"
    """
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def missing_extra(error: BaseException) -> MissingExtraError | None:
    """The error to show for an import that failed because an extra is not installed; None for any other error."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    module = error.name.partition(".")[0]
    if module not in EXTRA_OF:
        return None
    extra = EXTRA_OF[module]
    return MissingExtraError(f"{module} is not installed, which the extra {extra!r} brings: {install_command(extra)}")


@contextmanager
def imports_of_extras() -> Iterator[None]:
    """Around the lazy import of a module that needs an extra.

    Raises:
        MissingExtraError: the import failed because the extra is not installed. Other import errors stay as they are.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if missing := missing_extra(error):
            raise missing from error
        raise
