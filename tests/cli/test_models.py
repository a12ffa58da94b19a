from __future__ import annotations

import pytest

from enhancer.models.catalogue import load_catalogue
from enhancer.models.store import ensure, kept_path
from enhancer.settings import Settings

NAME = "ffdnet-color"


@pytest.fixture
def mirrored(settings, tmp_path):
    """A cache of the test's own, and that of this run of the tests as its mirror."""
    ensure(load_catalogue().get(NAME), settings)
    own = tmp_path / "models"
    return own, {
        "ENHANCER_MODEL_DIR": str(own),
        "ENHANCER_MODEL_MIRROR": str(settings.models_path),
        "ENHANCER_OFFLINE": "1",
    }


def test_list_and_info(run):
    listed = run("models", "list", "--json").reply.summary["models"]
    assert [row["name"] for row in listed] == [entry.name for entry in load_catalogue().entries]
    people = run("models", "list").stdout
    assert all(entry.name in people for entry in load_catalogue().entries)
    info = run("models", "info", "dat-light-x4")
    entry = load_catalogue().get("dat-light-x4")
    assert info.code == 0
    for text in (entry.sha256, entry.weights_licence, "32.57 dB on Set5", str(entry.sources[0])):
        assert text in info.stdout


def test_fetch_then_verify_then_a_damaged_file(run, mirrored):
    own, env = mirrored
    fetched = run("models", "fetch", NAME, "--json", **env)
    assert fetched.code == 0, fetched.stderr
    path = kept_path(load_catalogue().get(NAME), Settings(model_dir=own))
    assert fetched.reply.summary["models"] == [{"name": NAME, "state": "present", "path": str(path)}]
    assert run("models", "verify", **env).code == 0  # the others are absent, and no one asked for them
    assert run("models", "verify", NAME, "dat-light-x2", **env).code == 3
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    damaged = run("models", "verify", NAME, "--json", **env)
    assert damaged.code == 3
    assert damaged.reply.summary["models"][0]["state"] == "corrupt"
    assert "sha256" in damaged.reply.summary["models"][0]["detail"]


def test_one_net_that_cannot_be_had_does_not_stop_the_next(run, mirrored, tmp_path):
    _, env = mirrored
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for path in kept_path(load_catalogue().get(NAME), Settings(model_dir=env["ENHANCER_MODEL_MIRROR"])).parent.glob(
        f"{NAME}-*"
    ):
        (mirror / path.name).symlink_to(path)
    ran = run("models", "fetch", "dat-light-x2", NAME, "--json", **{**env, "ENHANCER_MODEL_MIRROR": str(mirror)})
    assert ran.code == 3
    first, second = ran.reply.summary["models"]
    assert (first["state"], first["error"]["class"]) == ("failed", "offline")
    assert second["state"] == "present"


def test_build_then_info_then_a_refusal(run, tmp_path):
    env = {"ENHANCER_MODEL_DIR": str(tmp_path / "models")}
    built = run("models", "build", "fast-x2", "--runtime", "onnxruntime", "--json", **env)
    assert built.code == 0, built.stderr
    (row,) = built.reply.summary["models"]
    assert (row["name"], row["state"], row["precision"]) == ("fast-x2", "built", "fp32")
    info = run("models", "info", "fast-x2", "--json", **env).reply.summary["builds"]
    assert sorted((one["runtime"], one["precision"]) for one in info) == [("onnxruntime", "fp32"), ("openvino", "int8")]
    assert "onnxruntime fp32, differs from torch by" in run("models", "info", "fast-x2", **env).stdout
    refused = run("models", "build", "scratches", "--runtime", "tensorrt", "--json", **env)
    assert refused.code == 3
    assert "gives no picture" in refused.reply.summary["models"][0]["error"]["message"]
    assert run("models", "build", "fast-x2", "--precision", "fp16", **env).code == 2
    assert run("models", "build", **env).code == 2
