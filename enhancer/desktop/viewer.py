"""Pictures and previews for the view, from a warm child process of their own: a batch and the view never wait for each
other.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import QObject, Signal

from enhancer.desktop.child import Child
from enhancer.desktop.order import Order
from enhancer.desktop.pyramid import Pyramid

KEPT: Final = 8
"""Pictures kept on the disk for the view."""

Box = tuple[int, int, int, int]
Wanted = tuple[Path, Box, Order]


class Viewer(QObject):
    """Answers come as signals in the window's thread.

    Of previews, each side has one in work at most and one that waits: while a slider moves, only its last place counts.
    """

    shown = Signal(str, object)
    """Path and :class:`Pyramid`."""
    failed = Signal(str, str)
    """Path (empty: a preview's) and the reason."""
    previewed = Signal(str, object, object, object)
    """Side, box, :class:`Pyramid` and decisions."""
    _answered = Signal(object)

    def __init__(self, parent: QObject | None = None, **child: Any) -> None:
        super().__init__(parent)
        self._folder = tempfile.TemporaryDirectory(prefix="enhancer-desktop-", ignore_cleanup_errors=True)
        self._child = Child(self._answered.emit, **child)
        self._answered.connect(self._take)
        self._asked: dict[int, tuple[str, Any]] = {}
        self._kept: OrderedDict[tuple[str, int], tuple[Pyramid, list[str]]] = OrderedDict()
        self._waiting: dict[str, Wanted] = {}
        self._working: set[str] = set()
        self._names = 0

    def warm_up(self) -> None:
        """Start the child, so that the first picture and preview come soon."""
        self._child.warm_up()

    def configure(self, environment: Mapping[str, str]) -> None:
        """Device and threads, as environment variables."""
        self._child.configure(environment)
        self._asked.clear()
        self._working.clear()

    def show_picture(self, path: Path) -> None:
        """Have :attr:`shown` bring the picture."""
        key = _key(path)
        if key in self._kept:
            self._kept.move_to_end(key)
            self.shown.emit(str(path), self._kept[key][0])
            return
        if ("view", key) not in self._asked.values():
            self._asked[self._ask("view", path=str(path))] = ("view", key)

    def preview(self, side: str, path: Path, box: Box, order: Order) -> None:
        """Have :attr:`previewed` bring a crop as the order would make it."""
        self._waiting[side] = (path, box, order)
        self._next()

    def forget_previews(self) -> None:
        """What waits is not wanted any more."""
        self._waiting.clear()

    def close(self) -> None:
        """End the child and remove its files."""
        self._child.stop()
        self._kept.clear()
        self._folder.cleanup()

    def _ask(self, do: str, **values: Any) -> int:
        self._names += 1
        return self._child.request(do, folder=self._folder.name, name=f"{do}-{self._names}", **values)

    def _next(self) -> None:
        for side in [side for side in self._waiting if side not in self._working]:
            path, box, order = self._waiting.pop(side)
            self._working.add(side)
            asked = self._ask("preview", path=str(path), box=list(box), order=order.to_json())
            self._asked[asked] = ("preview", (side, box, path))

    def _take(self, answer: dict[str, Any]) -> None:
        kind, about = self._asked.pop(answer["id"], ("", None))
        if kind == "view":
            if answer["event"] == "view":
                self._keep(about, answer["levels"])
            else:
                self.failed.emit(about[0], answer["message"])
        elif kind == "preview":
            side, box, _ = about
            self._working.discard(side)
            if answer["event"] == "preview":
                self._show_preview(side, box, answer)
            else:
                self.failed.emit("", answer["message"])
            self._next()

    def _show_preview(self, side: str, box: Box, answer: dict[str, Any]) -> None:
        pyramid = Pyramid(answer["levels"])
        self.previewed.emit(side, box, pyramid, answer["decisions"])
        _unlink([level["file"] for level in answer["levels"]])

    def _keep(self, key: tuple[str, int], levels: list[dict[str, Any]]) -> None:
        pyramid = Pyramid(levels)
        self._kept[key] = (pyramid, [level["file"] for level in levels])
        while len(self._kept) > KEPT:
            _, (_, files) = self._kept.popitem(last=False)
            _unlink(files)
        self.shown.emit(key[0], pyramid)


def _key(path: Path) -> tuple[str, int]:
    try:
        return str(path), path.stat().st_mtime_ns
    except OSError:
        return str(path), 0


def _unlink(files: list[str]) -> None:
    """Remove files that may still be mapped: where a system refuses that, they go with their folder."""
    for file in files:
        with contextlib.suppress(OSError):
            Path(file).unlink()
