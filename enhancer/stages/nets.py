"""The nets of a process: loaded when first used, kept for its life, accounted for by hash. Imports no torch itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from enhancer.backends.base import Net
from enhancer.backends.choice import open_net, runs_on_gpu
from enhancer.backends.joining import JoinedNet
from enhancer.errors import EnhancerError, ModelError
from enhancer.models.catalogue import (
    ModelEntry,
    fidelity_entry_beside,
    load_catalogue,
    super_resolution_entry,
)
from enhancer.models.download import sha256_of
from enhancer.options import Precision
from enhancer.reasons import Reason
from enhancer.settings import Settings

FILE_ENDING: Final = ".safetensors"
"""A recipe's denoiser whose name ends so is a file and no entry of the catalogue."""


def denoiser_weights(name: str | None = None) -> tuple[str, str]:
    """Name and sha256 of the denoiser that a recipe names: an entry of the catalogue, or a file.

    Raises:
        ModelError: as :func:`denoiser_entry`, or the file cannot be read (``bad-weights``).
    """
    if name is not None and name.endswith(FILE_ENDING):
        sha256 = _sha256_of(Path(name))
        return _file_name(Path(name), sha256), sha256
    entry = denoiser_entry(name)
    return entry.name, entry.sha256


def denoiser_entry(name: str | None = None) -> ModelEntry:
    """The catalogue's denoiser: the one called `name`, or the default.

    Raises:
        ModelError: `name` is unknown (``unknown-model``) or is no denoiser (``wrong-purpose``).
    """
    catalogue = load_catalogue()
    if name is None:
        return catalogue.default("denoise")
    entry = catalogue.get(name)
    if entry.purpose != "denoise":
        raise ModelError(f"{name!r} is a {entry.purpose} model and cannot denoise a picture", reason="wrong-purpose")
    return entry


class Nets:
    """Gives nets that are ready to run. Safe to share between threads; their tiles share batches where a net gains.

    Args:
        settings: model cache, mirror and device.
        device: ``auto``, ``cpu`` or ``cuda``; None: the settings' own.
        sr_path: weights (.pth or .safetensors, any architecture that spandrel recognises) that are used for every
            super-resolution in place of the catalogue's.
        dn_path: likewise for denoising; the net takes RGB, or RGB and a noise map.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        device: str | None = None,
        sr_path: str | Path | None = None,
        dn_path: str | Path | None = None,
    ) -> None:
        self._settings = settings
        self._device = device or settings.device
        self._sr_path = Path(sr_path) if sr_path else None
        self._dn_path = Path(dn_path) if dn_path else None
        self._lock = threading.RLock()
        self._nets: dict[tuple[str, Precision], Net] = {}
        self._hashes: dict[str, str] = {}
        self._names: dict[Path, str] = {}

    def super_resolution(self, scale: float, name: str | None = None, precision: Precision = "auto") -> Net:
        """The net to enlarge by `scale` (its own scale may differ): `name`, or the catalogue's choice.

        Of a net of the catalogue, `precision` decides with device and builds what runs it
        (:mod:`enhancer.backends.choice`); a net from a file runs in torch, in float32.

        Raises:
            ModelError: it is unknown, cannot be fetched, or its file cannot be used.
        """
        if self._sr_path:
            return self._from_file(self._sr_path, "sr_path", inputs=(3,))
        return self._from_catalogue(super_resolution_entry(scale, name), precision)

    def fidelity_beside(self, scale: float, name: str | None = None, precision: Precision = "auto") -> Net | None:
        """The fidelity net that the perceptual net `name` is mixed with and held against; None: `name` is none.

        What an explicit file holds is not known, so it has none beside it either.

        Raises:
            ModelError: as :meth:`super_resolution`.
        """
        entry = None if self._sr_path else fidelity_entry_beside(scale, name)
        return None if entry is None else self._from_catalogue(entry, precision)

    def drawing(self, scale: float, precision: Precision = "auto") -> Net:
        """The net that enlarges by `scale` (its own may differ) what was drawn, written or rendered.

        Raises:
            ModelError: its file, which this package carries, is damaged.
        """
        return self._from_catalogue(load_catalogue().serving("drawing", scale), precision)

    def restoration(self, scale: float, name: str | None = None, precision: Precision = "auto") -> Net:
        """The net that restores damaged pictures and enlarges them by `scale`: `name`, or the catalogue's default.

        Raises:
            ModelError: as :meth:`super_resolution`.
        """
        return self._from_catalogue(load_catalogue().serving("restoration", scale, name), precision)

    def denoiser(self, name: str | None = None, precision: Precision = "auto") -> Net:
        """The denoiser `name`, an entry of the catalogue or a .safetensors file; None: the default one.

        Raises:
            ModelError: as :meth:`super_resolution`.
        """
        if self._dn_path:
            return self._from_file(self._dn_path, "dn_path", inputs=(3, 4))
        if name is not None and name.endswith(FILE_ENDING):
            return self._from_file(Path(name), "denoise_model", inputs=(3, 4))
        return self._from_catalogue(denoiser_entry(name), precision)

    def jpeg_repair(self, precision: Precision = "auto") -> Net:
        """The net against JPEG artefacts: RGB and the mean quantiser step to RGB.

        Raises:
            ModelError: its file, which this package carries, is damaged.
        """
        return self._from_catalogue(load_catalogue().default("jpeg"), precision)

    def damage_detector(self) -> Net:
        """The net that finds scratches and dust: RGB to the log odds that a pixel is damaged.

        Raises:
            ModelError: its file, which this package carries, is damaged.
        """
        return self._from_catalogue(load_catalogue().default("scratches"), "fp32")

    def colour_restorer(self) -> Net:
        """The net that says how to restore a faded print: 48 x 48 pixels of it to the numbers of a function.

        Raises:
            ModelError: its file, which this package carries, is damaged.
        """
        return self._from_catalogue(load_catalogue().default("colour"), "fp32")

    @property
    def gains_by_dynamic_batching(self) -> bool:
        """Whether several pictures at once, each in a thread of its own, are faster than one after another.

        Raises:
            RequestError: there is no such device (reason ``bad-device``).
        """
        return runs_on_gpu(self._settings, self._device)

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of the nets loaded so far, in order."""
        return tuple(dict.fromkeys(name for name, _ in self._nets))

    def sha256(self, name: str) -> str:
        """Hash of the weights of a loaded net: the catalogue's, or that of the explicit file."""
        return self._hashes[name]

    @property
    def from_files(self) -> bool:
        """Whether explicit files serve a purpose in place of the catalogue's nets."""
        return self._sr_path is not None or self._dn_path is not None

    @property
    def replaced(self) -> dict[str, str]:
        """Which purposes explicit files serve, ``super-resolution`` and ``denoising``, with the sha256 of the file.

        Raises:
            ModelError: a file cannot be read.
        """
        files = {"super-resolution": self._sr_path, "denoising": self._dn_path}
        return {purpose: _sha256_of(path) for purpose, path in files.items() if path}

    def _from_catalogue(self, entry: ModelEntry, precision: Precision) -> Net:
        def load() -> Net:
            return open_net(entry, self._settings, self._device, precision)

        return self._once(entry.name, precision, entry.sha256, load)

    def _from_file(self, path: Path, option: str, *, inputs: tuple[int, ...]) -> Net:
        with self._lock:
            if path not in self._names:
                sha256 = _sha256_of(path)
                name = _file_name(path, sha256)
                self._once(name, "fp32", sha256, lambda: _load_file(path, name, option, inputs, self._device))
                self._names[path] = name
            return self._nets[self._names[path], "fp32"]

    def _once(self, name: str, precision: Precision, sha256: str, load: Callable[[], Net]) -> Net:
        with self._lock:
            if (name, precision) not in self._nets:
                net = load()
                self._nets[name, precision] = net if net.spec.batch_tiles == 1 else JoinedNet(net)
                self._hashes[name] = sha256
            return self._nets[name, precision]


