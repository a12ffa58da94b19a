"""What a better, slower net makes of the training pictures, computed once and stored.

A teacher's output is what can be known of the picture at all; learning from it is less noisy than learning from the
truth (C. Gao et al., "Image Super-Resolution Using Knowledge Distillation", ACCV 2018).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from enhancer.backends.tiler import run_tiled
from enhancer.settings import Settings
from enhancer.stages.nets import Nets
from enhancer.training.pictures import list_pictures, load_picture, reduced


def write_outputs(folder: Path, teacher: str | Path, scale: int, out: Path) -> int:
    """Enlarge the reduced form of every picture; those that are there already are kept.

    Args:
        folder: clean pictures.
        teacher: a super-resolution net of the catalogue, or the file of one that spandrel knows.
        scale: its scale.
        out: one .npy a picture, uint8, H x W x 3, named after the picture.

    Returns:
        How many were written.
    """
    out.mkdir(parents=True, exist_ok=True)
    if isinstance(teacher, Path):
        net = Nets(Settings(), sr_path=teacher).super_resolution(scale)
    else:
        net = Nets(Settings()).super_resolution(scale, teacher)
    written = 0
    for path in list_pictures(folder):
        target = out / f"{path.stem}.npy"
        if target.exists():
            continue
        small = reduced(load_picture(path, scale), scale)
        planes = np.ascontiguousarray(small.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)
        large = np.rint(np.clip(run_tiled(net, planes), 0, 1) * 255).astype(np.uint8)
        partial = target.with_suffix(".partial.npy")
        np.save(partial, large.transpose(1, 2, 0))
        partial.rename(target)
        written += 1
    return written
