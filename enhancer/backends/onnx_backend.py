"""Nets in ONNX Runtime, on the CPU or a CUDA device: the way to small machines, which need nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from enhancer.backends.base import NetSpec, OutOfMemory
from enhancer.errors import ModelError, RequestError
from enhancer.image import FloatPixels

OUT_OF_MEMORY = ("bad_alloc", "Failed to allocate memory", "out of memory")
"""How ONNX Runtime words a failed allocation, for which it has no exception class."""
CUDA: Final = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
"""Its own choices are to try every kernel for each new shape of a tile, and float32 with the digits of float16."""


class OnnxNet:
    """A net ready to run; implements :class:`enhancer.backends.base.Net`.

    Args:
        path: an ``.onnx`` file with one input and one output, N x C x H x W float32, H and W of any length.
        spec: what the tiler must know of it.
        cuda: run on the CUDA device.
        threads: of the CPU; 0: as ONNX Runtime thinks fit.

    Raises:
        ModelError: ONNX Runtime cannot read the file (reason ``bad-weights``).
        RequestError: CUDA is asked for, and this ONNX Runtime has none or cannot load it (reason ``bad-device``).
    """

    def __init__(self, path: Path, spec: NetSpec, *, cuda: bool = False, threads: int = 0) -> None:
        import onnxruntime

        provider = "CUDAExecutionProvider" if cuda else "CPUExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise RequestError(
                "this ONNX Runtime has no CUDA: install onnxruntime-gpu in its place", reason="bad-device"
            )
        if cuda:
            onnxruntime.preload_dlls()  # CUDA's and cuDNN's libraries as pip installs them, torch's among them
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._spec = spec
        self._runtime_errors = onnxruntime.capi.onnxruntime_pybind11_state
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=[(provider, CUDA) if cuda else provider]
            )
        except Exception as error:  # its exceptions have no base class of their own
            raise ModelError(
                f"{spec.name}: ONNX Runtime cannot use {path}: {str(error).splitlines()[0]}", reason="bad-weights"
            ) from error
        if provider not in self._session.get_providers():  # it falls back to the CPU without a word
            raise RequestError(
                "ONNX Runtime cannot load its CUDA libraries: install the CUDA and cuDNN that this onnxruntime-gpu was "
                "made for",
                reason="bad-device",
            )
        self._input = self._session.get_inputs()[0].name

    @property
    def spec(self) -> NetSpec:
        """What the tiler and the stages must know of it."""
        return self._spec

    def run(self, batch: FloatPixels) -> FloatPixels:
        """Run the net.

        Args:
            batch: N x in_channels x H x W float32; sides as the spec demands.

        Returns:
            N x out_channels x sH x sW float32, not clipped.

        Raises:
            OutOfMemory: the device cannot hold it. Every other error of ONNX Runtime passes as it is.
        """
        try:
            (result,) = self._session.run(None, {self._input: np.ascontiguousarray(batch, dtype=np.float32)})
        except (MemoryError, self._runtime_errors.RuntimeException, self._runtime_errors.Fail) as error:
            if not isinstance(error, MemoryError) and not any(text in str(error) for text in OUT_OF_MEMORY):
                raise
            trouble = str(error).splitlines()[0] if str(error) else "no memory"
        else:
            pixels: FloatPixels = np.asarray(result, np.float32)
            return pixels
        raise OutOfMemory(f"{self._spec.name} in ONNX Runtime, tile {batch.shape}: {trouble}")
