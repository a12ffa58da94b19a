"""Signed addresses: only what was signed is served, it is made once, and it expires."""

from __future__ import annotations

import base64
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from enhancer.client import Client
from enhancer.service.cleaning import forget_signed
from enhancer.service.places import signed_prefix
from enhancer.signed_urls import signed_path
from tests.service.conftest import picture, upload
from tests.service.running import Server
from tests.service.test_callers import is_problem

KEY = "a key of the tests"


def hmac_sha256(key: bytes, text: bytes) -> bytes:
    """RFC 2104 written out, for keys of up to a block."""
    block = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(one ^ 0x36 for one in block) + text).digest()
    return hashlib.sha256(bytes(one ^ 0x5C for one in block) + inner).digest()


def test_a_path_is_signed_as_described() -> None:
    address = "s3://shop/ä b?.jpg"
    encoded = base64.urlsafe_b64encode(address.encode()).decode().rstrip("=")
    mac = hmac_sha256(KEY.encode(), f"scan:1.5/{encoded}".encode())
    signature = base64.urlsafe_b64encode(mac).decode().rstrip("=")
    assert signed_path(KEY, address, recipe="scan", scale=1.5) == f"/v1/i/{signature}/scan:1.5/{encoded}"
    assert Client("http://here/").signed_url(address, KEY, recipe="scan", scale=1.5).endswith(f"/{encoded}")


@pytest.fixture
def shop(serve, tmp_path):
    """A client without a token, no workers, and a folder that is allowed."""
    (tmp_path / "open").mkdir()
    for number in range(2):
        (tmp_path / "open" / f"{number}.png").write_bytes(picture(number))
    (tmp_path / "closed.png").write_bytes(picture())
    client = serve(service_url_key=KEY, allowed_roots=str(tmp_path / "open"))
    (client.app.state.settings.home / "service").mkdir()  # as a server that starts does
    return client, tmp_path


def test_what_was_not_signed_is_refused(shop) -> None:
    client, root = shop
    path = signed_path(KEY, f"{root}/open/0.png", scale=2)
    assert is_problem(client.get(path), 503, "timeout"), "the signature is good: only a worker is missing"
    _, _, _, signature, options, encoded = path.split("/")
    other_address = signed_path(KEY, f"{root}/open/1.png", scale=2).split("/")[-1]
    for wrong in (
        f"/v1/i/{signature}/photo:4/{encoded}",
        f"/v1/i/{signature}/photo:2.0/{encoded}",
        f"/v1/i/{signature}/scan:2/{encoded}",
        f"/v1/i/{signature}/{options}/{other_address}",
        f"/v1/i/{signature}/{options}/{encoded}=",
        f"/v1/i/{signature[:-1]}/{options}/{encoded}",
        f"/v1/i/{signature}=/{options}/{encoded}",
        f"/v1/i/%C3%A9/{options}/{encoded}",
        signed_path("another key of theirs", f"{root}/open/0.png", scale=2),
    ):
        assert is_problem(client.get(wrong), 403, "bad-signature"), wrong


def test_a_signature_opens_no_other_folder_and_no_other_recipe(shop) -> None:
    client, root = shop
    for address in (f"{root}/closed.png", f"{root}/open/../closed.png", "file:///etc/passwd", "http://localhost/a.png"):
        assert is_problem(client.get(signed_path(KEY, address)), 403, "foreign-address"), address
    inside = f"{root}/open/0.png"
    assert is_problem(client.get(signed_path(KEY, inside, recipe="no-such-preset")), 422, "bad-recipe")
    assert is_problem(client.get(signed_path(KEY, inside, recipe='{"name":"photo"}')), 422, "bad-recipe")
    assert is_problem(client.get(signed_path(KEY, inside, scale=9)), 422, "bad-params")
    assert is_problem(client.get(signed_path(KEY, f"{root}/open/gone.png")), 404, "gone")


def test_without_a_key_there_are_none(serve) -> None:
    assert is_problem(serve("admin").get(signed_path("", "/a.png")), 404, "not-found")


def test_a_token_is_no_signature(serve, tmp_path) -> None:
    client = serve("admin", service_url_key=KEY, allowed_roots=str(tmp_path))
    assert is_problem(client.get(signed_path("not the key at all", f"{tmp_path}/a.png")), 403, "bad-signature")


def test_results_expire_with_their_period(shop) -> None:
    from enhancer.identity import digest, identity_of
    from enhancer.recipe import resolve

    client, root = shop
    settings = client.app.state.settings
    path = signed_path(KEY, f"{root}/open/0.png", scale=2)
    identity = identity_of(digest(picture()), resolve("", recipe="photo", overrides={"scale": 2}))
    now, store = time.time(), settings.home / "service"
    keep_s = settings.service_keep_hours * 3600
    for period, content in ((now - keep_s, b"old"), (now, b"new")):
        file = store / signed_prefix(settings, period) / identity / "0123.png"
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    assert client.get(path).content == b"new"
    file.unlink()
    assert is_problem(client.get(path), 503, "timeout"), "the old one is not served: it would be made anew"
    file.write_bytes(b"new")
    forget_signed(settings, now)
    assert [one.read_bytes() for one in store.rglob("signed/*/*/*")] == [b"new"]
    forget_signed(settings, now + keep_s)
    assert list(store.rglob("signed/*/*/*")) == []


def test_a_signed_address_is_made_once_and_then_kept(tmp_path: Path) -> None:
    source = tmp_path / "shop" / "cat.png"
    source.parent.mkdir()
    source.write_bytes(picture())
    server = Server(tmp_path / "home", service_url_key=KEY, allowed_roots=source.parent, service_waiting=1).start()
    try:
        wanted = server.client.post("/v1/enhance", params={"recipe": "photo", "scale": "2"}, files=[upload()])
        url = Client(server.address).signed_url(str(source), KEY, recipe="photo", scale=2)
        with ThreadPoolExecutor(12) as readers:  # more than may wait for the worker
            first, *others = readers.map(lambda _: server.client.get(url), range(12))
        for one in (first, *others):
            assert (one.status_code, one.content) == (200, wanted.content), one.text
        assert first.headers["content-type"] == "image/png"
        assert first.headers["x-enhancer-identity"] == wanted.headers["x-enhancer-identity"]
        assert first.headers["cross-origin-resource-policy"] == "cross-origin"
        [kept] = [one for one in (server.home / "service" / "signed").rglob("*") if one.is_file()]
        made = kept.stat().st_mtime_ns
        etag = first.headers["etag"]
        assert server.client.get(url, headers={"If-None-Match": etag}).status_code == 304
        assert server.client.get(url, headers={"Range": "bytes=0-9"}).content == wanted.content[:10]
        assert kept.stat().st_mtime_ns == made
        source.write_bytes(picture(1))
        changed = server.client.get(url, headers={"If-None-Match": etag})
        assert (changed.status_code, changed.headers["etag"] != etag) == (200, True), "another picture lies there now"
    finally:
        assert server.stop() == 0, server.log
