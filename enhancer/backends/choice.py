"""Which runtime a net runs in: by device, by net, by what was built of it, or as the settings force it.

| device | precision asked for | what runs |
| --- | --- | --- |
| CPU | ``auto`` | the int8 build in OpenVINO where there is one, whose loss was measured and gated; else as ``fp32`` |
| CPU | ``int8`` | the same: a net without an int8 build runs in float32, and the record says so |
| CPU | ``fp32``, ``fp16`` | an OpenVINO build; a plain net in OpenVINO; both need no torch; else torch |
| CUDA | ``auto``, ``fp16`` | the float16 build in TensorRT where there is one; else torch in float16, checked |
| CUDA | ``fp32`` | torch |
| CUDA | ``int8`` | as ``fp16`` |

``ENHANCER_RUNTIME`` forces one runtime: then a net that it cannot run is an error. OpenVINO runs on the CPU here, so
that forcing it leaves a CUDA device alone; ONNX Runtime, which is used only where it is forced, runs on either.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from dataclasses import replace

from enhancer.backends.base import Net
from enhancer.errors import ModelError
from enhancer.extras import install_command
from enhancer.models import builds
from enhancer.models.builds import BuildPrecision, Kept, Runtime
from enhancer.models.catalogue import ModelEntry
from enhancer.models.store import ensure
from enhancer.options import Precision
from enhancer.reasons import Reason
from enhancer.settings import Settings


def open_net(entry: ModelEntry, settings: Settings, device: str, precision: Precision) -> Net:
    """The entry's net, ready to run.

    Args:
        entry: of the catalogue.
        settings: model cache, threads, forced runtime.
        device: ``auto``, ``cpu``, or a CUDA device as torch names it.
        precision: as the recipe asks for it.

    Raises:
        ModelError: it cannot be had, not in the runtime that is forced (reason ``no-build``), or not without a library
            that is not installed (``missing-extra``).
        RequestError: there is no such device (reason ``bad-device``).
    """
    forced = None if settings.runtime == "auto" else settings.runtime
    on_gpu = runs_on_gpu(settings, device)
    if forced == "tensorrt" and not on_gpu:
        raise ModelError("TensorRT needs a CUDA device, and there is none: unset ENHANCER_RUNTIME", reason="no-build")
    if forced != "torch":
        if forced == "onnxruntime":
            net = _in_onnxruntime(entry, settings, cuda=on_gpu)
        else:
            net = _on_gpu(entry, settings, precision) if on_gpu else _in_openvino(entry, settings, precision)
        if net is not None:
            return net
        if forced is not None:
            raise ModelError(
                f"{entry.name} was not built for {forced}: `enhancer models build {entry.name} --runtime {forced}`, or "
                "unset ENHANCER_RUNTIME",
                reason="no-build",
            )
    return _in_torch(entry, settings, device if on_gpu else "cpu", half=precision != "fp32")


def runs_on_gpu(settings: Settings, device: str) -> bool:
    """Whether nets run on a CUDA device.

    Raises:
        RequestError: there is no such device (reason ``bad-device``).
    """
    return settings.runtime != "openvino" and _is_cuda(device)


def _is_cuda(device: str) -> bool:
    """Whether the device is a CUDA one; torch, which takes seconds to load, is asked only where a driver is there."""
    if device == "cpu" or (device == "auto" and not (_has_driver() and _installed("torch"))):
        return False
    if not _installed("torch"):
        raise _missing(f"the device {device!r}")
    from enhancer.backends.torch_backend import pick_device

    return pick_device(device).type == "cuda"


def _installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def _missing(what: str) -> ModelError:
    return ModelError(
        f"{what} needs torch, which is not installed: {install_command('torch')}",
        reason=Reason.MISSING_EXTRA,
    )


def _has_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _on_gpu(entry: ModelEntry, settings: Settings, precision: Precision) -> Net | None:
    if precision == "fp32" or (kept := _find(entry, "tensorrt", ("fp16",), settings)) is None:
        return None
    from enhancer.backends.tensorrt_backend import TensorRtNet

    return TensorRtNet(kept.path, kept.build.spec, settings.models_path / "engines")


def _in_openvino(entry: ModelEntry, settings: Settings, precision: Precision) -> Net | None:
    wanted: tuple[BuildPrecision, ...] = ("int8", "fp32") if precision in ("auto", "int8") else ("fp32",)
    if not _installed("openvino"):
        return None
    if kept := _find(entry, "openvino", wanted, settings):
        from enhancer.backends.openvino_backend import OpenVinoNet

        return OpenVinoNet(kept.path, kept.build.spec, threads=settings.threads)
    from enhancer.backends.openvino_graph import has_graph

    return _plain_in_openvino(entry, settings) if has_graph(entry) else None


def _in_onnxruntime(entry: ModelEntry, settings: Settings, *, cuda: bool) -> Net | None:
    kept = _find(entry, "onnxruntime", ("fp32",), settings)
    if kept is None:
        return None
    from enhancer.backends.onnx_backend import OnnxNet

    return OnnxNet(kept.path, kept.build.spec, cuda=cuda, threads=settings.threads)


def _plain_in_openvino(entry: ModelEntry, settings: Settings) -> Net:
    """A plain net of the catalogue in OpenVINO, float32, straight from its weights.

    Raises:
        ModelError: its weights cannot be had, or are another net's.
    """
    from enhancer.backends.openvino_backend import OpenVinoNet
    from enhancer.backends.openvino_graph import plain_graph, plain_weights

    path = ensure(entry, settings)
    weights, shape = plain_weights(entry, path)
    spec = replace(shape.spec(entry.name), runtime="openvino")
    return OpenVinoNet(plain_graph(weights, shape), spec, threads=settings.threads)


def _find(
    entry: ModelEntry, runtime: Runtime, precisions: tuple[BuildPrecision, ...], settings: Settings
) -> Kept | None:
    if not _installed(runtime):
        return None
    for precision in precisions:
        if kept := builds.find(entry, runtime, precision, settings):
            return kept
    return None


def _in_torch(entry: ModelEntry, settings: Settings, device: str, *, half: bool) -> Net:
    if not _installed("torch"):
        raise _missing(f"{entry.name}, of which there is no OpenVINO build,")
    from enhancer.backends.torch_backend import TorchNet
    from enhancer.models.loading import load_net

    net = load_net(entry, ensure(entry, settings))
    return TorchNet(net.module, net.spec, device, half=half)
