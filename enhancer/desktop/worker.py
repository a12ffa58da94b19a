"""The child process: reads JSON requests, one a line, from standard input and answers each with one JSON line.

``enhance`` makes a result as ``enhancer enhance`` does; ``view`` decodes a picture for the screen; ``preview`` enhances
a crop. Whatever a library prints goes to standard error. The process ends when its standard input does, so that it
never outlives the window.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from enhancer.desktop.order import Order
from enhancer.errors import EnhancerError
from enhancer.extras import imports_of_extras, missing_extra

if TYPE_CHECKING:
    from enhancer.contract import ItemRecord
    from enhancer.image import Image
    from enhancer.processing import ImageEnhancer
    from enhancer.settings import Settings

KEPT_PICTURES: Final = 2
"""Decoded pictures kept for previews."""

KEPT_PIXELS: Final = 40_000_000
"""A larger one is decoded again for each preview instead of being kept."""


class Worker:
    """Answers requests; keeps nets and the last pictures between them.

    Args:
        settings: limits, device, threads, cache.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._enhancers: dict[str, ImageEnhancer] = {}
        self._previewers: dict[str, ImageEnhancer] = {}
        self._pictures: OrderedDict[tuple[str, int], Image] = OrderedDict()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request; an error is one too."""
        try:
            with imports_of_extras():
                given: dict[str, Any] = getattr(self, f"do_{request['do']}")(request)
        except Exception as error:  # the window shows it; one request's surprise must not end the others
            found = missing_extra(error) or error
            known = isinstance(found, EnhancerError)
            given = {
                "event": "error",
                "class": found.reason if isinstance(found, EnhancerError) else type(found).__name__,
                "message": str(found) if known else f"unexpected {type(found).__name__}: {found}",
            }
        return {"id": request["id"], **given}

    def do_ping(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load what a first picture needs."""
        self._previewer(Order())
        return {"event": "pong"}

    def do_enhance(self, request: dict[str, Any]) -> dict[str, Any]:
        """One picture into the file ``part``, and its record, whose output is the name that the result has to get."""
        from enhancer.files import read_bytes

        order = Order(**request["order"])
        source, part = Path(request["path"]), Path(request["part"])

        def write(name: str, data: bytes, content_type: str) -> str:
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            return name

        record = self._enhancer(order).enhance_item(request["key"], lambda: read_bytes(source), write)
        record = record.model_copy(update={"input": str(source)})
        if order.truth and record.output is not None:
            self._score(record, part, source, _counterpart(Path(order.truth), request["key"]))
        return {"event": "item", "record": record.model_dump(mode="json", by_alias=True)}

    def do_view(self, request: dict[str, Any]) -> dict[str, Any]:
        """A picture for the screen: its levels as files of 8-bit RGB rows below ``folder``."""
        from enhancer.desktop.levels import write_levels

        image = self._picture(Path(request["path"]))
        levels = write_levels(image, Path(request["folder"]), request["name"])
        return {"event": "view", "levels": levels}

    def do_preview(self, request: dict[str, Any]) -> dict[str, Any]:
        """A crop of a picture, enhanced: stages measure on the crop, with a margin that is cut off afterwards."""
        from enhancer.desktop.levels import enhanced_crop, write_levels
        from enhancer.recipe import parse_recipe

        order = Order(**request["order"])
        recipe = parse_recipe(order.recipe)
        image = self._picture(Path(request["path"]))
        crop, decisions = enhanced_crop(self._previewer(order), recipe, image, request["box"])
        levels = write_levels(crop, Path(request["folder"]), request["name"])
        return {"event": "preview", "levels": levels[:1], "decisions": decisions}

    def _enhancer(self, order: Order) -> ImageEnhancer:
        """The one for a batch: what it makes is the order's recipe."""
        from enhancer.processing import ImageEnhancer
        from enhancer.recipe import parse_recipe
        from enhancer.result_cache import ResultCache

        recipe = parse_recipe(order.recipe)
        key = json.dumps([recipe.canonical_json(), order.nets()])
        if key not in self._enhancers:
            self._enhancers.clear()  # a batch has one order
            config: Any = {**recipe.model_dump(), **order.nets()} if order.nets() else recipe
            cache = ResultCache.from_settings(self._settings)
            self._enhancers[key] = ImageEnhancer(config, settings=self._settings, cache=cache)
        return self._enhancers[key]

    def _previewer(self, order: Order) -> ImageEnhancer:
        """The one for previews: its nets stay loaded while sliders move."""
        from enhancer.processing import ImageEnhancer

        key = json.dumps(order.nets())
        if key not in self._previewers:
            self._previewers.clear()
            self._previewers[key] = ImageEnhancer(order.nets() or None, settings=self._settings)
        return self._previewers[key]

    def _picture(self, path: Path) -> Image:
        """The first page in sRGB."""
        from dataclasses import replace

        from enhancer.codecs import Limits, decode
        from enhancer.codecs.colour import to_working
        from enhancer.files import read_bytes

        data = read_bytes(path)
        key = (str(path), path.stat().st_mtime_ns)
        if key in self._pictures:
            self._pictures.move_to_end(key)
            return self._pictures[key]
        pixels = max(self._settings.max_pixels, self._settings.max_output_pixels)
        limits = replace(Limits.from_settings(self._settings), max_bytes=1 << 40, max_pixels=pixels)
        image = to_working(decode(data, name=str(path), limits=limits).first)
        if image.width * image.height <= KEPT_PIXELS:
            self._pictures[key] = image
            while len(self._pictures) > KEPT_PICTURES:
                self._pictures.popitem(last=False)
        return image

    def _score(self, record: ItemRecord, result: Path, source: Path, truth: Path | None) -> None:
        """Add scores against the truth; their failure is a warning, since the result itself is there."""
        from enhancer.quality.perceptual import LpipsScorer
        from enhancer.quality.scoring import score_baseline, score_reference

        if truth is None:
            record.warnings.append("the truth folder has no picture of this name: not scored")
            return
        try:
            scorer = LpipsScorer(self._settings)
            made, right, given = (self._picture(path) for path in (result, truth, source))
            border = 0 if made.width == given.width else round(made.width / given.width)
            scores = (
                score_reference(made, right, scorer, crop=border),
                score_baseline(given, right, scorer, crop=border),
            )
            record.scores = {one.kind: one.model_dump(mode="json", exclude={"kind"}) for one in scores}
        except EnhancerError as error:
            record.warnings.append(f"not scored: {error.message}")


def _counterpart(truth: Path, key: str) -> Path | None:
    """The truth of a key: at the same relative path, with or without the dropped folder's name, whatever its format."""
    relative = Path(key)
    for place in (relative, Path(*relative.parts[1:])):
        if not place.name:
            continue
        if (truth / place).is_file():
            return truth / place
        folder = truth / place.parent
        if folder.is_dir():
            for file in sorted(folder.iterdir()):
                if file.is_file() and file.stem == place.stem:
                    return file
    return None


def serve(worker: Worker, requests: Iterable[str], answers: TextIO) -> None:
    """Answer until the requests end."""
    answers.write('{"id": 0, "event": "ready"}\n')
    answers.flush()
    for line in requests:
        answers.write(json.dumps(worker.answer(json.loads(line))) + "\n")
        answers.flush()


def _lines() -> Iterator[str]:
    """Standard input's lines. Its end ends the process at once, in the middle of a picture too: the window is gone."""
    waiting: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            waiting.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield waiting.get()


def main() -> None:
    """Entry point of the process."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    from enhancer.settings import get_settings

    settings = get_settings()
    if settings.threads:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(settings.threads)  # read when the libraries are imported, which is later
    serve(Worker(settings), _lines(), answers)


if __name__ == "__main__":
    main()
