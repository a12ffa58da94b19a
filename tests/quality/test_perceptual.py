"""LPIPS against the figures that its authors' example prints, and the placing of crops."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load_file, save_file

from enhancer.errors import ModelError
from enhancer.image import to_unit
from enhancer.models.catalogue import load_catalogue
from enhancer.models.store import ensure
from enhancer.quality.lpips_net import LpipsNet
from enhancer.quality.perceptual import LpipsScorer, crop_boxes
from enhancer.settings import Settings
from tests.model_cache import MODEL_CACHE


@pytest.mark.parametrize(("net", "far", "near"), [("alex", 0.722, 0.138), ("vgg", 0.569, 0.422)])
def test_upstream_example_pair(pictures_folder, scorer_of, net, far, near):
    reference, worse, better = (
        to_unit(np.asarray(PIL.Image.open(pictures_folder / "lpips" / f"ex_{name}.png").convert("RGB")))
        for name in ("ref", "p0", "p1")
    )
    scorer = scorer_of(net)
    assert scorer.distance(reference, worse) == pytest.approx(far, abs=6e-4)
    assert scorer.distance(reference, better) == pytest.approx(near, abs=6e-4)
    assert scorer.distance(reference, reference) == 0


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_distances_are_those_of_the_authors_package(net, scorer_of, photos):
    lpips = pytest.importorskip("lpips")
    ours = scorer_of(net)._module
    theirs = lpips.LPIPS(net=net, pretrained=True, pnet_rand=True, verbose=False).eval()
    weights = load_file(ensure(load_catalogue().get(f"lpips-{net}"), Settings(model_dir=MODEL_CACHE)))
    weights = {name.removeprefix("features."): tensor for name, tensor in weights.items()}
    names = [name for name in theirs.state_dict() if name.startswith("net.slice")]
    missing, unknown = theirs.load_state_dict({name: weights[name.split(".", 2)[2]] for name in names}, strict=False)
    assert not unknown
    assert not [name for name in missing if name.startswith("net.slice")]
    rng = np.random.default_rng(5)
    a = rng.uniform(0, 1, (3, 97, 131, 3)).astype(np.float32)
    a[1] = photos["astronaut"][:97, :131]
    b = np.clip(a + rng.normal(0, 0.1, a.shape), 0, 1).astype(np.float32)
    b[2] = a[2]
    with torch.inference_mode():
        signed = (torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()) * 2 - 1 for pictures in (a, b))
        expected = theirs(*signed).flatten().numpy()
    np.testing.assert_allclose(ours.distances(list(a), list(b)), expected, rtol=1e-5, atol=1e-7)
    assert expected[0] > 0.01
    assert expected[2] == 0


def test_scoring_loads_neither_torch_nor_scikit_images_metrics():
    code = (
        "import sys, numpy as np; from enhancer.quality.perceptual import LpipsScorer; import enhancer.batch.worker.evaluate;"
        "from enhancer.quality.metrics import psnr, ssim; a = np.full((16, 16, 3), 0.5, np.float32); psnr(a, a); ssim(a, a);"
        "print([m for m in ('lpips', 'torch', 'torchvision', 'skimage.metrics', 'scipy.stats') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_grey_is_replicated(scorer, photos):
    grey = photos["camera"]
    blurred = grey[::-1]
    expected = scorer.distance(np.repeat(grey, 3, axis=2), np.repeat(blurred, 3, axis=2))
    assert scorer.distance(grey, blurred) == expected > 0.1


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 40, 1), (31, 31, 3), (33, 20, 3)])
def test_tiny_pictures_are_scored(scorer, shape):
    a = np.random.default_rng(0).random(shape, dtype=np.float32)
    assert scorer.distance(a, a) == 0
    assert 0 < scorer.distance(a, 1 - a) < 2


def test_crops_are_averaged(scorer):
    rng = np.random.default_rng(1)
    a, b = rng.random((300, 600, 3), dtype=np.float32), rng.random((300, 600, 3), dtype=np.float32)
    b[:, 300:] = a[:, 300:]
    left = scorer.distance(a[22:278, 22:278], b[22:278, 22:278])
    assert left > 0.05
    # Two crops in the middles of the halves, of which the right one is equal.
    assert scorer.distance(a, b, crops=2) == pytest.approx(left / 2, rel=1e-5)
    assert scorer.distance(a, b, crops=0) != pytest.approx(left / 2, rel=1e-3)


@pytest.mark.parametrize(
    ("height", "width", "crops", "starts"),
    [
        (256, 256, 4, [(0, 0)]),
        (100, 30, 4, [(0, 0)]),
        (1000, 1000, 0, [(0, 0)]),
        (1000, 1000, 1, [(372, 372)]),
        (1024, 1024, 4, [(128, 128), (128, 640), (640, 128), (640, 640)]),
        (300, 300, 4, [(0, 0), (0, 44), (44, 0), (44, 44)]),
        (100, 1024, 2, [(0, 128), (0, 640)]),
        (1536, 256, 3, [(128, 0), (640, 0), (1152, 0)]),
    ],
)
def test_crops_sit_in_the_middle_of_equal_cells(height, width, crops, starts):
    boxes = crop_boxes(height, width, crops)
    assert [(y.start, x.start) for y, x in boxes] == starts
    whole = crops == 0 or max(height, width) <= 256
    for y, x in boxes:
        assert y.stop - y.start == (height if whole else min(height, 256))
        assert x.stop - x.start == (width if whole else min(width, 256))
        assert y.stop <= height
        assert x.stop <= width


def test_protocol_names_net_and_crops():
    assert LpipsScorer(Settings(lpips_net="vgg", lpips_crops=0)).protocol() == {
        "net": "vgg",
        "version": "0.1",
        "crops": 0,
        "crop_size": None,
    }
    assert LpipsScorer(Settings(lpips_net="alex", lpips_crops=9)).protocol()["crop_size"] == 256


def test_what_is_no_picture_in_range_is_refused():
    scorer = LpipsScorer(Settings(model_dir=MODEL_CACHE))
    a = np.full((40, 40, 3), 0.5, np.float32)
    with pytest.raises(ValueError, match="outside the data range"):
        scorer.distance(a, a * 4)
    with pytest.raises(ValueError, match="outside the data range"):
        scorer.distance(a * 2 - 1.5, a)
    with pytest.raises(TypeError):
        scorer.distance((a * 255).astype(np.uint8), a)
    with pytest.raises(ValueError, match="cannot be compared"):
        scorer.distance(a, a[:, :30])
    with pytest.raises(ValueError, match="crops"):
        scorer.distance(a, a, crops=-1)


@pytest.mark.parametrize("state", [{}, {"features.0.weight": torch.zeros(64, 3, 3, 3)}])
def test_weights_that_do_not_fit_are_refused(tmp_path, state):
    path = tmp_path / "alex.safetensors"
    save_file(state, path)
    with pytest.raises(ModelError, match=r"alex\.safetensors"):
        LpipsNet("alex", path)


def test_the_gate_needs_no_net():
    code = "import sys, enhancer.quality.gate; print([m for m in ('torch', 'lpips', 'cv2', 'skimage') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
