"""What a better, slower net makes of the training pictures, computed once and stored.

A teacher's output is what can be known of the picture at all; learning from it is less noisy than learning from the
truth (C. Gao et al., "Image Super-Resolution Using Knowledge Distillation", ACCV 2018). And a teacher needs no truth:
it enlarges pictures that were reduced less as well, which is many times as much to learn from.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from enhancer.backends.tiler import run_tiled
from enhancer.settings import Settings
from enhancer.stages.nets import Nets
from enhancer.training.held_out import training_pictures
from enhancer.training.pictures import Bytes, load_picture, reduced


def write_outputs(
    folders: Iterable[Path], teacher: str | Path, scale: int, out: Path, reductions: Iterable[int] = ()
) -> int:
    """Enlarge the reduced forms of every picture; those that are there already are kept.

    Args:
        folders: of clean pictures.
        teacher: a super-resolution net of the catalogue, or the file of one that spandrel knows.
        scale: its scale, by which every picture is reduced first, so that the truth is known.
        out: one .npy a picture and reduction, uint8, H x W x 3.
        reductions: further factors to reduce the pictures by.

    Returns:
        How many were written.
    """
    out.mkdir(parents=True, exist_ok=True)
    if isinstance(teacher, Path):
        net = Nets(Settings(), sr_path=teacher).super_resolution(scale)
    else:
        net = Nets(Settings()).super_resolution(scale, teacher)
    written = 0
    for path in training_pictures(*folders):
        for factor in {scale, *reductions}:
            target = _place(path, factor, out)
            if target.exists():
                continue
            small = reduced(load_picture(path, factor), factor)
            planes = np.ascontiguousarray(small.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)
            large = np.rint(np.clip(run_tiled(net, planes), 0, 1) * 255).astype(np.uint8)
            partial = target.with_name(f"~{target.name}")
            np.save(partial, large.transpose(1, 2, 0))
            partial.rename(target)
            written += 1
    return written


def outputs_of(path: Path, folder: Path) -> Iterator[tuple[int, Bytes]]:
    """What a teacher made of a picture: by how much it had been reduced, and the enlargement, H x W x 3 bytes.

    Raises:
        FileNotFoundError: nothing of this picture is in `folder`.
    """
    found = sorted(folder.glob(f"{glob.escape(path.stem)}.by*.npy"))
    if not found:
        raise FileNotFoundError(f"no teacher's output of {path.name} in {folder}: write it with --teacher")
    for file in found:
        yield int(file.name.removesuffix(".npy").rpartition(".by")[2]), np.load(file)


def _place(path: Path, factor: int, folder: Path) -> Path:
    return folder / f"{path.stem}.by{factor}.npy"
