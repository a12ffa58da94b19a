"""What quality is measured on is not trained on, whatever it is called and wherever it lies."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhancer.training import held_out
from enhancer.training.held_out import held_out_hashes, training_pictures, without_held_out
from enhancer.training.pictures import list_pictures


def test_the_lists_are_whole() -> None:
    counts = {name: len(held_out_hashes(name)) for name in ("photos_free", "set5", "set14", "cbsd68")}
    assert counts == {"photos_free": 40, "set5": 5, "set14": 14, "cbsd68": 68}
    assert len(held_out_hashes()) == 127


def test_the_hashes_are_those_of_the_sets(shared_data: Path) -> None:
    for name in ("set5", "set14", "cbsd68"):
        assert without_held_out(list_pictures(shared_data / name)) == []
    free = list_pictures(shared_data / "photos_free")
    left_out = set(free) - set(without_held_out(free))
    assert {path.name for path in left_out} == set(held_out_hashes("photos_free").values())


def test_a_copy_under_another_name_is_left_out_and_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(3):
        Image.fromarray(np.full((8, 8, 3), index, np.uint8)).save(tmp_path / f"{index}.png")
    listed = tmp_path / "list" / "held_out.tsv"
    listed.parent.mkdir()
    digest = hashlib.sha256((tmp_path / "1.png").read_bytes()).hexdigest()
    listed.write_text(f"sha256\tset\tname\n{digest}\tmine\t1.png\n")
    monkeypatch.setattr(held_out, "LISTED", listed)
    held_out_hashes.cache_clear()
    shutil.copy(tmp_path / "1.png", tmp_path / "other.png")
    try:
        assert [path.name for path in training_pictures(tmp_path)] == ["0.png", "2.png"]
        for name in ("0.png", "2.png"):
            (tmp_path / name).unlink()
        with pytest.raises(FileNotFoundError, match="held out for measuring"):
            training_pictures(tmp_path)
    finally:
        held_out_hashes.cache_clear()
