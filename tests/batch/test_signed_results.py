"""Signed results in the nightly run: what the ledger has checksums of is the signed file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from hashlib import md5
from pathlib import Path

import pytest

from enhancer.codecs.signing import Signing
from enhancer.identity import digest, identity_of
from enhancer.recipe import parse_recipe
from tests.batch.in_process import shard_of
from tests.batch.site_builder import PLAIN, Site, png
from tests.codecs.certificates import make_chain

c2pa = pytest.importorskip("c2pa", reason="needs c2pa-python, of the extra provenance")


def test_the_ledger_knows_the_signed_file(new_site: Callable[..., Site], tmp_path: Path) -> None:
    chain = make_chain(tmp_path / "chain")
    site = new_site(tmp_path, c2pa_certificate=chain.certificate, c2pa_private_key=chain.key)
    site.put(a_png=png(1))
    shard_of(site, site.plan("r1"))[0].run()
    row = site.items("r1")["a.png"]
    assert row.state == "enhanced", row.error_message
    stored = site.ledger.results.get(row.identity)
    assert stored is not None
    data = Path(stored.address).read_bytes()
    assert (stored.digest, stored.md5) == (digest(data), md5(data, usedforsecurity=False).hexdigest())
    signing = Signing.from_settings(site.settings)
    assert signing is not None
    assert row.identity == identity_of(digest(png(1)), parse_recipe(PLAIN), signer=signing.identity)
    assert row.identity != identity_of(digest(png(1)), parse_recipe(PLAIN))
    context = c2pa.Context(c2pa.Settings.from_dict({"trust": {"trust_anchors": chain.root}}))
    with c2pa.Reader("image/png", io.BytesIO(data), context=context) as reader:
        assert reader.get_validation_state() == "Trusted"
        found = json.loads(reader.json())
    assert found["manifests"][found["active_manifest"]]["ingredients"][0]["title"] == "a.png"
