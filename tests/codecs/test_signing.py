"""Content Credentials: signed with a chain made here, read and verified by c2pa-python's Reader."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from enhancer import ImageEnhancer
from enhancer.batch.failures import is_systemic
from enhancer.codecs import Encoded, Limits, decode, encode
from enhancer.codecs.signing import SIGNED, Signing, Work
from enhancer.errors import RequestError
from enhancer.identity import identity_of
from enhancer.image import Document, Image, Metadata, Tag
from enhancer.options import OutputOptions
from enhancer.recipe import preset
from enhancer.settings import Settings
from tests.codecs.certificates import Chain, make_chain

c2pa = pytest.importorskip("c2pa", reason="needs c2pa-python, of the extra provenance")

LIMITS = Limits(max_bytes=1 << 24, max_pixels=1 << 20, max_pages=10)
RNG = np.random.default_rng(8)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return make_chain(tmp_path_factory.mktemp("chain"))


def settings_of(chain: Chain, **more: Any) -> Settings:
    return Settings(c2pa_certificate=chain.certificate, c2pa_private_key=chain.key, **more)


def signing_of(chain: Chain) -> Signing:
    made = Signing.from_settings(settings_of(chain))
    assert made is not None
    return made


def manifests(data: bytes, content_type: str, chain: Chain) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Validation state with the chain's root as the only anchor, the active manifest, and all of them."""
    context = c2pa.Context(c2pa.Settings.from_dict({"trust": {"trust_anchors": chain.root}}))
    with c2pa.Reader(content_type, io.BytesIO(data), context=context) as reader:
        found = json.loads(reader.json())
        return reader.get_validation_state(), found["manifests"][found["active_manifest"]], found["manifests"]


def actions_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    [found] = [one["data"]["actions"] for one in manifest["assertions"] if one["label"].startswith("c2pa.actions")]
    return found


def file_of(name: str, pages: int = 1) -> Encoded:
    pixels = RNG.integers(0, 256, (40, 56, 3), np.uint8)
    tags = (Tag(285, 2, b"recto\0"), Tag(33550, 12, (10.0, 10.0, 0.0))) if name == "TIFF" else ()
    page = Image(pixels, metadata=Metadata(format=name, tags=tags, dpi=(300.0, 300.0)))
    return encode(Document((page,) * pages), options=OutputOptions(format=name), processing="x")


def work(source: Encoded, **more: Any) -> Work:
    plain = Work(
        name="boxes/a.png",
        source=source.data,
        source_format=source.format,
        processing="recipe photo; denoising",
        source_type="algorithmicallyEnhanced",
        before=(56, 40),
        after=(56, 40),
    )
    return replace(plain, **more)


