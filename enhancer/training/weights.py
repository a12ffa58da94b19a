"""Weights as they are bundled: safetensors in float16, half the size at no measurable loss."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor


def save_half(weights: Mapping[str, Tensor], path: Path, about: Mapping[str, str] | None = None) -> Path:
    """Write the weights in float16; the file appears whole or not at all.

    Args:
        weights: by the names of the net for inference.
        path: of the file, which is replaced.
        about: goes into the file's header, and records where the weights come from.

    Raises:
        OverflowError: a weight is too large for float16.
    """
    halves = {name: tensor.detach().half().contiguous() for name, tensor in weights.items()}
    for name, tensor in halves.items():
        if not tensor.isfinite().all():
            raise OverflowError(f"{name} does not fit into float16")
    partial = path.with_suffix(".partial")
    # Not save_file: it writes through a temporary file that nobody else may read, whatever the umask says.
    partial.write_bytes(save(halves, dict(about) if about else None))
    partial.replace(path)
    return path
