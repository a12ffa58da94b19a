"""The catalogue: what ships is consistent, names are suggested, and a scale finds its net."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from enhancer.errors import ModelError
from enhancer.models.architectures import own, own_names, spandrels_names
from enhancer.models.catalogue import BUNDLED, Catalogue, load_catalogue, super_resolution_entry

# facts that were measured outside this package: published members and their hashes
PUBLISHED = {
    "dat-light-x2": "3888bf067c1a3790adb64210e108690859f4900ffd158fe39a2cfe057ae8300c",
    "dat-light-x3": "dfb99deab865db05771080c73c50a06b67c9499c3a27ca64ab3729fa573d5cfe",
    "dat-light-x4": "e18223fc41500e72e6bd576f2a576eae0818f58fa8cc8646a2233f5faf7d0f74",
    "ffdnet-color": "286f04f7e3a20254c067ba95efb5d3339f4fc8a09a365a93cd469184d4cdb279",
    "lpips-alex": "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    "realsr-x4": "a3f5eb53906ef54d5c5d125b2c9dd5f570d9dbb779e3d934df14b5375fd923c1",
    "realesrgan-x4plus": "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
    "general-x4v3": "85ee266b632a765a725425ba6a5620c088c8aa2939a03063b2d83b3462724cc1",
    "general-wdn-x4v3": "74eae91a6230cbe5b931be6c49141faaff0034976933d4da9accb77c329c8a78",
    "lpips-vgg": "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
}


def test_what_ships() -> None:
    entries = load_catalogue().entries
    assert {entry.name: entry.sha256 for entry in entries if entry.published} == PUBLISHED
    bundled = {entry.bundled.name for entry in entries if entry.bundled}
    assert bundled == {path.name for path in BUNDLED.glob("*.safetensors")}
    assert load_catalogue().get("dat-light-x4").psnr == {"Set5": 32.57}


def test_defaults() -> None:
    catalogue = load_catalogue()
    assert catalogue.default("denoise").name == "denoise"
    assert catalogue.default("metric").name == "lpips-alex"
    assert catalogue.default("fidelity", 4).name == "fast-x4"
    with pytest.raises(ModelError, match="fidelity at scale 8"):
        catalogue.default("fidelity", 8)


@pytest.mark.parametrize(("scale", "net"), [(1.2, 2), (2, 2), (2.01, 3), (3, 3), (3.5, 4), (4, 4), (6, 4), (8, 4)])
def test_a_scale_takes_the_smallest_net_that_reaches_it(scale: float, net: int) -> None:
    entries = load_catalogue().entries
    catalogue = Catalogue.model_validate(
        {"model": [{**entry.model_dump(), "default": "dat" in entry.name} for entry in entries]}
    )
    assert catalogue.super_resolution(scale).name == f"dat-light-x{net}"


@pytest.mark.parametrize("scale", [1.2, 2, 3, 4, 6, 8])
def test_enlarging_needs_no_download(scale: float) -> None:
    assert super_resolution_entry(scale).bundled


def test_a_name_decides_alone() -> None:
    assert super_resolution_entry(2, "dat-light-x4").scale == 4
    with pytest.raises(ModelError, match="cannot enlarge") as caught:
        super_resolution_entry(2, "ffdnet-color")
    assert caught.value.reason == "wrong-purpose"


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(ModelError, match="did you mean 'dat-light-x4'") as caught:
        load_catalogue().get("datlight-x4")
    assert caught.value.reason == "unknown-model"


@pytest.mark.parametrize("change", [{"name": "fast-x4"}, {"name": "another"}])
def test_ambiguity_is_refused(change: dict[str, str]) -> None:
    entry = load_catalogue().get("fast-x4").model_dump()
    with pytest.raises(ValidationError, match="twice"):
        Catalogue.model_validate({"model": [entry, {**entry, **change}]})


def test_what_is_bundled_has_one_source_as_safetensors() -> None:
    entry = load_catalogue().get("jpeg").model_dump()
    elsewhere = load_catalogue().get("dat-light-x2").model_dump()["sources"]
    for change in ({"format": "torch"}, {"sources": [*entry["sources"], *elsewhere]}):
        with pytest.raises(ValidationError, match="bundled: it has that one source"):
            Catalogue.model_validate({"model": [{**entry, **change}]})


def test_catalogue_and_store_load_nothing_heavy() -> None:
    code = (
        "import sys, enhancer.models.store, enhancer.backends.tiler\n"
        "print(*[m for m in ('torch', 'cv2', 'skimage', 'spandrel', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_ours_state_licences_and_descriptions() -> None:
    for entry in load_catalogue().entries:
        assert "not stated" not in (entry.code_licence, entry.weights_licence)
        assert entry.architecture
        assert entry.description


def test_a_net_has_its_own_licence_and_not_that_of_the_archive_around_it() -> None:
    """Nothing is installed of an archive; what is taken from it and run must be free to use in any program."""
    general = load_catalogue().get("general-x4v3")
    assert (general.code_licence, general.weights_licence) == ("BSD-3-Clause", "BSD-3-Clause")
    assert not [entry.name for entry in load_catalogue().entries if "GPL" in entry.code_licence + entry.weights_licence]


def test_a_module_of_the_architectures_folder_is_an_architecture() -> None:
    for name in own_names():
        assert own(name).name.lower() == name
    used = {entry.architecture.lower() for entry in load_catalogue().entries if entry.purpose != "metric"}
    assert used - {name.lower() for name in spandrels_names()} == set(own_names())


def test_spandrels_names_are_its_architectures_ids() -> None:
    from spandrel import MAIN_REGISTRY

    assert set(spandrels_names()) == {support.architecture.id for support in MAIN_REGISTRY.architectures()}
