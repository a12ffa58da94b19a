"""Several pictures in the enhance step at once, as on a GPU: their tiles share batches, and nothing else changes.

On the CPU, with batching switched on by hand: the nets are torch's and say that they gain by several tiles at once.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from enhancer.backends.base import Net, NetSpec
from enhancer.backends.joining import RUNS_AT_ONCE, JoinedNet
from enhancer.backends.torch_backend import TorchNet
from enhancer.batch.plan.planning import Plan
from enhancer.errors import LeaseLostError
from enhancer.models.catalogue import ModelEntry
from enhancer.models.loading import load_net
from enhancer.models.store import ensure
from enhancer.processing import Picture
from tests.batch.in_process import nothing, shard_of, staged_writes, steps
from tests.batch.site_builder import Site, png

LONG_S = 20.0
"""A wait that only a defect makes end in vain."""
ENLARGE = '{"name": "archive", "scale": 2, "denoise_strength": 0, "colour_fix": {"mode": "off"}}'
COUNT = 6
COMPANY = COUNT - RUNS_AT_ONCE
"""Pictures whose tiles cannot run at once, and wait."""


class Counted:
    """A net that notes the sizes of its batches, calls `before` with each, and gains by `batch_tiles`."""

    before: Callable[[NDArray[np.float32]], None] = staticmethod(lambda batch: None)
    expects_company = False
    """Whether the first runs hold the device until all other tiles wait for it: whoever is fast meets nobody else."""

    joined: JoinedNet

    def __init__(self, net: Net, batch_tiles: int) -> None:
        self._net = net
        self.spec = NetSpec(**{**_fields(net.spec), "batch_tiles": batch_tiles})
        self.sizes: list[int] = []
        self._company = threading.Event()

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.sizes.append(len(batch))
        if self.expects_company and len(self.sizes) <= RUNS_AT_ONCE:
            self._await_company()
        self.before(batch)
        return self._net.run(batch)

    def _await_company(self) -> None:
        deadline = time.monotonic() + LONG_S
        while len(self.joined._waiting) < COMPANY and not self._company.is_set():
            assert time.monotonic() < deadline, "the other pictures' tiles never came"
            time.sleep(0.001)
        self._company.set()


def _fields(spec: NetSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in NetSpec.__dataclass_fields__}


@pytest.fixture
def nets(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counted]:
    """The nets that were opened, by name; torch's, as on a GPU."""
    opened: dict[str, Counted] = {}

    def open_net(entry: ModelEntry, settings: Any, device: str, precision: str) -> Counted:
        net = load_net(entry, ensure(entry, settings))
        opened[entry.name] = Counted(TorchNet(net.module, net.spec, "cpu"), batch_tiles=8)
        return opened[entry.name]

    def join(net: Counted) -> JoinedNet:
        net.joined = JoinedNet(net)
        return net.joined

    monkeypatch.setattr("enhancer.stages.nets.open_net", open_net)
    monkeypatch.setattr("enhancer.stages.nets.JoinedNet", join)
    monkeypatch.setattr("enhancer.stages.nets.runs_on_gpu", lambda settings, device: True)
    return opened


def planned(new_site: Callable[..., Site], root: Path, threads: int) -> tuple[Site, Plan]:
    site = new_site(root, gpu_pictures=threads, overlap_pictures=COUNT)
    site.put(**{f"p{number}_png": png(number) for number in range(COUNT)})
    return site, site.plan("r1", recipe=ENLARGE)


def results(site: Site) -> dict[str, NDArray[np.int16]]:
    found = {}
    for key, row in site.items("r1").items():
        if row.state == "enhanced":
            with PIL.Image.open(io.BytesIO((site.work / row.staged_key).read_bytes())) as opened:
                found[key] = np.asarray(opened, np.int16)
    return found


@contextmanager
def meeting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody enhances before all do, and two of them hold the device until the others wait for it: whatever the
    scheduler does.
    """
    barrier = threading.Barrier(COUNT)

    def wait(picture: Picture) -> None:
        barrier.wait(LONG_S)

    with monkeypatch.context() as patched, steps("enhance", wait, nothing):
        patched.setattr(Counted, "expects_company", True)
        yield


def test_pictures_share_batches_and_become_what_they_become_alone(
    new_site: Callable[..., Site], tmp_path: Path, nets: dict[str, Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the rounding to eight bits: torch's kernels for larger batches may sum in another order."""
    alone, plan = planned(new_site, tmp_path / "alone", threads=1)
    shard_of(alone, plan)[0].run()
    assert set(nets["fast-x2"].sizes) == {1}

    shared, plan = planned(new_site, tmp_path / "shared", threads=COUNT)
    with meeting(monkeypatch):
        shard_of(shared, plan)[0].run()
    assert set(shared.states("r1").values()) == {"enhanced"}
    assert max(nets["fast-x2"].sizes) > 1
    expected, found = results(alone), results(shared)
    assert expected.keys() == found.keys()
    for key, pixels in found.items():
        assert pixels.shape == (32, 48, 3)
        assert np.abs(pixels - expected[key]).max() <= 1


def test_the_error_of_one_picture_is_not_its_neighbours(
    new_site: Callable[..., Site], tmp_path: Path, nets: dict[str, Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, plan = planned(new_site, tmp_path / "site", threads=COUNT)
    guilty = np.asarray(PIL.Image.open(io.BytesIO(png(3))), np.float32)[-1, -1] / 255

    def fail(batch: NDArray[np.float32]) -> None:
        if any(np.allclose(tile[:, -1, -1], guilty, atol=1e-4) for tile in batch):
            raise RuntimeError("the net does not like this one")

    monkeypatch.setattr(Counted, "before", staticmethod(fail))
    with meeting(monkeypatch):
        shard_of(site, plan)[0].run()
    states = site.states("r1")
    assert states.pop("p3.png") in ("failed", "quarantined")
    assert set(states.values()) == {"enhanced"}
    assert max(nets["fast-x2"].sizes) > 1


@pytest.mark.usefixtures("nets")
def test_a_lost_lease_leaves_nobody_waiting(
    new_site: Callable[..., Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, plan = planned(new_site, tmp_path / "site", threads=COUNT)
    work, _ = shard_of(site, plan)
    threads = set(threading.enumerate())

    def taken_over(key: str) -> None:
        site.ledger.leases.take("r1", 0, "someone", 60)

    with meeting(monkeypatch), staged_writes(site, taken_over), pytest.raises(LeaseLostError):
        work.run()
    assert set(threading.enumerate()) <= threads, "the steps' threads are over"
