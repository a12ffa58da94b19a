"""A user's catalogue file: one entry adds a net, errors name file, entry and key, and nothing is shadowed by accident."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

from enhancer.backends.choice import open_net
from enhancer.errors import ModelError
from enhancer.identity import weights_for
from enhancer.models.catalogue import load_catalogue
from enhancer.models.store import ensure, status
from enhancer.recipe import preset
from enhancer.settings import Settings, get_settings

ENTRY = """
[[model]]
name = "mine-x2"
purpose = "fidelity"
scale = 2
sha256 = "{sha256}"
format = "safetensors"
{more}

[[model.sources]]
kind = "file"
path = "nets/mine.safetensors"
"""


@pytest.fixture
def net() -> SRVGGNetCompact:
    torch.manual_seed(0)
    return SRVGGNetCompact(num_feat=8, num_conv=2, upscale=2).half().float().eval()


@pytest.fixture
def weights(tmp_path: Path, net: SRVGGNetCompact) -> Path:
    path = tmp_path / "nets" / "mine.safetensors"
    path.parent.mkdir()
    save_file(net.state_dict(), path)
    return path


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Makes a text the user's catalogue."""

    def use(text: str) -> Path:
        path = tmp_path / "nets.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("ENHANCER_CATALOGUE", str(path))
        get_settings.cache_clear()
        return path

    yield use
    monkeypatch.undo()
    get_settings.cache_clear()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def entry(weights: Path, more: str = "", **changes: str) -> str:
    text = ENTRY.format(sha256=sha256(weights), more=more)
    for key, value in changes.items():
        line = next(line for line in text.splitlines() if line.startswith(f"{key} ="))
        text = text.replace(line, f"{key} = {value}")
    return text


def test_one_entry_adds_a_net(catalogue, weights: Path, net: SRVGGNetCompact, settings: Settings) -> None:
    before = [one.name for one in load_catalogue().entries]
    path = catalogue(entry(weights))
    entries = load_catalogue().entries
    assert [one.name for one in entries] == [*before, "mine-x2"]
    mine = load_catalogue().get("mine-x2")
    assert [load_catalogue().origin(one) for one in (mine, entries[0])] == [str(path), "this package"]
    own = settings.model_copy(update={"model_dir": weights.parent.parent / "models", "offline": True})
    ready = open_net(mine, own, "cpu", "auto")
    assert (ready.spec.name, ready.spec.scale, ready.spec.in_channels) == ("mine-x2", 2, 3)
    given = np.random.default_rng(1).random((1, 3, 12, 17), np.float32)
    with torch.inference_mode():
        np.testing.assert_allclose(ready.run(given), net(torch.from_numpy(given)).numpy(), atol=1e-6)
    row = next(row for row in status(own) if row.entry.name == "mine-x2")
    assert (row.state, row.source) == ("present", str(weights))


def test_it_is_part_of_the_identity_by_its_hash(catalogue, weights: Path) -> None:
    catalogue(entry(weights))
    assert weights_for(preset("photo", scale=2, model="mine-x2"))["mine-x2"] == sha256(weights)
    assert "mine-x2" not in weights_for(preset("photo", scale=2))


def test_a_file_that_changes_is_read_again(catalogue, weights: Path) -> None:
    catalogue(entry(weights))
    load_catalogue().get("mine-x2")
    catalogue(entry(weights, name='"yours-x2"'))
    assert load_catalogue().get("yours-x2").scale == 2


def test_other_weights_than_it_says_are_refused(catalogue, weights: Path, tmp_path: Path) -> None:
    catalogue(entry(weights))
    mine, own = load_catalogue().get("mine-x2"), Settings(model_dir=tmp_path / "models")
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(ModelError, match="has sha256") as caught:
        ensure(mine, own)
    assert (caught.value.reason, str(weights) in caught.value.message) == ("wrong-hash", True)
    weights.unlink()
    with pytest.raises(ModelError, match=r"mine-x2: .*mine.safetensors cannot be read") as caught:
        ensure(mine, own)
    assert caught.value.reason == "not-found"


