"""A verified safetensors file to a torch module that is ready for inference, and what its caller must know of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from enhancer.errors import ModelError
from enhancer.models import colour, damage_net, ffdnet
from enhancer.models.catalogue import ModelEntry
from enhancer.models.plain import PlainNet
from enhancer.models.plain_shape import PlainShape
from enhancer.models.spec import NetSpec

ESRGAN_HALO: Final = 32
"""An RRDBNet's 351 convolutions reach further, but their residuals are scaled down: what lies beyond hardly counts."""
ESRGAN_MAX_TILE: Final = 256
COMPACT_HALO: Final = 34
"""One pixel for each of the 34 convolutions: exact."""
COMPACT_MAX_TILE: Final = 256
DAT_WINDOW: Final = 32
"""The long side of DAT-light's 8 x 32 attention windows: tiles that start on its multiples keep the picture's grid."""
DAT_HALO: Final = 32
DAT_MAX_TILE: Final = 256
"""One such tile takes 0.75 GB beside the 0.8 GB of a process that has torch and the net loaded (measured, x4)."""


def load_module(entry: ModelEntry, path: Path) -> torch.nn.Module:
    """The entry's net on the CPU, float32 whatever it is kept in, in evaluation mode and without gradients.

    Args:
        entry: which net; any but a metric's backbone.
        path: what :func:`enhancer.models.store.ensure` gave for it.

    Raises:
        ModelError: the file does not hold this net (``bad-weights``), or the entry is no net for pictures
            (``wrong-purpose``).
    """
    try:
        module = _module(entry, {name: tensor.float() for name, tensor in load_file(path).items()})
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise ModelError(f"{path.name} does not hold {entry.architecture}: {error}", reason="bad-weights") from error
    return module.eval().requires_grad_(False)


def _module(entry: ModelEntry, state: dict[str, torch.Tensor]) -> torch.nn.Module:
    """The entry's net with the weights in `state`, which are float32."""
    module: torch.nn.Module
    match entry.architecture:
        case "DAT" | "ESRGAN" | "Compact":
            return _by_spandrel(entry, state)
        case "FFDNet":
            module = ffdnet.FFDNet()
        case "Plain":
            module = PlainNet(PlainShape.of(state, scale=entry.scale, conditions=entry.conditions, fold=entry.fold))
        case "Damage":
            return damage_net.load(state)
        case "Colour":
            return colour.load(state)
        case _:
            raise ModelError(f"{entry.name} ({entry.purpose}) is no net for pictures", reason="wrong-purpose")
    module.load_state_dict(state)
    return module


def spec_of(entry: ModelEntry, module: torch.nn.Module) -> NetSpec:
    """What the tiler and the stages must know of a loaded net.

    FFDNet's halo is its exact reach. DAT has no exact one, as its channel attention looks at the whole tile. Measured
    on 64 x 128 pixels of a photograph, x4, values in [0, 1], tiles of 96 with a halo of 32 differ from the whole
    picture by 5e-4 in the mean and 0.039 at most (without halo: 0.215 at most); the PSNR against the truth is 30.94
    instead of 30.92 dB. The default tile, :data:`DAT_MAX_TILE`, has far fewer seams than that.

    Raises:
        ModelError: the module is of no known architecture (``wrong-purpose``).
    """
    if isinstance(module, ffdnet.FFDNet):
        return NetSpec(
            entry.name,
            scale=1,
            in_channels=4,
            out_channels=3,
            halo=ffdnet.HALO,
            multiple_of=2,
            minimum=2,
            max_tile=ffdnet.MAX_TILE,
        )
    if isinstance(module, PlainNet):
        return module.shape.spec(entry.name)
    if isinstance(module, damage_net.DamageNet):
        return NetSpec(
            entry.name,
            scale=1,
            in_channels=damage_net.COLOURS,
            out_channels=1,
            halo=damage_net.HALO,
            multiple_of=damage_net.MULTIPLE,
            minimum=damage_net.MULTIPLE,
            max_tile=damage_net.MAX_TILE,
        )
    if isinstance(module, colour.ColourNet):
        return NetSpec(entry.name, scale=1, in_channels=3, out_channels=colour.OUTPUTS, halo=0, minimum=colour.LOOK)
    if entry.architecture == "Compact":
        return NetSpec(
            entry.name, entry.scale, in_channels=3, out_channels=3, halo=COMPACT_HALO, max_tile=COMPACT_MAX_TILE
        )
    if entry.architecture in ("DAT", "ESRGAN"):
        dat = entry.architecture == "DAT"
        return NetSpec(
            entry.name,
            scale=entry.scale,
            in_channels=3,
            out_channels=3,
            halo=DAT_HALO if dat else ESRGAN_HALO,
            multiple_of=DAT_WINDOW if dat else 1,
            minimum=DAT_WINDOW if dat else 1,
            max_tile=DAT_MAX_TILE if dat else ESRGAN_MAX_TILE,
        )
    raise ModelError(f"{entry.name} is no net for pictures", reason="wrong-purpose")


def _by_spandrel(entry: ModelEntry, state: dict[str, torch.Tensor]) -> torch.nn.Module:
    """The net whose hyperparameters spandrel reads off the shapes in `state`."""
    from spandrel import ModelLoader, UnsupportedModelError

    try:
        descriptor = ModelLoader(device="cpu").load_from_state_dict(state)
    except UnsupportedModelError as error:
        raise ModelError(f"the weights of {entry.name} are of no known architecture", reason="bad-weights") from error
    found = (descriptor.architecture.id, descriptor.scale)
    if found != (entry.architecture, entry.scale):
        raise ModelError(
            f"the weights of {entry.name} are {found[0]} x{found[1]}, "
            f"the catalogue says {entry.architecture} x{entry.scale}",
            reason="bad-weights",
        )
    module: torch.nn.Module = descriptor.model
    return module
