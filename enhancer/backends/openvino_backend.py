"""Nets in OpenVINO, on the CPU: float32, or int8 as it was quantised (:mod:`enhancer.deployment`)."""

from __future__ import annotations

import os
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from enhancer.backends.base import NetSpec, OutOfMemory
from enhancer.errors import ModelError
from enhancer.image import FloatPixels

OUT_OF_MEMORY: Final = ("bad_alloc", "Failed to allocate", "could not create a memory object", "out of memory")
"""How OpenVINO and oneDNN word a failed allocation, for which there is no exception class."""


@lru_cache(maxsize=1)
def _core() -> Any:
    """The process's own: each one loads the plugin of the CPU again."""
    import openvino as ov

    return ov.Core()


def request_of(model: Any, threads: int = 0) -> Any:
    """A model made ready to run on the CPU, in float32 where it is not quantised: an ``openvino.InferRequest``.

    Args:
        model: an ``openvino.Model``, or the path of one's file.
        threads: of the CPU; 0: as many as this process may use.

    Raises:
        RuntimeError: OpenVINO cannot use it.
    """
    core = _core()
    options = {
        "INFERENCE_NUM_THREADS": threads or _usable_cpus(),
        "INFERENCE_PRECISION_HINT": "f32",  # of what is not int8: no bfloat16 where a CPU has it
        "PERFORMANCE_HINT": "LATENCY",
    }
    read = core.read_model(model) if isinstance(model, (str, Path)) else model
    return core.compile_model(read, "CPU", options).create_infer_request()


class OpenVinoNet:
    """A net ready to run; implements :class:`enhancer.backends.base.Net`.

    Args:
        model: an ``openvino.Model``, or the path of one's ``.xml`` (its ``.bin`` lies beside it) or ``.onnx``, that
            takes and gives N x H x W x C float32, H and W of any length.
        spec: what the tiler must know of it. A model whose result has one size only is not tiled.
        threads: of the CPU; 0: as many as this process may use.

    Raises:
        ModelError: the file is no model that OpenVINO reads (reason ``bad-weights``).
    """

    def __init__(self, model: Any, spec: NetSpec, *, threads: int = 0) -> None:
        self._spec = spec
        try:
            self._request = request_of(model, threads)
        except RuntimeError as error:
            raise ModelError(
                f"{spec.name}: OpenVINO cannot use {model}: {str(error).splitlines()[0]}", reason="bad-weights"
            ) from error
        shape = self._request.model_outputs[0].partial_shape
        self._only_shape = tuple(shape.to_shape()) if shape.is_static else None
        self._lock = threading.Lock()  # a request has one input and one output

    @property
    def spec(self) -> NetSpec:
        """What the tiler and the stages must know of it."""
        return self._spec

    def run(self, batch: FloatPixels) -> FloatPixels:
        """Run the net.

        Args:
            batch: N x in_channels x H x W float32; sides as the spec demands. Fastest where it is a view of pixels that
                lie as N x H x W x C.

        Returns:
            N x out_channels x sH x sW float32, not clipped: a view of pixels that lie as N x sH x sW x C.

        Raises:
            OutOfMemory: the machine cannot hold it. Every other error of OpenVINO passes as it is.
        """
        import openvino as ov

        pixels = np.require(np.moveaxis(batch, 1, 3), np.float32, ["C", "W"])  # OpenVINO shares writable arrays only
        count, height, width, _ = pixels.shape
        scale, channels = self._spec.scale, self._spec.out_channels
        trouble = ""
        try:
            shape = self._only_shape or (count, height * scale, width * scale, channels)
            result = np.empty(shape, np.float32)
            with self._lock:
                self._request.set_input_tensor(ov.Tensor(pixels, shared_memory=True))
                self._request.set_output_tensor(ov.Tensor(result, shared_memory=True))
                self._request.infer()
        except MemoryError as error:
            trouble = str(error) or "no memory for the result"
        except RuntimeError as error:
            if not any(text in str(error) for text in OUT_OF_MEMORY):
                raise
            trouble = str(error).splitlines()[-1]
        if trouble:
            raise OutOfMemory(f"{self._spec.name} in OpenVINO, tile {batch.shape}: {trouble}")
        return np.moveaxis(result, 3, 1)


def _usable_cpus() -> int:
    """CPUs that this process may use; not every system can tell them from all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
