"""Nets in TensorRT 11, on a CUDA device. Written after NVIDIA's documentation; never run where no such device is.

TensorRT 11 builds strongly typed networks only: the precision is that of the ONNX file
(``enhancer models build NAME --runtime tensorrt``). An engine fits one TensorRT version, one kind of device and one
range of shapes, so it is built on the machine that uses it, which takes minutes, once; it lies in a cache under a name
that says all of these. A cached engine that does not load is deleted and built again.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog
from filelock import FileLock

from enhancer.backends.base import NetSpec, OutOfMemory
from enhancer.errors import ErrorKind, ModelError
from enhancer.image import FloatPixels

if TYPE_CHECKING:
    import torch

log = structlog.get_logger(__name__)

WORKSPACE: Final = 2 << 30
"""Bytes of device memory that the builder may try kernels with."""
BUILD_TIMEOUT_S: Final = 3600
"""How long one process waits for another's build of the same engine."""
MOST_TILES: Final = 8
"""Tiles in a batch, at most; fewer of large ones, as memory of the device is taken for the largest shape at once."""


class TensorRtNet:
    """A net ready to run; implements :class:`enhancer.backends.base.Net`. Safe to share between threads.

    Args:
        onnx: a model with one input and one output, N x C x H x W float32 outside whatever it is inside, H and W of any
            length.
        spec: what the tiler must know of it; its ``max_tile`` bounds the shapes that the engine is built for.
        engines: folder of the cache.

    Raises:
        ModelError: TensorRT cannot build the net (reason ``bad-weights``), or the device's memory does not hold it
            (reason ``out-of-memory``, transient).
    """

    def __init__(self, onnx: Path, spec: NetSpec, engines: Path) -> None:
        import tensorrt
        import torch

        from enhancer.backends.cuda import BATCH_PIXELS

        most = max(1, min(MOST_TILES, BATCH_PIXELS // spec.max_tile**2))
        self._spec = replace(spec, batch_tiles=most, batch_pixels=BATCH_PIXELS)
        self._device = torch.device("cuda")
        self._logger = tensorrt.Logger(tensorrt.Logger.WARNING)
        self._engine = self._open(onnx, engines)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise ModelError(
                f"{spec.name} in TensorRT does not fit into the device's memory: unset ENHANCER_RUNTIME, or free some",
                reason="out-of-memory",
                kind=ErrorKind.TRANSIENT,
            )
        self._lock = threading.Lock()  # a context has one input, one output and one piece of memory
        names = [self._engine.get_tensor_name(place) for place in range(self._engine.num_io_tensors)]
        mode = tensorrt.TensorIOMode.INPUT
        self._input = next(name for name in names if self._engine.get_tensor_mode(name) == mode)
        self._output = next(name for name in names if name != self._input)

    @property
    def spec(self) -> NetSpec:
        """What the tiler and the stages must know of it."""
        return self._spec

    def run(self, batch: FloatPixels) -> FloatPixels:
        """Run the net.

        Args:
            batch: N x in_channels x H x W float32, N at most the spec's ``batch_tiles``; sides as the spec demands.

        Returns:
            N x out_channels x sH x sW float32, not clipped.

        Raises:
            OutOfMemory: the device cannot hold it.
            RuntimeError: TensorRT refuses to run it.
        """
        import torch

        from enhancer.backends import cuda

        count, _, height, width = batch.shape
        size = (count, self._spec.out_channels, height * self._spec.scale, width * self._spec.scale)
        try:
            with cuda.stream(self._device):
                given = cuda.to_device(batch, self._device).contiguous()
                result = torch.empty(size, dtype=torch.float32, device=self._device)
                self._execute(given, result)
                return cuda.to_host(result)
        except torch.OutOfMemoryError as error:
            trouble = str(error).splitlines()[0]
        torch.cuda.empty_cache()
        raise OutOfMemory(f"{self._spec.name} in TensorRT, tile {batch.shape}: {trouble}")

    def _execute(self, given: torch.Tensor, result: torch.Tensor) -> None:
        """Run the engine in the stream of now, and wait: the next run, in another stream, has the same memory."""
        import torch

        stream = torch.cuda.current_stream(self._device)
        with self._lock:
            if not self._context.set_input_shape(self._input, tuple(given.shape)):
                raise RuntimeError(f"TensorRT's engine of {self._spec.name} was not built for {tuple(given.shape)}")
            self._context.set_tensor_address(self._input, given.data_ptr())
            self._context.set_tensor_address(self._output, result.data_ptr())
            if not self._context.execute_async_v3(stream.cuda_stream):
                raise RuntimeError(f"TensorRT did not run {self._spec.name} on {tuple(given.shape)}")
            stream.synchronize()

    def _open(self, onnx: Path, engines: Path) -> Any:
        """The engine from the cache, or built now, by one process at a time."""
        import tensorrt

        engines.mkdir(parents=True, exist_ok=True)
        path = engines / f"{self._key(onnx)}.engine"
        runtime = tensorrt.Runtime(self._logger)
        with FileLock(path.with_suffix(".lock"), timeout=BUILD_TIMEOUT_S):
            if path.exists():
                engine = runtime.deserialize_cuda_engine(path.read_bytes())
                if engine is not None:
                    return engine
                log.warning("the engine does not load, it is built again", path=str(path))
                path.unlink()
            log.info("building a TensorRT engine, which takes minutes, once", model=self._spec.name, path=str(path))
            plan = self._build(onnx)
            partial = path.with_suffix(".partial")
            partial.write_bytes(plan)
            partial.replace(path)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise ModelError(f"{self._spec.name}: TensorRT cannot load what it just built", reason="bad-weights")
        return engine

    def _key(self, onnx: Path) -> str:
        """Name of the engine: the ONNX file, TensorRT's version, device, shapes and precision."""
        import tensorrt
        import torch

        major, minor = torch.cuda.get_device_capability(self._device)
        parts = [
            hashlib.sha256(onnx.read_bytes()).hexdigest(),
            tensorrt.__version__,
            torch.cuda.get_device_name(self._device),
            f"sm{major}{minor}",
            str(self._shapes()),
            self._spec.precision,
        ]
        return f"{self._spec.name}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:16]}"

    def _shapes(self) -> tuple[tuple[int, int, int, int], ...]:
        """Smallest, most usual and largest input."""
        channels, least, most = self._spec.in_channels, self._spec.minimum, self._spec.max_tile
        step = self._spec.multiple_of
        least, most = -(-least // step) * step, max(least, most // step * step)
        return (1, channels, least, least), (1, channels, most, most), (self._spec.batch_tiles, channels, most, most)

    def _build(self, onnx: Path) -> bytes:
        import tensorrt

        builder = tensorrt.Builder(self._logger)
        network = builder.create_network()
        parser = tensorrt.OnnxParser(network, self._logger)
        if not parser.parse(onnx.read_bytes()):
            errors = "; ".join(str(parser.get_error(place)) for place in range(parser.num_errors))
            raise ModelError(f"{self._spec.name}: TensorRT cannot read {onnx.name}: {errors}", reason="bad-weights")
        config = builder.create_builder_config()
        config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, WORKSPACE)
        profile = builder.create_optimization_profile()
        profile.set_shape(network.get_input(0).name, *self._shapes())
        config.add_optimization_profile(profile)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise ModelError(f"{self._spec.name}: TensorRT cannot build {onnx.name}", reason="bad-weights")
        return bytes(plan)
