"""Real-ESRGAN's general nets: read from ncnn without a layout, blended by their weights, and known by both."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.numpy import load_file

from enhancer.errors import ModelError
from enhancer.models.catalogue import Catalogue, load_catalogue
from enhancer.models.convert import convert
from enhancer.models.entry import BlendSource
from enhancer.models.loading import load_module
from enhancer.models.ncnn import read_weights
from enhancer.models.store import ensure
from enhancer.settings import Settings

FIRST, SECOND, HALF = "general-x4v3", "general-wdn-x4v3", "general-half-x4v3"


@pytest.fixture
def mirrored(shared_models: Path, tmp_path: Path) -> Settings:
    """Settings whose mirror holds both nets as published."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    wdn = "RealESRGAN_General_WDN_x4_v3.bin"
    (mirror / wdn).symlink_to(shared_models / wdn)
    settings = Settings(home=tmp_path / "home", model_mirror=str(mirror), offline=True)
    # The archive of the other is large: what it holds is put where it would be kept.
    entry = load_catalogue().get(FIRST)
    published = shared_models / "RealESRGAN_General_x4_v3.bin"
    assert hashlib.sha256(published.read_bytes()).hexdigest() == entry.sha256
    kept = mirror / f"{FIRST}-{entry.sha256[:12]}.safetensors"
    convert(published, kept, "ncnn-compact")
    sidecar = {
        "name": FIRST,
        "source_sha256": entry.sha256,
        "sha256": hashlib.sha256(kept.read_bytes()).hexdigest(),
        "size": kept.stat().st_size,
        "source": "a test",
        "fetched_at": "2026-01-01T00:00:00Z",
    }
    kept.with_suffix(".json").write_text(json.dumps(sidecar))
    return settings


def test_the_known_layout_is_that_of_the_published_param(shared_models: Path, tmp_path: Path) -> None:
    weights = shared_models / "RealESRGAN_General_WDN_x4_v3.bin"
    convert(weights, tmp_path / "ours.safetensors", "ncnn-compact")
    ours = list(load_file(tmp_path / "ours.safetensors").items())
    theirs = {
        f"body.{place}.{key}": array
        for place, (_, arrays) in enumerate(read_weights(weights.with_suffix(".param"), weights))
        for key, array in arrays.items()
    }
    assert dict(ours).keys() == theirs.keys()
    assert all((array == theirs[name]).all() for name, array in ours)


def test_a_blend_is_the_mean_of_the_weights_and_runs(mirrored: Settings) -> None:
    catalogue = load_catalogue()
    first, second, half = (load_file(ensure(catalogue.get(name), mirrored)) for name in (FIRST, SECOND, HALF))
    for name, array in half.items():
        expected = (first[name].astype(np.float64) + second[name]) / 2
        assert np.abs(array - expected).max() < 1e-6
    entry = catalogue.get(HALF)
    net = load_module(entry, ensure(entry, mirrored))
    with torch.inference_mode():
        assert net(torch.full((1, 3, 8, 8), 0.5)).shape == (1, 3, 32, 32)


def test_its_hash_knows_both_nets_and_the_share() -> None:
    source = load_catalogue().get(HALF).blend
    assert source is not None
    changed = [
        source.model_copy(update={"share": 0.25}),
        source.model_copy(update={"first_sha256": "0" * 64}),
        source.model_copy(update={"second_sha256": "0" * 64}),
    ]
    assert len({one.sha256 for one in (source, *changed)}) == 4


def test_a_wrong_hash_is_refused() -> None:
    entry = load_catalogue().get(HALF)
    with pytest.raises(ValidationError, match="its sha256 is"):
        Catalogue.model_validate({"model": [{**entry.model_dump(), "sha256": "0" * 64}]})


def test_a_restoring_net_is_found_by_scale_and_others_are_refused() -> None:
    catalogue = load_catalogue()
    assert catalogue.serving("restoration", 2, FIRST).scale == 4
    assert [catalogue.serving("restoration", scale).scale for scale in (1, 3, 8)] == [1, 4, 4]
    with pytest.raises(ModelError, match="cannot be used for restoration"):
        catalogue.serving("restoration", 4, "fast-x4")
    assert isinstance(catalogue.get(HALF).blend, BlendSource)