@pytest.mark.parametrize("name", sorted(SIGNED))
def test_each_format_is_signed_and_its_picture_stays(name: str, chain: Chain) -> None:
    made = file_of(name, pages=3 if name == "TIFF" else 1)
    signed = signing_of(chain).sign(made, work(file_of("PNG")))
    state, manifest, _ = manifests(signed.data, signed.content_type, chain)
    assert state == "Trusted"
    assert manifest["claim_generator_info"][0]["name"] == "airflow-image-enhancer"
    assert manifest["signature_info"]["common_name"] == "Test Archive"
    [ingredient] = manifest["ingredients"]
    assert (ingredient["title"], ingredient["format"], ingredient["relationship"]) == ("a.png", "image/png", "parentOf")
    before, after = (decode(data, name="a", limits=LIMITS) for data in (made.data, signed.data))
    for one, other in zip(before.pages, after.pages, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert one.metadata == other.metadata


def test_a_changed_file_is_found_out(chain: Chain) -> None:
    signed = signing_of(chain).sign(file_of("PNG"), work(file_of("PNG")))
    position = signed.data.index(b"IDAT") + 40
    damaged = signed.data[:position] + bytes([signed.data[position] ^ 1]) + signed.data[position + 1 :]
    assert manifests(damaged, "image/png", chain)[0] == "Invalid"


def test_the_actions_say_what_was_done(chain: Chain) -> None:
    source, signing = file_of("PNG"), signing_of(chain)

    def actions(target: str, **more: Any) -> list[dict[str, Any]]:
        signed = signing.sign(file_of(target), work(source, **more))
        return actions_of(manifests(signed.data, signed.content_type, chain)[1])

    opened, enhanced = actions("PNG")
    assert (opened["action"], enhanced["action"]) == ("c2pa.opened", "c2pa.enhanced")
    assert len(opened["parameters"]["ingredients"]) == 1
    assert enhanced["description"] == "recipe photo; denoising"
    assert enhanced["digitalSourceType"].endswith("/digitalsourcetype/algorithmicallyEnhanced")
    drawn = actions("PNG", source_type="compositeWithTrainedAlgorithmicMedia", after=(112, 80))
    assert [one["action"] for one in drawn] == ["c2pa.opened", "c2pa.edited", "c2pa.resized"]
    assert drawn[1]["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert drawn[2]["description"] == "56 x 40 to 112 x 80"
    assert [one["action"] for one in actions("JPEG", processing=None, source_type=None)] == [
        "c2pa.opened",
        "c2pa.transcoded",
    ]


def test_credentials_of_the_input_are_kept_in_the_chain_of_manifests(chain: Chain) -> None:
    signing = signing_of(chain)
    source = signing.sign(file_of("JPEG"), work(file_of("PNG")))
    state, manifest, every = manifests(*_signed(signing, source), chain)
    assert (state, len(every)) == ("Trusted", 2)
    assert manifest["ingredients"][0]["active_manifest"] in every
    state, manifest, every = manifests(*_signed(signing, source, private=True), chain)
    assert (state, len(every), manifest["ingredients"][0]["title"]) == ("Trusted", 1, "input")


def _signed(signing: Signing, source: Encoded, **more: Any) -> tuple[bytes, str]:
    signed = signing.sign(file_of("PNG"), work(source, **more))
    return signed.data, signed.content_type


@pytest.mark.parametrize("source_format", ["BMP", "GIF", "HEIC", "JPEG2000", "DICOM", None])
def test_inputs_that_hold_no_credentials(source_format: str | None, chain: Chain) -> None:
    known = {"HEIC": "HEIF", "JPEG2000": "JPEG2000"}.get(str(source_format), source_format)
    signed = signing_of(chain).sign(
        file_of("PNG"), work(replace(file_of("PNG"), data=b"BM no picture"), source_format=known)
    )
    assert manifests(signed.data, "image/png", chain)[0] == "Trusted"


def test_a_format_without_credentials_is_named(chain: Chain) -> None:
    plain = Encoded(b"data", "DICOM", "application/dicom")
    signed = signing_of(chain).sign(plain, work(file_of("PNG")))
    assert signed.data == plain.data
    assert "not signed" in signed.warnings[0]


@pytest.mark.parametrize(
    "key",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate,
        lambda: rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-384", "P-521", "Ed25519", "RSA"],
)
def test_every_kind_of_key(key: Any, tmp_path: Path) -> None:
    made = make_chain(tmp_path, key())
    signed = signing_of(made).sign(file_of("PNG"), work(file_of("PNG")))
    assert manifests(signed.data, "image/png", made)[0] == "Trusted"


def test_what_cannot_sign_is_refused_before_the_first_picture(chain: Chain, tmp_path: Path) -> None:
    other = make_chain(tmp_path / "other")
    text = tmp_path / "text.pem"
    text.write_text("nothing")
    curve = make_chain(tmp_path / "curve", ec.generate_private_key(ec.SECP256K1()))
    for certificate, key, words in (
        (chain.certificate, None, "ENHANCER_C2PA_PRIVATE_KEY"),
        (None, chain.key, "ENHANCER_C2PA_CERTIFICATE"),
        (chain.certificate, tmp_path / "missing.pem", "missing.pem"),
        (chain.certificate, other.key, "not the key"),
        (text, chain.key, "no certificates"),
        (chain.certificate, text, "no private key"),
        (curve.certificate, curve.key, "P-256"),
    ):
        with pytest.raises(RequestError, match=words) as caught:
            Signing.from_settings(Settings(c2pa_certificate=certificate, c2pa_private_key=key))
        assert caught.value.reason == "signing"
        assert is_systemic(caught.value), "no picture is at fault"
    assert Signing.from_settings(Settings()) is None


def test_an_expired_certificate_is_nobodys_fault_but_the_signers(tmp_path: Path) -> None:
    old = make_chain(tmp_path, days=1)
    with pytest.raises(RequestError, match="ENHANCER_C2PA_CERTIFICATE") as caught:
        signing_of(old).sign(file_of("PNG"), work(file_of("PNG")))
    assert is_systemic(caught.value)


def test_who_signs_is_part_of_the_identity(chain: Chain, tmp_path: Path) -> None:
    recipe, signers = preset("scan"), [None, *(signing_of(one).identity for one in (chain, make_chain(tmp_path)))]
    assert len({identity_of("a", recipe, {}, signer=signer) for signer in signers}) == 3
    assert identity_of("a", recipe, {}, signer=None) == identity_of("a", recipe, {})


def test_files_are_signed_on_their_one_way(chain: Chain, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "flat.png").write_bytes(
        encode(Document((Image(np.full((32, 48, 3), 90, np.uint8)),)), options=OutputOptions(format="PNG")).data
    )
    plain, signed = (
        ImageEnhancer("archive", settings=settings).batch_enhance(tmp_path / "in", tmp_path / folder)[0]
        for settings, folder in ((Settings(), "plain"), (settings_of(chain), "signed"))
    )
    assert (plain.state, signed.state) == ("published", "published"), signed.error
    assert plain.identity != signed.identity
    data = (tmp_path / "signed" / "flat.png").read_bytes()
    assert hashlib.sha256(data).digest() != hashlib.sha256((tmp_path / "plain" / "flat.png").read_bytes()).digest()
    state, manifest, _ = manifests(data, "image/png", chain)
    assert state == "Trusted"
    assert actions_of(manifest)[0]["action"] == "c2pa.opened"
    assert manifest["ingredients"][0]["title"] == "flat.png"