@pytest.mark.parametrize(
    ("changes", "more", "says"),
    [
        ({"scale": "0"}, "", "entry 'mine-x2', key scale: Input should be greater"),
        ({"sha256": '"abc"'}, "", "entry 'mine-x2', key sha256: String should match"),
        ({"path": "3"}, "", "entry 'mine-x2', key sources.0.file.path: "),
        ({}, "halos = 3", "entry 'mine-x2', key halos: Extra inputs"),
        ({}, 'architecture = "Compat"', "entry 'mine-x2', key architecture: 'Compat' is no architecture .*'compact'"),
        ({"name": '"fast-x2"'}, "", "entry 'fast-x2', key name: this package has an entry .* shadows = true"),
        ({}, "default = true", "entry 'mine-x2', key default: this package's default for fidelity is 'fast-x2'"),
        ({}, "shadows = true", "entry 'mine-x2', key shadows: this package has no entry"),
        ({"name": '"jpeg"'}, "shadows = true", "entry 'jpeg', key purpose: .* must be for jpeg"),
        ({"purpose": '"metric"'}, "", "entry 'mine-x2', key purpose: scores are measured"),
        ({"kind": '"bundled"\nfilename = "x"', "path": '"x"'}, "", "entry 'mine-x2', key sources.0.bundled.path"),
    ],
)
def test_errors_name_file_entry_and_key(catalogue, weights: Path, changes: Any, more: str, says: str) -> None:
    path = catalogue(entry(weights, more, **changes))
    with pytest.raises(ModelError, match=says) as caught:
        load_catalogue()
    assert caught.value.reason == "bad-catalogue"
    assert caught.value.message.startswith(f"{path}: ")


def test_what_is_no_catalogue_is_refused(catalogue, weights: Path) -> None:
    for text, says in (
        ("[[model", "is not TOML"),
        ("[nets]\n", "holds nets where only"),
        (entry(weights) * 2, "the catalogue has a name twice"),
        ("[[model]]\nscale = 2\n", "entry 1, key name: Field required"),
    ):
        catalogue(text)
        with pytest.raises(ModelError, match=says):
            load_catalogue()
    catalogue("").unlink()
    with pytest.raises(ModelError, match=r"cannot be read: No such file.*ENHANCER_CATALOGUE"):
        load_catalogue()


def test_who_says_so_takes_a_default_or_a_name(catalogue, weights: Path) -> None:
    catalogue(entry(weights, "default = true\nshadows = true"))
    assert load_catalogue().super_resolution(2).name == "mine-x2"
    assert not load_catalogue().get("fast-x2").default
    catalogue(entry(weights, "shadows = true", name='"fast-x2"'))
    assert load_catalogue().super_resolution(2).sha256 == sha256(weights)
    assert [one.name for one in load_catalogue().entries].count("fast-x2") == 1


def test_a_net_that_cannot_serve_its_purpose_is_refused(catalogue, weights: Path, tmp_path: Path) -> None:
    catalogue(entry(weights, scale="1", purpose='"denoise"'))
    with pytest.raises(ModelError, match="are Compact x2, the catalogue says Compact x1"):
        open_net(load_catalogue().get("mine-x2"), Settings(model_dir=tmp_path / "m"), "cpu", "fp32")
    torch.manual_seed(0)
    grey = SRVGGNetCompact(num_in_ch=1, num_out_ch=1, num_feat=8, num_conv=2, upscale=2)
    save_file(grey.state_dict(), weights)
    catalogue(entry(weights))
    with pytest.raises(ModelError, match="takes 1 channels and gives 1; for fidelity it must take 3 and give 3"):
        open_net(load_catalogue().get("mine-x2"), Settings(model_dir=tmp_path / "m"), "cpu", "fp32")


def test_ncnns_files_come_in_by_the_same_door(catalogue, net: SRVGGNetCompact, tmp_path: Path) -> None:
    lines, numbers = [], b""
    for layer in net.body:
        weight = layer.weight.detach().numpy() if hasattr(layer, "weight") else None
        if isinstance(layer, torch.nn.Conv2d):
            lines.append(f"Convolution c{len(lines)} 1 1 x y 0={weight.shape[0]} 1=3 4=1 5=1 6={weight.size}")
            numbers += struct.pack("<I", 0x01306B47) + weight.astype("<f2").tobytes()
            numbers += layer.bias.detach().numpy().astype("<f4").tobytes()
        else:
            lines.append(f"PReLU p{len(lines)} 1 1 x y 0={weight.size}")
            numbers += weight.astype("<f4").tobytes()
    (tmp_path / "mine.bin").write_bytes(numbers)
    text = "\n".join(["7767517", f"{len(lines)} 9", *lines])
    (tmp_path / "mine.param").write_text(text, encoding="utf-8")
    catalogue(entry(tmp_path / "mine.bin", format='"ncnn"', path='"mine.bin"'))
    ready = open_net(load_catalogue().get("mine-x2"), Settings(model_dir=tmp_path / "models"), "cpu", "fp32")
    given = np.random.default_rng(2).random((1, 3, 9, 8), np.float32)
    with torch.inference_mode():
        np.testing.assert_allclose(ready.run(given), net(torch.from_numpy(given)).numpy(), atol=1e-6)
