"""Nets that were built for a runtime: where they lie, and what was measured of them. Imports no runtime.

A build is a file or two of a runtime's own and a JSON :class:`Build` beside them, written last: a build is there when
that is. Some are carried by this package (folder ``bundled/builds``), others are made here
(``enhancer models build``, :mod:`enhancer.deployment`) and lie in ``models_path/builds``. A build of other weights than
the catalogue names now is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from enhancer.errors import ModelError
from enhancer.models.download import sha256_of
from enhancer.models.entry import BUNDLED, ModelEntry
from enhancer.models.spec import NetSpec
from enhancer.settings import Settings

Runtime = Literal["openvino", "onnxruntime", "tensorrt"]
BuildPrecision = Literal["fp32", "fp16", "int8"]

BUNDLED_BUILDS: Final = BUNDLED / "builds"
ENDINGS: Final[dict[str, tuple[str, ...]]] = {
    "openvino": (".xml", ".bin"),
    "onnxruntime": (".onnx",),
    "tensorrt": (".onnx",),
}
"""Files of a build by runtime, the one that is opened first. TensorRT's is what its engine is made from."""


class Build(BaseModel):
    """What a build is.

    Attributes:
        source_sha256: of the weights it was made from, as the catalogue has it.
        files: sha256 by file name.
        spec: of the net, so that it can run without being loaded in torch.
        made_with: version of each library that had a part in it.
        max_difference: from torch in float32, largest of all values of the pictures it was checked on, in [0, 1]; of a
            build in float only.
        psnr_float: dB on those pictures in float32; with `psnr`, of a quantised build only.
        psnr: dB of the build.
        checked_on: names of those pictures.
        calibrated_on: names of the pictures whose activations set the ranges; none is in `checked_on`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    source_sha256: str
    runtime: Runtime
    precision: BuildPrecision
    files: dict[str, str]
    spec: NetSpec
    made_with: dict[str, str]
    made_at: datetime
    max_difference: float | None = None
    psnr_float: float | None = None
    psnr: float | None = None
    checked_on: tuple[str, ...]
    calibrated_on: tuple[str, ...] = ()

    @property
    def loss(self) -> float | None:
        """DB of PSNR that quantising costs; negative where it gains."""
        if self.psnr is None or self.psnr_float is None:
            return None
        return self.psnr_float - self.psnr


@dataclass(frozen=True, slots=True)
class Kept:
    """A build and the file that its runtime opens."""

    build: Build
    path: Path


_checked: set[tuple[str, str, int, int]] = set()
"""(path, expected sha256, size, mtime in ns) of the files whose hash this process has checked."""


def folders(settings: Settings) -> tuple[Path, Path]:
    """Where builds are looked for: those made on this machine first, then this package's own."""
    return settings.models_path / "builds", BUNDLED_BUILDS


def stem(name: str, runtime: Runtime, precision: BuildPrecision) -> str:
    """Name of a build's files without their endings."""
    return f"{name}.{runtime}-{precision}"


def find(entry: ModelEntry, runtime: Runtime, precision: BuildPrecision, settings: Settings) -> Kept | None:
    """The entry's build, its files checked at their first use in a process; None where there is none.

    Raises:
        ModelError: it is there, and damaged (reason ``bad-weights``).
    """
    for folder in folders(settings):
        sidecar = folder / f"{stem(entry.name, runtime, precision)}.json"
        build = _read(sidecar)
        if build is not None and build.source_sha256 == entry.sha256:
            for name, sha256 in build.files.items():
                _check(folder / name, sha256, entry.name)
            return Kept(build, folder / f"{sidecar.stem}{ENDINGS[runtime][0]}")
    return None


def listed(settings: Settings) -> list[Kept]:
    """All builds that can be read, this machine's before the package's; their files are not checked."""
    found = []
    for folder in folders(settings):
        for sidecar in sorted(folder.glob("*.json")):
            build = _read(sidecar)
            if build is not None:
                found.append(Kept(build, folder / f"{sidecar.stem}{ENDINGS[build.runtime][0]}"))
    return found


def _read(sidecar: Path) -> Build | None:
    try:
        return Build.model_validate_json(sidecar.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ModelError(
            f"{sidecar} does not describe a build: {type(error).__name__}; delete it, or build again",
            reason="bad-weights",
        ) from error


def _check(path: Path, sha256: str, model: str) -> None:
    again = f"`enhancer models build {model}` makes it again"
    try:
        stat = path.stat()
        seen = (str(path), sha256, stat.st_size, stat.st_mtime_ns)
        if seen in _checked:
            return
        found = sha256_of(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}; {again}", reason="bad-weights") from error
    if found != sha256:
        raise ModelError(f"{path} is not the file that was built: {again}", reason="bad-weights")
    _checked.add(seen)
