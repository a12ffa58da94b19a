"""Training of super-resolution nets: where it starts from, and that it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from skimage import data
from torch.nn import functional

from enhancer.image import to_unit
from enhancer.models.architectures.plain import PlainNet, PlainShape
from enhancer.quality.metrics import psnr
from enhancer.training.pictures import list_pictures, load_picture, reduced
from enhancer.training.super_resolution import at_scale, run
from enhancer.training.teacher import outputs_of, write_outputs
from enhancer.training.weights import save_half

CONFIG = {
    "seed": 3,
    "reparameterise": True,
    "net": {"kind": "plain", "width": 8, "depth": 1, "scale": 2},
    "schedule": {"steps": 40, "batch": 4, "patch": 16, "rate": 2e-3, "warmup": 5, "validate_every": 20},
}


def _random_net(scale: int, depth: int = 2) -> PlainNet:
    torch.manual_seed(5)
    return PlainNet(PlainShape(width=8, depth=depth, scale=scale))


def test_a_net_of_half_the_scale_starts_as_the_larger_one_reduced() -> None:
    large, small = _random_net(4), PlainNet(PlainShape(width=8, depth=2, scale=2))
    small.load_state_dict(at_scale(large.state_dict(), 2))
    given = torch.rand(1, 3, 9, 7, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.allclose(small(given), functional.avg_pool2d(large(given), 2), atol=1e-5)


def test_weights_of_the_same_scale_stay() -> None:
    state = _random_net(4).state_dict()
    kept = at_scale(state, 4)
    assert all(torch.equal(kept[name], tensor) for name, tensor in state.items())


def test_a_scale_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="enlarges by 4 is no start for one that enlarges by 3"):
        at_scale(_random_net(4).state_dict(), 3)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    photograph = data.astronaut()
    for index in range(14):  # 12 of them are held out
        top, left = divmod(index, 4)
        Image.fromarray(photograph[top * 96 : top * 96 + 96, left * 96 : left * 96 + 96]).save(
            folder / f"{index:02}.png"
        )
    return folder


def test_a_short_run_beats_where_it_began_and_leaves_folded_weights(pictures: Path, tmp_path: Path) -> None:
    weights = run(CONFIG, [pictures], tmp_path / "out")
    curve = np.genfromtxt(tmp_path / "out" / "curve.csv", delimiter=",", names=True)
    assert curve["step"].tolist() == [20, 40]
    assert curve["psnr_y"][1] > curve["psnr_y"][0]
    net = PlainNet(PlainShape(width=8, depth=1, scale=2))
    net.load_state_dict(load_file(weights))


def test_a_teacher_is_followed_where_it_alone_knows(pictures: Path, tmp_path: Path) -> None:
    """A teacher that darkens everything: the more of the target is its own, the darker the net that learns from it."""
    taught = tmp_path / "taught"
    taught.mkdir()
    for path in list_pictures(pictures):
        for factor in (2, 3):
            small = reduced(load_picture(path, factor), factor)
            np.save(taught / f"{path.stem}.by{factor}.npy", small.repeat(2, axis=0).repeat(2, axis=1) // 2)
    held_out = reduced(load_picture(list_pictures(pictures)[3], 2), 2)
    given = torch.from_numpy(held_out.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    bright = []
    for share in (0.0, 1.0):
        net = PlainNet(PlainShape(width=8, depth=1, scale=2))
        weights = run({**CONFIG, "teacher_share": share}, [pictures], tmp_path / f"{share}", teacher=taught)
        net.load_state_dict({name: tensor.float() for name, tensor in load_file(weights).items()})
        with torch.inference_mode():
            bright.append(float(net(given).mean()))
    assert bright[1] < 0.85 * bright[0]


def test_a_teacher_enlarges_every_reduction_of_every_picture_once(pictures: Path, tmp_path: Path) -> None:
    assert write_outputs([pictures], "fast-x2", 2, tmp_path / "out", (3,)) == 28
    assert write_outputs([pictures], "fast-x2", 2, tmp_path / "out", (3,)) == 0
    path = list_pictures(pictures)[0]
    found = dict(outputs_of(path, tmp_path / "out"))
    assert {factor: output.shape for factor, output in found.items()} == {2: (96, 96, 3), 3: (64, 64, 3)}
    assert psnr(to_unit(found[2]), to_unit(load_picture(path))) > 28
    with pytest.raises(FileNotFoundError, match=r"no teacher's output of other\.png"):
        list(outputs_of(Path("other.png"), tmp_path / "out"))


def test_weights_of_another_kind_of_net_are_refused(pictures: Path, tmp_path: Path) -> None:
    other = save_half(
        {**_random_net(2, depth=1).state_dict(), "fusion.weight": torch.zeros(1)}, tmp_path / "other.safetensors"
    )
    with pytest.raises(ValueError, match="of another net"):
        run(CONFIG, [pictures], tmp_path / "out", start=other)
