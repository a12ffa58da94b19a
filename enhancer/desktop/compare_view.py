"""Before and after at any zoom, under one movable divider or side by side, always at the same place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from enhancer.desktop.pyramid import Pyramid
from enhancer.desktop.text import tr

GRIP: Final = 10
"""Points to each side of the divider where it can be taken hold of."""

LARGEST_ZOOM: Final = 64.0
STEP: Final = 1.25


class Layout(StrEnum):
    """How the two are shown."""

    DIVIDER = "divider"
    SIDE_BY_SIDE = "side by side"


@dataclass(slots=True)
class Patch:
    """An enhanced crop shown in its place.

    Attributes:
        box: left, top, width, height in pixels of the picture on the left.
        pyramid: the crop.
    """

    box: tuple[int, int, int, int]
    pyramid: Pyramid


@dataclass(slots=True)
class Side:
    """What one of the two shows."""

    pyramid: Pyramid | None = None
    patch: Patch | None = None
    caption: str = ""


class CompareView(QWidget):
    """Shows two versions of a picture synchronously.

    The wheel zooms where the pointer is, dragging moves the picture or the divider. Keys: ``+`` and ``-`` zoom, ``0``
    fits, ``1`` is one pixel of the input to one of the screen, the arrows move the picture, ``,`` and ``.`` the
    divider.
    """

    moved = Signal()
    """The part that is seen changed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.left, self.right = Side(), Side()
        self._layout = Layout.DIVIDER
        self._zoom = 1.0
        self._fits = True
        self._centre = QPointF(0.5, 0.5)
        self._divider = 0.5
        self._dragged: QPointF | None = None
        self._on_divider = False
        self.hint = ""
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(QSize(240, 180))
        self.setAccessibleName(tr("Before and after"))
        self.setAccessibleDescription(
            tr("Wheel or + and - zoom, 0 fits, arrows move, comma and full stop move the divider")
        )

    # What is shown

    def show_left(self, pyramid: Pyramid | None, caption: str = "") -> None:
        """The version on the left; it sets the coordinates of both."""
        new = pyramid is None or self.left.pyramid is None or pyramid.width != self.left.pyramid.width
        self.left = Side(pyramid, None, caption)
        if new:
            self.fit()
        self.update()

    def show_right(self, pyramid: Pyramid | None, caption: str = "") -> None:
        """The version on the right."""
        self.right = Side(pyramid, None, caption)
        self.update()

    def set_patch(self, side: Side, patch: Patch | None) -> None:
        """Show an enhanced crop on one side."""
        side.patch = patch
        self.update()

    def set_layout(self, layout: Layout) -> None:
        """Divider or side by side."""
        self._layout = layout
        self._settle()

    def pixel_size(self) -> tuple[int, int]:
        """Width and height of the picture on the left; 0, 0 where there is none."""
        pyramid = self.left.pyramid
        return (0, 0) if pyramid is None else (pyramid.width, pyramid.height)

    def middle(self) -> tuple[float, float]:
        """The pixel of the left picture that is in the middle of the view."""
        width, height = self.pixel_size()
        return self._centre.x() * width, self._centre.y() * height

    # Zoom

    @property
    def zoom(self) -> float:
        """Coordinates of the screen for one pixel of the left picture."""
        return self._zoom

    def fit(self) -> None:
        """The whole picture."""
        self._fits = True
        self._centre = QPointF(0.5, 0.5)
        self._settle()

    def zoom_to(self, zoom: float, at: QPointF | None = None) -> None:
        """Zoom, keeping the point `at` of the widget (its middle) where it is."""
        width, height = self.pixel_size()
        if not width:
            return
        pane = self._pane(at)
        at = pane.center() if at is None else at
        offset = at - pane.center()
        pixel = QPointF(self._centre.x() * width, self._centre.y() * height) + offset / self._zoom
        self._fits = False
        self._zoom = min(max(zoom, self._fitting() / 2), LARGEST_ZOOM)
        centre = pixel - offset / self._zoom
        self._centre = QPointF(centre.x() / width, centre.y() / height)
        self._settle()

    def _fitting(self) -> float:
        width, height = self.pixel_size()
        pane = self._pane(None)
        return min(pane.width() / width, pane.height() / height) if width else 1.0

    def _settle(self) -> None:
        if self._fits:
            self._zoom = self._fitting()
        self._centre = QPointF(min(max(self._centre.x(), 0), 1), min(max(self._centre.y(), 0), 1))
        self.update()
        self.moved.emit()

    def _panes(self) -> tuple[QRectF, QRectF]:
        whole = QRectF(self.rect())
        if self._layout is Layout.DIVIDER:
            return whole, whole
        half = (whole.width() - 2) / 2
        return QRectF(0, 0, half, whole.height()), QRectF(half + 2, 0, half, whole.height())

    def _pane(self, at: QPointF | None) -> QRectF:
        left, right = self._panes()
        return right if at is not None and not left.contains(at) else left

    # Painting

    def paintEvent(self, event: QPaintEvent) -> None:
        """Both versions, the divider, captions; or the hint where there is nothing."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), self.palette().window().color().darker(112))
        if self.left.pyramid is None:
            painter.setPen(self.palette().placeholderText().color())
            painter.drawText(self.rect().adjusted(24, 24, -24, -24), _CENTRED, self.hint)
            return
        first, second = self._panes()
        if self._layout is Layout.DIVIDER:
            x = self._divider * self.width()
            self._paint_side(painter, self.left, first, QRectF(0, 0, x, self.height()))
            self._paint_side(painter, self.right, second, QRectF(x, 0, self.width() - x, self.height()))
            self._paint_divider(painter, x)
            self._paint_caption(painter, self.left.caption, QRectF(0, 0, x, self.height()), at_right=False)
            rest = QRectF(x, 0, self.width() - x, self.height())
            self._paint_caption(painter, self.right.caption, rest, at_right=True)
            return
        for side, pane in ((self.left, first), (self.right, second)):
            self._paint_side(painter, side, pane, pane)
            self._paint_caption(painter, side.caption, pane, at_right=False)

    def _place(self, pane: QRectF) -> QRectF:
        width, height = self.pixel_size()
        w, h = width * self._zoom, height * self._zoom
        return QRectF(pane.center().x() - self._centre.x() * w, pane.center().y() - self._centre.y() * h, w, h)

    def _paint_side(self, painter: QPainter, side: Side, pane: QRectF, seen: QRectF) -> None:
        pyramid = side.pyramid or self.left.pyramid
        if pyramid is None:
            return
        place, ratio = self._place(pane), self.devicePixelRatioF()
        painter.save()
        painter.setClipRect(seen)
        pyramid.paint(painter, place, seen, ratio)
        if side.patch is not None:
            x, y, w, h = (value * self._zoom for value in side.patch.box)
            box = QRectF(place.left() + x, place.top() + y, w, h)
            side.patch.pyramid.paint(painter, box, seen, ratio)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(255, 255, 255, 150), 1, Qt.PenStyle.DashLine))
            painter.drawRect(box)
        painter.restore()

    def _paint_divider(self, painter: QPainter, x: float) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(0, 0, 0, 90), 4))
        painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
        painter.setPen(QPen(QColor(255, 255, 255), 2))
        painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
        painter.setBrush(QColor(255, 255, 255))
        painter.setPen(QPen(QColor(0, 0, 0, 90), 1))
        middle = QPointF(x, self.height() / 2)
        painter.drawEllipse(middle, 11, 11)
        painter.setPen(QPen(QColor(70, 70, 70), 2))
        for sign in (-1, 1):
            tip = middle + QPointF(sign * 6, 0)
            painter.drawLine(tip, tip + QPointF(-sign * 3, -3))
            painter.drawLine(tip, tip + QPointF(-sign * 3, 3))

    def _paint_caption(self, painter: QPainter, caption: str, pane: QRectF, *, at_right: bool) -> None:
        if not caption:
            return
        size = painter.fontMetrics().boundingRect(caption).size()
        box = QRectF(0, 0, size.width() + 16, size.height() + 8)
        if box.width() + 20 > pane.width():
            return
        box.moveTopLeft(QPointF(pane.right() - box.width() - 10 if at_right else pane.left() + 10, 10))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(0, 0, 0, 150))
        painter.drawRoundedRect(box, 4, 4)
        painter.setPen(QColor(255, 255, 255))
        painter.drawText(box, _CENTRED, caption)

    # Pointer and keys

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A picture that fits goes on fitting."""
        self._settle()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom where the pointer is."""
        self.zoom_to(self._zoom * STEP ** (event.angleDelta().y() / 120), event.position())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of the divider or of the picture."""
        if event.button() is Qt.MouseButton.LeftButton:
            self._dragged = event.position()
            self._on_divider = self._near_divider(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move what is held."""
        at = event.position()
        if self._dragged is None:
            near = self._near_divider(at)
            self.setCursor(Qt.CursorShape.SplitHCursor if near else Qt.CursorShape.OpenHandCursor)
        elif self._on_divider:
            self._set_divider(at.x() / max(1, self.width()))
        else:
            self._move(self._dragged - at)
            self._dragged = at

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        self._dragged = None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The keys that the class names."""
        step = {_KEY.Key_Left: (-40, 0), _KEY.Key_Right: (40, 0), _KEY.Key_Up: (0, -40), _KEY.Key_Down: (0, 40)}
        key = _KEY(event.key())
        if key in step:
            self._move(QPointF(*step[key]))
        elif key in (_KEY.Key_Plus, _KEY.Key_Equal):
            self.zoom_to(self._zoom * STEP)
        elif key is _KEY.Key_Minus:
            self.zoom_to(self._zoom / STEP)
        elif key is _KEY.Key_0:
            self.fit()
        elif key is _KEY.Key_1:
            self.zoom_to(1 / self.devicePixelRatioF())
        elif key in (_KEY.Key_Comma, _KEY.Key_Period):
            self._set_divider(self._divider + (0.05 if key is _KEY.Key_Period else -0.05))
        else:
            super().keyPressEvent(event)

    def _near_divider(self, at: QPointF) -> bool:
        return self._layout is Layout.DIVIDER and abs(at.x() - self._divider * self.width()) <= GRIP

    def _set_divider(self, share: float) -> None:
        self._divider = min(max(share, 0), 1)
        self.update()

    def _move(self, by: QPointF) -> None:
        width, height = self.pixel_size()
        if width:
            self._fits = False
            self._centre += QPointF(by.x() / self._zoom / width, by.y() / self._zoom / height)
            self._settle()


_KEY = Qt.Key
_CENTRED = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
