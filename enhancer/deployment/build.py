"""Build a net for a runtime: export or quantise, measure against torch, register only what passes.

    float: the largest difference from torch must stay below MAX_DIFFERENCE (fp32) or MAX_LOSS_DB of PSNR (fp16)
    int8:  a plain net's weights rounded together (rounding.py), all convolutions in int8 first; where that costs more
           than MAX_LOSS_DB, again with the first and the last in float; where that does too, it is refused

Both on pictures that nothing was calibrated by.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from enhancer.backends.base import Net
from enhancer.backends.openvino_graph import has_graph, plain_graph
from enhancer.backends.tiler import run_tiled
from enhancer.deployment import samples as sampling
from enhancer.deployment.samples import Sample
from enhancer.errors import ModelError, RequestError
from enhancer.models import builds
from enhancer.models.builds import Build, BuildPrecision, Kept, Runtime
from enhancer.models.catalogue import ModelEntry
from enhancer.models.download import sha256_of
from enhancer.models.store import ensure
from enhancer.quality.metrics import psnr
from enhancer.settings import Settings

log = structlog.get_logger(__name__)

MAX_DIFFERENCE: Final = 1e-4
"""Of a value in [0, 1], between runtimes in float32: a fortieth of an 8-bit level."""
MAX_LOSS_DB: Final = 0.1
POSSIBLE: Final[dict[Runtime, tuple[BuildPrecision, ...]]] = {
    "openvino": ("fp32", "int8"),
    "onnxruntime": ("fp32",),
    "tensorrt": ("fp16",),
}
INT8_MAX_TILE: Final = 1024
"""Longest side of a tile of a fast net in int8, in pixels of its input; it takes about 0.4 GB at x4."""
LIBRARIES: Final = ("torch", "openvino", "nncf", "onnx", "onnxruntime")


@dataclass(frozen=True, slots=True)
class _Made:
    """A candidate: the files that are to be kept, and the net that runs them (None: not on this machine)."""

    files: list[Path]
    net: Net | None


def fastest(runtime: Runtime) -> BuildPrecision:
    """The precision to build for a runtime where none is requested."""
    return POSSIBLE[runtime][-1]


def build(
    entry: ModelEntry,
    runtime: Runtime,
    precision: BuildPrecision,
    settings: Settings,
    *,
    pictures: Path | None = None,
    folder: Path | None = None,
) -> Kept:
    """Make, measure and register one build; an earlier one of the same kind is replaced.

    Args:
        entry: the net.
        runtime: what it is for.
        precision: one of :data:`POSSIBLE` for it.
        settings: model cache and threads.
        pictures: folder to calibrate by and check on; None: photographs that come with scikit-image.
        folder: where to; None: ``models_path/builds``.

    Raises:
        RequestError: the runtime has no such precision here (``bad-precision``), or `pictures` are too few.
        ModelError: the net cannot be had or exported, or it loses too much (reason ``too-lossy``).
    """
    if precision not in POSSIBLE[runtime]:
        raise RequestError(
            f"{runtime} is built in {' or '.join(POSSIBLE[runtime])} here, not in {precision}", reason="bad-precision"
        )
    if precision != "fp32":
        sampling.refuse_unless_checkable(entry)
    folder = folder or builds.folders(settings)[0]
    folder.mkdir(parents=True, exist_ok=True)
    calibrate, check = sampling.pictures(pictures)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as name:
        maker = _Maker(entry, runtime, precision, settings, Path(name))
        multiple = maker.spec.multiple_of
        checked = sampling.check_samples(entry, check, multiple)
        figures, made = maker.best(sampling.calibration_samples(entry, calibrate, multiple), checked)
        record = Build(
            model=entry.name,
            source_sha256=entry.sha256,
            runtime=runtime,
            precision=precision,
            files={path.name: sha256_of(path) for path in made.files},
            spec=maker.spec,
            made_with={library: importlib.metadata.version(library) for library in LIBRARIES},
            made_at=datetime.now(UTC).replace(microsecond=0),
            checked_on=tuple(sample.name for sample in checked),
            calibrated_on=tuple(calibrate) if precision == "int8" else (),
            **figures,
        )
        return _register(record, made.files, folder)


class _Maker:
    """Makes candidates of one build in a folder, and measures them against torch."""

    def __init__(
        self, entry: ModelEntry, runtime: Runtime, precision: BuildPrecision, settings: Settings, folder: Path
    ) -> None:
        from enhancer.backends.torch_backend import TorchNet
        from enhancer.models.loading import load_net

        self._entry, self._runtime, self._precision, self._settings = entry, runtime, precision, settings
        self._weights = ensure(entry, settings)
        net = load_net(entry, self._weights)
        self._module, spec = net.module, net.spec
        self._torch = TorchNet(self._module, spec, "cpu")
        tile = INT8_MAX_TILE if precision == "int8" and has_graph(entry) else spec.max_tile
        self.spec = replace(spec, runtime=runtime, precision=precision, max_tile=tile)
        self._rounded: dict[str, NDArray[np.float32]] = {}
        self._stem = folder / builds.stem(entry.name, runtime, precision)

    def best(self, calibration: Sequence[Sample], check: Sequence[Sample]) -> tuple[dict[str, Any], _Made]:
        """The first candidate that passes, with its figures.

        Raises:
            ModelError: none does (reason ``too-lossy``).
        """
        makers: list[Callable[[], _Made]] = [self._export]
        if self._precision == "int8":
            makers = [lambda: self._quantise(calibration), lambda: self._quantise(calibration, ends_in_float=True)]
        reference = [run_whole(self._torch, sample.given) for sample in check]
        said = ""
        for make in makers:
            made = make()
            if made.net is None:
                return {}, made
            figures, trouble = self._measure(made.net, check, reference)
            if not trouble:
                return figures, made
            said = trouble
            log.warning("build refused", model=self._entry.name, reason=trouble)
        raise ModelError(
            f"{self._entry.name} for {self._runtime} in {self._precision}: {said}; nothing was registered",
            reason="too-lossy",
        )

    def _export(self) -> _Made:
        from enhancer.deployment.export import Half, to_onnx, to_openvino

        if self._runtime == "openvino":
            return self._openvino(to_openvino(self._entry, self._weights, self._module, self.spec))
        path = Path(f"{self._stem}.onnx")
        to_onnx(Half(self._module) if self._precision == "fp16" else self._module, self.spec, path)
        from enhancer.backends.onnx_backend import OnnxNet

        # ONNX Runtime computes float16 on a CPU too, so that what TensorRT will read is checked here.
        return _Made([path], OnnxNet(path, self.spec, threads=self._settings.threads))

    def _quantise(self, calibration: Sequence[Sample], *, ends_in_float: bool = False) -> _Made:
        from enhancer.deployment.export import as_openvino_input, to_openvino
        from enhancer.deployment.quantise import quantised
        from enhancer.deployment.rounding import rounded_weights
        from enhancer.models.architectures.plain import PlainNet

        if isinstance(self._module, PlainNet):
            self._rounded = self._rounded or rounded_weights(self._module, [sample.given for sample in calibration])
            model = plain_graph(self._rounded, self._module.shape)
        else:
            model = to_openvino(self._entry, self._weights, self._module, self.spec)
        given = [as_openvino_input(sample.given) for sample in calibration]
        return self._openvino(quantised(model, given, ends_in_float=ends_in_float))

    def _openvino(self, model: Any) -> _Made:
        import openvino

        from enhancer.backends.openvino_backend import OpenVinoNet

        path = Path(f"{self._stem}.xml")
        openvino.save_model(model, path, compress_to_fp16=False)
        return _Made([path, path.with_suffix(".bin")], OpenVinoNet(path, self.spec, threads=self._settings.threads))

    def _measure(self, net: Net, check: Sequence[Sample], reference: Sequence[Any]) -> tuple[dict[str, Any], str]:
        """The figures of a candidate, and what is wrong with it, if anything."""
        results = [run_whole(net, sample.given) for sample in check]
        difference = max(float(np.abs(a - b).max()) for a, b in zip(results, reference, strict=True))
        if self._precision == "fp32":
            trouble = f"it differs from torch by {difference:.2g}" if not difference <= MAX_DIFFERENCE else ""
            return {"max_difference": difference}, trouble
        before, after = self._psnr(reference, check), self._psnr(results, check)
        loss = before - after
        figures = {"psnr_float": round(before, 4), "psnr": round(after, 4)}
        return figures, f"it costs {loss:.3f} dB of {before:.2f}" if not loss <= MAX_LOSS_DB else ""

    @staticmethod
    def _psnr(results: Sequence[Any], check: Sequence[Sample]) -> float:
        def picture(planes: Any) -> Any:
            return np.clip(np.moveaxis(planes, 0, 2), 0, 1)

        scores = [psnr(picture(one), picture(sample.truth)) for one, sample in zip(results, check, strict=True)]
        return float(np.mean(scores))


def run_whole(net: Net, planes: Any) -> Any:
    """A sample's result: in tiles, but for a net that is given one look and does not give a picture of its size."""
    one_look = net.spec.max_tile == net.spec.minimum
    return net.run(np.ascontiguousarray(planes[None]))[0] if one_look else run_tiled(net, planes)


def _register(record: Build, files: Sequence[Path], folder: Path) -> Kept:
    """Move the files to their place, the record last: a build is there when that is."""
    stem = builds.stem(record.model, record.runtime, record.precision)
    sidecar = folder / f"{stem}.json"
    sidecar.unlink(missing_ok=True)
    for path in files:
        shutil.move(path, folder / path.name)
    partial = folder / f".{stem}.partial"
    partial.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    partial.replace(sidecar)
    return Kept(record, folder / f"{stem}{builds.ENDINGS[record.runtime][0]}")
