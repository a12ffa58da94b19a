"""The nets of the GPU benchmark and what is timed of them; imports torch, NumPy, OpenCV and what the catalogue does."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common.speed import medians, operations
from enhancer.backends import cuda
from enhancer.backends.base import Net, NetSpec
from enhancer.backends.tiler import run_tiled
from enhancer.backends.torch_backend import TorchNet
from enhancer.image import FloatPixels, from_unit, to_unit
from enhancer.models.catalogue import load_catalogue
from enhancer.models.loading import load_net
from enhancer.models.store import ensure, kept_path
from enhancer.settings import Settings

BUNDLED: Final = ("fast-x4", "fast-x2", "denoise", "jpeg")
LARGE: Final = ("dat-light-x4",)
"""Of the catalogue too, where their weights are present."""
RRDBNET: Final = "RRDBNet-23"
WARM_UP: Final = 2
QUALITY: Final = 92
COUNTED_SIDE: Final = 64


@dataclass(frozen=True)
class Candidate:
    """A net on the CPU, and its operations for each input pixel."""

    name: str
    module: torch.nn.Module
    spec: NetSpec
    operations: float

    def on(self, *, half: bool) -> TorchNet:
        """Ready to run on the device, as the product has it."""
        return TorchNet(copy.deepcopy(self.module), self.spec, "cuda", half=half)


def candidates(weights: Mapping[str, Path], settings: Settings) -> Iterator[Candidate]:
    """The bundled nets, those of the catalogue whose weights are given or kept, and RRDBNet-23.

    RRDBNet-23's own weights change nothing about its speed: they are random.
    """
    catalogue = load_catalogue()
    for name in dict.fromkeys((*BUNDLED, *LARGE, *weights)):
        entry = catalogue.get(name)
        path = weights.get(name) or (ensure(entry, settings) if name in BUNDLED else kept_path(entry, settings))
        if not path.is_file():
            print(f"{name} is left out: its weights are not here (--weights {name}=FILE)")
            continue
        net = load_net(entry, path)
        yield _candidate(name, net.module, net.spec)
    try:
        from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet
    except ImportError as error:
        print(f"{RRDBNET} is left out: {error}")
        return
    torch.manual_seed(0)
    module = RRDBNet().eval().requires_grad_(False)
    yield _candidate(RRDBNET, module, NetSpec(RRDBNET, 4, 3, 3, halo=32, max_tile=256))


def _candidate(name: str, module: torch.nn.Module, spec: NetSpec) -> Candidate:
    return Candidate(name, module, spec, operations(module, COUNTED_SIDE, spec.in_channels) / COUNTED_SIDE**2)


def planes_of(picture: NDArray[np.uint8], channels: int = 3) -> FloatPixels:
    """What a net is given of a picture, H x W x 3: as a view of its pixels; more channels are a condition of 0.1."""
    unit = to_unit(picture)
    if channels == 3:
        return np.moveaxis(unit, 2, 0)
    more = np.full((*unit.shape[:2], channels - 3), 0.1, np.float32)
    return np.moveaxis(np.concatenate([unit, more], axis=2), 2, 0)


def warm_medians(calls: Mapping[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Median seconds of each call, in turn, after some that do not count: clocks rise, kernels load."""
    for _ in range(WARM_UP):
        for call in calls.values():
            call()
    return medians(calls, runs)


def peak_megabytes(call: Callable[[], object]) -> float:
    """Most memory of the device that tensors took during a call, weights included."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    call()
    return torch.cuda.max_memory_allocated() / 1e6


@torch.inference_mode()
def net_alone(net: TorchNet, planes: FloatPixels) -> Callable[[], object]:
    """A run on the device, on the picture as one tile, from tensor to tensor, waited for."""
    given = cuda.to_device(planes[None], net.device)
    torch.cuda.synchronize()

    def run() -> None:
        net.on_device(given)
        torch.cuda.synchronize()

    return run


def jpeg_steps(net: TorchNet, data: bytes) -> dict[str, float]:
    """Seconds of each step from the bytes of a JPEG to those of its enlarged twin, each waited for."""
    marks = [time.perf_counter()]

    def mark() -> None:
        torch.cuda.synchronize()
        marks.append(time.perf_counter())

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    mark()
    planes = planes_of(np.asarray(pixels, np.uint8))
    mark()
    given = cuda.to_device(planes[None], net.device)
    mark()
    result = net.on_device(given)
    mark()
    large = cuda.to_host(result)
    mark()
    whole = from_unit(np.moveaxis(large[0], 0, 2), np.dtype(np.uint8))
    mark()
    encode(whole)
    mark()
    names = ("decode", "bytes to float", "copy to the device", "net", "copy back", "float to bytes", "encode")
    return dict(zip(names, np.diff(marks).tolist(), strict=True))


def jpeg_to_jpeg(net: Net, data: bytes) -> None:
    """The same as users have it: through the tiler."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    large = run_tiled(net, planes_of(np.asarray(pixels, np.uint8)))
    encode(from_unit(np.moveaxis(large, 0, 2), np.dtype(np.uint8)))


def encode(pixels: NDArray[np.generic]) -> bytes:
    """H x W x 3 of 8 bits as a JPEG."""
    done, encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return encoded.tobytes()


def pictures_a_second(work: Callable[[], object], threads: int, pictures: int, runs: int) -> float:
    """Median over runs of how many pictures a second so many threads finish together."""
    rates = []
    with ThreadPoolExecutor(threads) as pool:
        for run in range(runs + 1):
            begin = time.perf_counter()
            list(pool.map(lambda _: work(), range(pictures)))
            if run:  # the first does not count
                rates.append(pictures / (time.perf_counter() - begin))
    return statistics.median(rates)
