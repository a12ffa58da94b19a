"""A verified safetensors file to a torch module that is ready for inference, and what its caller must know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from enhancer.errors import ModelError
from enhancer.models.architecture import LoadedNet
from enhancer.models.architectures import all_own, own
from enhancer.models.entry import ModelEntry, Tiling
from enhancer.models.spandrel_nets import by_entry, described, loaded

__all__ = ["LoadedNet", "load_module", "load_net", "recognised"]

PLANES: Final = {
    "fidelity": ((3,), 3),
    "perceptual": ((3,), 3),
    "drawing": ((3,), 3),
    "restoration": ((3,), 3),
    "denoise": ((3, 4), 3),
    "jpeg": ((4,), 3),
    "scratches": ((3,), 1),
    "colour": ((3,), 16),
}
"""By purpose: how many channels a net may take, and how many it must give."""
FROM_FILE: Final = Tiling(max_tile=512)


def load_net(entry: ModelEntry, path: Path) -> LoadedNet:
    """The entry's net on the CPU, float32 whatever it is kept in, in evaluation mode and without gradients.

    Args:
        entry: which net; any but a metric's backbone.
        path: what :func:`enhancer.models.store.ensure` gave for it.

    Raises:
        ModelError: the file does not hold this net (``bad-weights``), or it cannot serve its entry's purpose
            (``wrong-purpose``).
    """
    if entry.purpose not in PLANES:
        raise ModelError(f"{entry.name} ({entry.purpose}) is no net for pictures", reason="wrong-purpose")
    try:
        net = _load(entry, {name: tensor.float() for name, tensor in load_file(path).items()})
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise ModelError(
            f"{path.name} does not hold {entry.architecture or entry.name}: {error}", reason="bad-weights"
        ) from error
    takes, gives = PLANES[entry.purpose]
    if net.spec.in_channels not in takes or net.spec.out_channels != gives:
        raise ModelError(
            f"{entry.name} takes {net.spec.in_channels} channels and gives {net.spec.out_channels}; "
            f"for {entry.purpose} it must take {' or '.join(map(str, takes))} and give {gives}",
            reason="wrong-purpose",
        )
    return net


def load_module(entry: ModelEntry, path: Path) -> torch.nn.Module:
    """The module alone of :func:`load_net`."""
    return load_net(entry, path).module


def recognised(state: Mapping[str, torch.Tensor], name: str) -> LoadedNet | None:
    """A net from weights that no catalogue entry describes; None where its architecture is unknown.

    Args:
        state: as a file holds them.
        name: what to call the net.
    """
    for architecture in all_own():
        module = architecture.recognise(state) if architecture.recognise else None
        if module is not None:
            spec = architecture.spec(module, name)
            module = module.float().eval().requires_grad_(False)
            return LoadedNet(module, replace(spec, max_tile=min(spec.max_tile, FROM_FILE.max_tile)))
    descriptor = described(state)
    return None if descriptor is None else loaded(descriptor, name, FROM_FILE)


def _load(entry: ModelEntry, state: dict[str, torch.Tensor]) -> LoadedNet:
    architecture = own(entry.architecture) if entry.architecture else None
    if architecture is None:
        return by_entry(entry, state)
    module = architecture.load(state, entry)
    return LoadedNet(module.eval().requires_grad_(False), architecture.spec(module, entry.name))
