"""A before/after sheet: every picture whole, and its most detailed part at the result's own pixels."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageCms, ImageDraw, ImageFont, ImageOps

from enhancer.errors import RequestError
from enhancer.files import write_atomically
from enhancer.image import Image, to_unit

if TYPE_CHECKING:
    from enhancer.contract import ItemRecord

SIDE: Final = 320
GAP: Final = 8
LINE: Final = 40
MOST: Final = 50
"""Rows of a sheet; the pictures after them are counted in its last line."""

FORMATS: Final = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}


class Sheet:
    """Collects rows of four: before and after, whole and in detail.

    Args:
        path: of the file, ``.jpg`` or ``.png``.

    Raises:
        RequestError: another extension (``bad-file``).
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in FORMATS:
            raise RequestError(f"a sheet is a .jpg or .png file, not {path}", reason="bad-file")
        self.path = path
        self._rows: list[tuple[list[PillowImage.Image], str]] = []
        self._left_out = 0

    def add(self, before: Image, after: Image) -> None:
        """A picture's row; :meth:`caption` completes it."""
        if len(self._rows) == MOST:
            self._left_out += 1
            return
        shown = [_shown(before), _shown(after)]
        self._rows.append(([*(_whole(one) for one in shown), *_details(*shown)], ""))

    def caption(self, record: ItemRecord) -> None:
        """Say under the newest row which picture it is and what was done to it."""
        from enhancer.cli.output import what_was_done

        if self._rows and not self._left_out:
            tiles, _ = self._rows[-1]
            sizes = f"{record.width} x {record.height} to {record.output_width} x {record.output_height}"
            self._rows[-1] = (tiles, f"{record.input}\n{sizes}: {what_was_done(record)}")

    def save(self) -> None:
        """Write the sheet, whole or not at all.

        Raises:
            RequestError: there is nothing to show (``empty-sheet``).
        """
        if not self._rows:
            raise RequestError("no picture was enhanced, so there is no sheet", reason="empty-sheet")
        font = ImageFont.load_default(14)
        row = SIDE + LINE + 2 * GAP
        footer = LINE if self._left_out else 0
        canvas = PillowImage.new("RGB", (4 * SIDE + 5 * GAP, LINE + len(self._rows) * row + footer), "white")
        draw = ImageDraw.Draw(canvas)
        for column, title in enumerate(("before", "after", "before, detail", "after, detail")):
            draw.text((GAP + column * (SIDE + GAP), GAP), title, "black", font)
        for number, (tiles, caption) in enumerate(self._rows):
            top = LINE + number * row
            for column, tile in enumerate(tiles):
                left = GAP + column * (SIDE + GAP)
                canvas.paste(tile, (left + (SIDE - tile.width) // 2, top + (SIDE - tile.height) // 2))
            draw.multiline_text((GAP, top + SIDE + GAP), caption, "black", font)
        if self._left_out:
            draw.text((GAP, canvas.height - LINE + GAP), f"and {self._left_out} more pictures", "black", font)
        buffer = io.BytesIO()
        canvas.save(buffer, FORMATS[self.path.suffix.lower()], quality=90)
        write_atomically(self.path, buffer.getvalue())


def _shown(image: Image) -> PillowImage.Image:
    """As a screen would show it: 8 bits, sRGB, transparency on white."""
    values = to_unit(image.pixels, image.metadata.float_range)
    if image.alpha is not None:
        opacity = to_unit(image.alpha)[..., None]
        values = values * opacity + (1 - opacity)
    eight = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    shown = PillowImage.fromarray(eight[..., 0] if image.is_grey else eight)
    if image.metadata.icc is not None:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(image.metadata.icc))
            shown = ImageCms.profileToProfile(shown, profile, ImageCms.createProfile("sRGB"), outputMode="RGB") or shown
        except (OSError, ImageCms.PyCMSError):
            pass  # a profile that is no use is a warning of its picture; the values are shown as they are
    return shown.convert("RGB")


def _whole(picture: PillowImage.Image) -> PillowImage.Image:
    return ImageOps.contain(picture, (SIDE, SIDE), PillowImage.Resampling.LANCZOS)


def _details(before: PillowImage.Image, after: PillowImage.Image) -> list[PillowImage.Image]:
    """One square of both, at the result's pixels: where the result has most detail; the input bicubically enlarged."""
    side = min(SIDE, after.width, after.height)
    grey = np.asarray(after.convert("L"), dtype=np.float32)
    detail = np.zeros_like(grey)
    detail[:-1, :-1] = np.abs(np.diff(grey, axis=0)[:, :-1]) + np.abs(np.diff(grey, axis=1)[:-1])
    total = np.pad(detail.cumsum(0, dtype=np.float64).cumsum(1), ((1, 0), (1, 0)))
    step = max(1, side // 8)
    corners = [(y, x) for y in range(0, after.height - side + 1, step) for x in range(0, after.width - side + 1, step)]
    y, x = max(corners, key=lambda at: _box_sum(total, at[0], at[1], side))
    across, down = before.width / after.width, before.height / after.height
    box = (x * across, y * down, (x + side) * across, (y + side) * down)
    enlarged = before.resize((side, side), PillowImage.Resampling.BICUBIC, box=box)
    return [enlarged, after.crop((x, y, x + side, y + side))]


def _box_sum(total: np.ndarray[tuple[int, int], np.dtype[np.float64]], y: int, x: int, side: int) -> float:
    """Sum over a square, from the integral image."""
    return float(total[y + side, x + side] - total[y, x + side] - total[y + side, x] + total[y, x])
