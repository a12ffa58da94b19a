"""What the viewer shows: thumbnails, tiles of pyramids, and where to find which. Bytes of archives that workers made
(:mod:`enhancer.batch.views`) are passed on as they are.
"""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Path, Request, Response

from enhancer.batch import layout
from enhancer.batch.views import SIDES, About, Side, ViewArchives, thumbnail_name, tile_name
from enhancer.contract import SCHEMA_VERSION
from enhancer.errors import EnhancerError
from enhancer.ledger.rows import Item, Run
from enhancer.storage import open_store
from enhancer.storage.roots import Roots
from enhancer_ui import pictures, showing
from enhancer_ui.api import Key, LedgerReader, RunId
from enhancer_ui.configuration import ui_settings
from enhancer_ui.listing import NO_NUL
from enhancer_ui.reading import NotFoundError

router = APIRouter()

_archives: Final = ViewArchives()
_TILE_HEADERS: Final = {**pictures.PRIVATE_PICTURE, "Cache-Control": "private, max-age=600"}

PathRun = Annotated[str, Path(min_length=1, max_length=250, pattern=NO_NUL)]
Position = Annotated[int, Path(ge=0, lt=10**8)]
Tile = Annotated[str, Path(max_length=80, pattern=NO_NUL)]


def _entry(run: Run, position: int, name: str) -> tuple[bytes, str] | None:
    """An entry of the archive of one of the run's pictures, with its tag; None where there is none.

    Raises:
        ForeignAddressError: the run's work_url lies outside the configured addresses.
        PictureError, StorageError: the archive is damaged or cannot be read.
    """
    settings = ui_settings()
    pictures.check_shown(run.work_url, Roots.of(settings))
    return _archives.read(open_store(run.work_url, settings), layout.views_key(run.run_id, position), name)


def _jpeg(request: Request, found: tuple[bytes, str], headers: dict[str, str]) -> Response:
    data, tag = found
    headers = {**headers, "ETag": f'"{tag}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type="image/jpeg", headers=headers)


@router.get("/thumbnail")
def thumbnail(request: Request, reader: LedgerReader, run_id: RunId, key: Key, side: Side) -> Response:
    """One side of an item at most 320 pixels wide and high, in display colours; the object itself where that is small
    and no thumbnail was made; 204 where there is neither.
    """
    run, row = reader.plain_item(run_id, key)
    found = _entry(run, row.position, thumbnail_name(side))
    if found is not None:
        return _jpeg(request, found, pictures.PRIVATE_PICTURE)
    view = pictures.view(run, row, side, Roots.of(ui_settings()))
    if view.place is None or not view.small:
        return Response(status_code=204)
    return pictures.answer(request, pictures.open_picture(view.place, ui_settings()))


@router.get("/tiles/{run_id}/{position}/{side}/{tile:path}")
def tile(
    request: Request, reader: LedgerReader, run_id: PathRun, position: Position, side: Side, tile: Tile
) -> Response:
    """A tile of a pyramid, at the address that the IIIF Image API gives it below ``tiles/RUN/POSITION/SIDE``."""
    run = reader.plain_run(run_id)
    name = tile_name(side, tile)
    found = None if name is None else _entry(run, position, name)
    if found is None:
        raise NotFoundError(f"There is no tile {tile!r} of picture {position} in run {run_id!r}.")
    return _jpeg(request, found, _TILE_HEADERS)


@router.get("/api/views")
def views(reader: LedgerReader, run_id: RunId, key: Key) -> dict[str, Any]:
    """What the viewer may show of an item: for each side its size, histogram, thumbnail and the best source there is,
    ``tiles`` (an IIIF description) or ``picture`` (an address); `reason` says why there is none. A side is null where
    there is no picture (yet).
    """
    run, row = reader.plain_item(run_id, key)
    roots, settings = Roots.of(ui_settings()), ui_settings()
    about, trouble = About(), ""
    try:
        pictures.check_shown(run.work_url, roots)
        about = _archives.about(open_store(run.work_url, settings), layout.views_key(run_id, row.position))
    except EnhancerError as error:  # the pictures themselves may be there all the same
        trouble = error.message
    sides = {side: _side(run, row, side, about, pictures.view(run, row, side, roots)) for side in SIDES}
    return {"schema_version": SCHEMA_VERSION, "sides": sides, "trouble": trouble}


def _side(run: Run, row: Item, side: Side, about: About, view: pictures.View) -> dict[str, Any] | None:
    if view.place is None:
        return None
    known = about.sides.get(side)
    width, height = (row.width, row.height) if side == "before" else (row.output_width, row.output_height)
    query = {"run_id": run.run_id, "key": row.key, "side": side}
    found: dict[str, Any] = {
        "width": width if known is None else known.width,
        "height": height if known is None else known.height,
        "histogram": [] if known is None else known.histogram,
        "note": "" if known is None else known.note,
        "address": view.place.address,
        "thumbnail": showing.link("thumbnail", **query) if view.thumbnail else None,
    }
    if view.refusal is not None:
        return {**found, "reason": view.refusal}
    tiles = None if known is None else known.as_iiif(f"tiles/{quote(run.run_id, safe='')}/{row.position}/{side}")
    if tiles is not None:
        return {**found, "tiles": tiles}
    if view.place.displayable and (width or 0) * (height or 0) <= pictures.MAX_PIXELS:
        return {**found, "picture": showing.link("picture", **query)}
    return {
        **found,
        "reason": "Browsers do not show this file, and no pyramid of it was kept (the setting ENHANCER_VIEW_PYRAMIDS): "
        f"fetch it from {view.place.address}",
    }
