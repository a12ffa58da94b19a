"""Nets: loaded once, accounted for, and replaceable by files."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from enhancer.errors import ModelError
from enhancer.identity import weights_for
from enhancer.models.architectures.plain import PlainNet, PlainShape
from enhancer.models.catalogue import load_catalogue
from enhancer.models.store import ensure
from enhancer.recipe import preset
from enhancer.settings import Settings
from enhancer.stages.nets import Nets, denoiser_weights
from enhancer.training.weights import save_half


@pytest.fixture
def noisy():
    return np.random.default_rng(0).random((1, 4, 16, 16), dtype=np.float32)


def test_nothing_is_loaded_before_it_is_used_and_then_once(settings):
    nets = Nets(settings, device="cpu")
    assert nets.loaded == ()
    first = nets.denoiser()
    assert nets.denoiser("denoise") is first
    assert nets.loaded == ("denoise",)
    assert nets.sha256("denoise") == load_catalogue().get("denoise").sha256


def test_a_file_replaces_the_denoiser(settings, noisy):
    path = ensure(load_catalogue().get("ffdnet-color"), settings)
    nets = Nets(settings, device="cpu", dn_path=str(path))
    net = nets.denoiser()
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert nets.sha256(net.spec.name) == sha256
    assert nets.replaced == {"denoising": sha256}
    assert np.array_equal(net.run(noisy), Nets(settings, device="cpu").denoiser("ffdnet-color").run(noisy))


@pytest.mark.parametrize("fold", [1, 2])
def test_a_plain_denoiser_from_a_file_is_recognised_and_may_be_named_by_a_recipe(settings, tmp_path, noisy, fold):
    torch.manual_seed(0)
    module = PlainNet(PlainShape(8, 3, conditions=1, fold=fold)).half().float()
    path = save_half(module.state_dict(), tmp_path / "mine.safetensors")
    named = Nets(settings, device="cpu")
    net = named.denoiser(str(path))
    with torch.inference_mode():
        expected = module(torch.from_numpy(noisy)).numpy()
    np.testing.assert_allclose(net.run(noisy), expected, atol=1e-5)
    assert (net.spec.in_channels, net.spec.halo, net.spec.multiple_of) == (4, 5 * fold, fold)
    assert np.array_equal(Nets(settings, device="cpu", dn_path=path).denoiser().run(noisy), net.run(noisy))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert denoiser_weights(str(path)) == (net.spec.name, sha256)
    assert named.sha256(net.spec.name) == sha256
    assert weights_for(preset("archive", denoise_model=str(path)))[net.spec.name] == sha256
    with pytest.raises(ModelError, match="cannot read the weights"):
        weights_for(preset("archive", denoise_model=str(tmp_path / "gone.safetensors")))


def test_a_plain_net_that_enlarges_or_takes_no_noise_map_is_no_denoiser(settings, tmp_path):
    for index, shape in enumerate((PlainShape(8, 2, scale=2), PlainShape(8, 2))):
        path = save_half(PlainNet(shape).state_dict(), tmp_path / f"{index}.safetensors")
        with pytest.raises(ModelError, match=r"denoise_model: .* of no architecture"):
            Nets(settings, device="cpu").denoiser(str(path))


def test_a_net_from_a_file_is_called_as_spandrel_calls_it(settings, tmp_path):
    """FDnCNN takes a noise map that spandrel fills in, for one picture at a time."""
    from spandrel import ModelLoader
    from spandrel.architectures.DnCNN import DnCNN

    torch.manual_seed(0)
    module = DnCNN(in_nc=4, out_nc=3, nc=8, nb=20, act_mode="R", mode="FDnCNN")
    save_file(module.state_dict(), tmp_path / "fdncnn.safetensors")
    descriptor = ModelLoader("cpu").load_from_file(tmp_path / "fdncnn.safetensors")
    net = Nets(settings, device="cpu", dn_path=tmp_path / "fdncnn.safetensors").denoiser()
    batch = np.random.default_rng(0).random((2, 3, 12, 16), dtype=np.float32)
    expected = [descriptor(torch.from_numpy(batch[i : i + 1])).numpy()[0] for i in range(2)]
    np.testing.assert_allclose(np.clip(net.run(batch), 0, 1), expected, atol=1e-6)


def test_a_file_replaces_the_net_that_enlarges_at_every_scale(settings):
    path = ensure(load_catalogue().get("dat-light-x2"), settings)
    nets = Nets(settings, device="cpu", sr_path=path)
    net = nets.super_resolution(4)
    assert net.spec.scale == 2
    assert nets.super_resolution(3, "dat-light-x3") is net
    assert nets.loaded == (net.spec.name,)


def test_files_that_will_not_do_are_refused_with_the_option_named(settings, tmp_path):
    enlarger = ensure(load_catalogue().get("dat-light-x2"), settings)
    with pytest.raises(ModelError, match=r"dn_path.*enlarges by 2"):
        Nets(settings, dn_path=enlarger).denoiser()
    with pytest.raises(ModelError, match="cannot read the weights"):
        Nets(settings, sr_path=tmp_path / "none.pth").super_resolution(2)
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(ModelError, match=r"sr_path: text\.safetensors cannot be loaded"):
        Nets(settings, sr_path=tmp_path / "text.safetensors").super_resolution(2)
    save_file({"some.weight": torch.zeros(3)}, tmp_path / "odd.safetensors")
    for option in ("sr_path", "dn_path"):
        nets = Nets(settings, **{option: tmp_path / "odd.safetensors"})
        with pytest.raises(ModelError, match=f"{option}: odd.safetensors is of no architecture"):
            nets.denoiser() if option == "dn_path" else nets.super_resolution(2)


def test_no_pickle_is_executed(settings, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"params": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(ModelError, match="cannot be loaded"):
        Nets(settings, sr_path=tmp_path / "trap.pth").super_resolution(2)
    assert not (tmp_path / "sprung").exists()


def test_offline_without_weights_says_so(tmp_path):
    nets = Nets(Settings(home=tmp_path, offline=True))
    with pytest.raises(ModelError, match="offline"):
        nets.denoiser("ffdnet-color")
    assert nets.loaded == ()
