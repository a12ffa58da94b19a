"""URLs and addresses, without a server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from enhancer.errors import RequestError
from enhancer.storage import LocalStore, S3Store, canonical_url, key_under, open_store, split_address


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("S3://bucket/a/b//", "s3://bucket/a/b"),
        ("s3://bucket/a b/ü", "s3://bucket/a b/ü"),
        ("/data/in", "/data/in"),
        ("/data/in/", "/data/in"),
        ("file:///data/in/", "/data/in"),
        ("file://localhost/data/a%20b", "/data/a b"),
    ],
)
def test_canonical_urls(url, canonical, settings):
    assert canonical_url(url) == canonical
    assert open_store(url, settings).url == canonical
    assert canonical_url(canonical) == canonical


def test_relative_folders_are_made_absolute(settings, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert open_store("in/pictures/", settings).url == str(tmp_path / "in" / "pictures")
    monkeypatch.setenv("HOME", "/home/someone")
    assert canonical_url("~/x") == "/home/someone/x"


@pytest.mark.parametrize(
    "url",
    ["", " ", "http://host/x", "gs://bucket", "s3://", "s3:///key", "s3://no spaces/x", "file://host/x"],
)
def test_urls_that_cannot_be(url, settings):
    with pytest.raises(RequestError) as caught:
        open_store(url, settings)
    assert caught.value.reason == "bad-url"


def test_credentials_in_a_url_are_refused_and_not_repeated(settings):
    with pytest.raises(RequestError) as caught:
        open_store("s3://AKIAEXAMPLE:wJalrXUtnFEMI@bucket/x", settings)
    assert "AKIA" not in str(caught.value)
    assert "wJalr" not in str(caught.value)


def test_the_kind_of_store_follows_the_url(settings):
    assert isinstance(open_store("s3://bucket/x", settings), S3Store)
    assert isinstance(open_store("/x", settings), LocalStore)


def test_keys_under_a_url():
    assert key_under("s3://bkt/p", "s3://bkt/p/k/l") == "k/l"
    assert key_under("s3://bkt", "s3://bkt/p/k") == "p/k"
    assert key_under("/", "/x/y") == "x/y"
    assert key_under("file:///data", "/data/k") == "k"
    for url, address in [
        ("s3://bkt/p", "s3://bkt/pq/k"),
        ("s3://bkt/p", "s3://bkt/p/"),
        ("s3://bkt", "s3://other/k"),
        ("/a", "/ab/c"),
    ]:
        with pytest.raises(RequestError, match="does not lie under"):
            key_under(url, address)


def test_splitting_an_address():
    assert split_address("s3://bkt/p/q/k l.png") == ("s3://bkt", "p/q/k l.png")
    assert split_address("s3://bkt/k//l") == ("s3://bkt", "k//l")
    assert split_address("/data/in/a.png") == ("/data/in", "a.png")
    for address in ("s3://bkt", "s3://bkt/", "/"):
        with pytest.raises(RequestError, match="not an object"):
            split_address(address)


def test_half_a_pair_of_keys_is_refused(settings):
    half = type(settings)(home=settings.home, s3_access_key_id="only")
    with pytest.raises(RequestError, match="go together"):
        open_store("s3://bucket", half)


def test_importing_and_opening_brings_in_no_boto3():
    code = (
        "import sys, enhancer.storage as s; from enhancer.settings import Settings\n"
        "s.open_store('s3://bkt/p', Settings()); s.open_store('/tmp', Settings())\n"
        "print([m for m in ('boto3', 'botocore', 'torch', 'cv2') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
