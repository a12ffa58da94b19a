"""A picture of :mod:`enhancer.desktop.levels` as the window paints it: only the rows and the size that are seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage, QPainter


class Pyramid:
    """Levels of one picture, mapped into memory.

    Args:
        levels: the largest first, each with ``file``, ``width`` and ``height``.
    """

    def __init__(self, levels: Sequence[dict[str, Any]]) -> None:
        self._levels: list[NDArray[np.uint8]] = [
            np.memmap(one["file"], np.uint8, "r", shape=(one["height"], one["width"], 3)) for one in levels
        ]

    @property
    def width(self) -> int:
        """Pixels of the picture itself."""
        return int(self._levels[0].shape[1])

    @property
    def height(self) -> int:
        """Pixels of the picture itself."""
        return int(self._levels[0].shape[0])

    def paint(self, painter: QPainter, place: QRectF, seen: QRectF, ratio: float = 1.0) -> None:
        """Paint what is seen of the picture.

        Args:
            painter: in the widget's coordinates.
            place: where the whole picture lies.
            seen: the part of the widget that is painted.
            ratio: device pixels of one coordinate.
        """
        visible = place.intersected(seen)
        if visible.isEmpty() or place.isEmpty():
            return
        wanted = place.width() * ratio
        level = next((one for one in reversed(self._levels) if one.shape[1] >= wanted), self._levels[0])
        height, width = level.shape[:2]
        across, down = width / place.width(), height / place.height()
        left = max(0, int((visible.left() - place.left()) * across) - 1)
        top = max(0, int((visible.top() - place.top()) * down) - 1)
        right = min(width, int((visible.right() - place.left()) * across) + 2)
        bottom = min(height, int((visible.bottom() - place.top()) * down) + 2)
        if right <= left or bottom <= top:
            return
        part = np.ascontiguousarray(level[top:bottom, left:right])
        image = QImage(part.data, right - left, bottom - top, 3 * (right - left), QImage.Format.Format_RGB888)
        target = QRectF(
            place.left() + left / across, place.top() + top / down, (right - left) / across, (bottom - top) / down
        )
        painter.save()
        painter.setClipRect(visible, clip_operation())
        # From four times on, a pixel is shown as the square that it is.
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, wanted < 4 * width)
        painter.drawImage(target, image)
        painter.restore()


def clip_operation() -> Any:
    """A further clip narrows the one that is set."""
    from PySide6.QtCore import Qt

    return Qt.ClipOperation.IntersectClip
