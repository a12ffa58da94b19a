"""What bench_lowlight holds beside the preset: CLAHE, SCI and IAT, the nets from their authors' own files.

* CLAHE of the lightness (K. Zuiderveld, Graphics Gems IV, 1994), by OpenCV: clip limit 2, 8 x 8 tiles.
* SCI (L. Ma et al., "Toward Fast, Flexible, and Robust Low-Light Image Enhancement", CVPR 2022;
  github.com/vis-opt-group/SCI, MIT): ``weights/medium.pt`` and ``difficult.pt``.
* IAT (Z. Cui et al., "You Only Need 90K Parameters to Adapt Light", BMVC 2022;
  github.com/cuiziteng/Illumination-Adaptive-Transformer, Apache-2.0): ``IAT_enhance/best_Epoch_lol_v1.pth`` and
  ``best_Epoch_exposure.pth``.

They are run at the picture's size, in float32, on the processor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from enhancer.image import FloatPixels, to_unit
from enhancer.training.pictures import Bytes

FILES: Final = {
    "SCI medium": "sci-medium.pt",
    "SCI difficult": "sci-difficult.pt",
    "IAT LOL": "iat-lol_v1.pth",
    "IAT exposure": "iat-exposure.pth",
}
"""What each file is called in the folder of peers."""
HEADS: Final = 4
"""Of IAT's attention."""

Peer = Callable[[Bytes], FloatPixels]
Weights = dict[str, Any]


def peers(folder: Path) -> Iterator[tuple[str, Peer]]:
    """Every peer by name; one whose file is missing is reported and left out."""
    yield "CLAHE", clahe
    for name, file in FILES.items():
        if not (folder / file).exists():
            print(f"{name} is left out: {folder / file} is missing (see benchmarks/lowlight_peers.py for its source)")
            continue
        yield name, _by_net(folder / file, _sci if name.startswith("SCI") else _iat)


def clahe(given: Bytes) -> FloatPixels:
    """Contrast-limited adaptive histogram equalisation of CIELAB's lightness."""
    lab = cv2.cvtColor(given, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(lab[..., 0])
    return to_unit(np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8))


def _by_net(path: Path, net: Callable[[Any, Weights], Any]) -> Peer:
    import torch

    torch.set_num_threads(1)  # nets this small lose more by waiting for threads on a busy machine
    weights = torch.load(path, weights_only=True, map_location="cpu")

    def run(given: Bytes) -> FloatPixels:
        planes = torch.from_numpy(to_unit(given)).permute(2, 0, 1)[None]
        with torch.inference_mode():
            made = net(planes, weights)
        return np.ascontiguousarray(made[0].permute(1, 2, 0).clamp(0, 1).numpy(), np.float32)

    return run


def _sci(planes: Any, weights: Weights) -> Any:
    """SCI at inference: the picture over the illumination that one convolutional block estimates."""
    from torch.nn.functional import relu

    first = relu(_conv(planes, weights, "enhance.in_conv.0", padding=1))
    second = _conv(first, weights, "enhance.conv.0", padding=1)
    features = first + relu(_batch_norm(second, weights, "enhance.conv.1"))
    light = _conv(features, weights, "enhance.out_conv.0", padding=1).sigmoid() + planes
    return planes / light.clamp(0.0001, 1)


def _iat(planes: Any, weights: Weights) -> Any:
    """IAT: a local branch multiplies and adds, a global one gives a colour matrix and a gamma."""
    from torch.nn.functional import leaky_relu

    first = leaky_relu(_conv(planes, weights, "local_net.conv1", padding=1), 0.2)
    multiply, add = first, first
    for place in range(3):
        multiply = _iat_block(multiply, weights, f"local_net.mul_blocks.{place}")
        add = _iat_block(add, weights, f"local_net.add_blocks.{place}")
    multiply = _conv(multiply + first, weights, "local_net.mul_end.0", padding=1).relu()
    add = _conv(add + first, weights, "local_net.add_end.0", padding=1).tanh()
    gamma, colour = _iat_global(planes, weights)
    local = (planes * multiply + add).permute(0, 2, 3, 1)
    return ((local @ colour[0].T).clamp(1e-8, 1) ** gamma[0]).permute(0, 3, 1, 2)


def _iat_block(x: Any, weights: Weights, at: str) -> Any:
    from torch.nn.functional import gelu

    def norm(values: Any, which: str) -> Any:
        coloured = values.permute(0, 2, 3, 1) @ weights[f"{at}.{which}.color"].T
        scaled = coloured * weights[f"{at}.{which}.alpha"][:, None] + weights[f"{at}.{which}.beta"][:, None]
        return scaled.permute(0, 3, 1, 2)

    x = x + _conv(x, weights, f"{at}.pos_embed", padding=1, groups=16)
    mixed = _conv(norm(x, "norm1"), weights, f"{at}.conv1")
    mixed = _conv(_conv(mixed, weights, f"{at}.attn", padding=2, groups=16), weights, f"{at}.conv2")
    x = x + weights[f"{at}.gamma_1"] * mixed
    hidden = gelu(_conv(norm(x, "norm2"), weights, f"{at}.mlp.fc1"))
    return x + weights[f"{at}.gamma_2"] * _conv(hidden, weights, f"{at}.mlp.fc2")


def _iat_global(planes: Any, weights: Weights) -> tuple[Any, Any]:
    """Gamma (1 x 1) and colour matrix (1 x 3 x 3)."""
    from torch.nn.functional import gelu, layer_norm, linear

    def dense(values: Any, name: str) -> Any:
        return linear(values, weights[f"global_net.{name}.weight"], weights.get(f"global_net.{name}.bias"))

    def normed(values: Any, name: str) -> Any:
        return layer_norm(values, (64,), weights[f"global_net.{name}.weight"], weights[f"global_net.{name}.bias"])

    at = "global_net.conv_large.proj"
    x = gelu(_batch_norm(_conv(planes, weights, f"{at}.0", stride=2, padding=1), weights, f"{at}.1"))
    x = _batch_norm(_conv(x, weights, f"{at}.3", stride=2, padding=1), weights, f"{at}.4")
    x = x + _conv(x, weights, "global_net.generator.pos_embed", padding=1, groups=64)
    tokens = normed(x.flatten(2).transpose(1, 2), "generator.norm1")
    keys, values = (
        dense(tokens, f"generator.attn.{name}").reshape(1, -1, HEADS, 16).permute(0, 2, 1, 3) for name in "kv"
    )
    # The authors' code views the queries so, heads before tokens, and their weights were trained with it.
    queries = weights["global_net.generator.attn.q"].view(1, -1, HEADS, 16).permute(0, 2, 1, 3)
    attention = ((queries @ keys.transpose(-2, -1)) * 16**-0.5).softmax(dim=-1)
    x = dense((attention @ values).transpose(1, 2).reshape(1, 10, 64), "generator.attn.proj")
    x = x + dense(gelu(dense(normed(x, "generator.norm2"), "generator.mlp.fc1")), "generator.mlp.fc2")
    gamma = dense(x[:, :1], "gamma_linear")[..., 0] + weights["global_net.gamma_base"]
    colour = dense(x[:, 1:], "color_linear")[..., 0].view(1, 3, 3) + weights["global_net.color_base"]
    return gamma, colour


def _conv(x: Any, weights: Weights, name: str, **options: int) -> Any:
    from torch.nn.functional import conv2d

    return conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **options)


def _batch_norm(x: Any, weights: Weights, name: str) -> Any:
    from torch.nn.functional import batch_norm

    mean, variance, scale, shift = (
        weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return batch_norm(x, mean, variance, scale, shift)