class NetNeededError(EnhancerError):
    """Something asked for a net where none may run."""

    default_reason = Reason.NET_NEEDED


class NoNets(Nets):
    """Stands where nets would, in a place where none may run: every request raises :class:`NetNeededError`."""

    def _once(self, name: str, precision: Precision, sha256: str, load: Callable[[], Net]) -> Net:
        raise NetNeededError(f"the net {name} is needed, and none may run here")


def _file_name(path: Path, sha256: str) -> str:
    return f"{path.stem}-{sha256[:12]}"


def _sha256_of(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise ModelError(f"cannot read the weights {path}: {error.strerror}", reason="bad-weights") from error


def _load_file(path: Path, name: str, option: str, inputs: tuple[int, ...], device: str) -> Net:
    """A net from a file, its architecture recognised from its weights. No pickle in it is executed."""
    from spandrel import ModelLoader

    from enhancer.backends.torch_backend import TorchNet
    from enhancer.models.loading import recognised

    try:
        state = ModelLoader("cpu").load_state_dict_from_file(path)
    except Exception as error:  # a damaged file raises whatever the reader of its format feels like
        raise ModelError(f"{option}: {path.name} cannot be loaded: {error}", reason="bad-weights") from error
    net = recognised(state, name)
    if net is None:
        raise ModelError(f"{option}: {path.name} is of no architecture that is known", reason="bad-weights")
    spec = net.spec
    if spec.in_channels not in inputs or spec.out_channels != 3:
        raise ModelError(
            f"{option}: {path.name} takes {spec.in_channels} channels and gives {spec.out_channels}; needed is RGB to "
            "RGB",
            reason="wrong-purpose",
        )
    if option != "sr_path" and spec.scale != 1:
        raise ModelError(f"{option}: {path.name} enlarges by {spec.scale}; a denoiser must not", reason="wrong-purpose")
    return TorchNet(net.module, spec, device)
