"""Places in a picture that XMP names: turned with its orientation, and scaled with its size.

Regions of faces and objects (MWG Regions, Microsoft's, ACDSee's, IPTC's), photo spheres (GPano), and the sizes that the
TIFF and EXIF schemas repeat. What a packet says besides stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from enhancer.codecs.xmp_document import Properties, edit, everything

Size = tuple[int, int]
"""Width and height in pixels."""
Point = tuple[float, float]

_MWG: Final = "http://www.metadataworkinggroup.com/schemas/regions/"
_AREA: Final = "http://ns.adobe.com/xmp/sType/Area#"
_DIMENSIONS: Final = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
_MICROSOFT: Final = "http://ns.microsoft.com/photo/1.2/t/Region#"
_ACDSEE_AREA: Final = "http://ns.acdsee.com/sType/Area#"
_ACDSEE_DIMENSIONS: Final = "http://ns.acdsee.com/sType/Dimensions#"
_IPTC: Final = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_PANORAMA: Final = "http://ns.google.com/photos/1.0/panorama/"
_TIFF: Final = "http://ns.adobe.com/tiff/1.0/"
_EXIF: Final = "http://ns.adobe.com/exif/1.0/"
_ALL: Final = (_MWG, _MICROSOFT, _ACDSEE_AREA, "RegionBoundary", _PANORAMA, _TIFF, _EXIF)

_SIZES: Final = ((_TIFF, "ImageWidth", "ImageLength"), (_EXIF, "PixelXDimension", "PixelYDimension"))
_PANORAMA_ACROSS: Final = ("FullPanoWidthPixels", "CroppedAreaImageWidthPixels", "CroppedAreaLeftPixels")
_PANORAMA_DOWN: Final = ("FullPanoHeightPixels", "CroppedAreaImageHeightPixels", "CroppedAreaTopPixels")
_INNER_ACROSS: Final = ("LargestValidInteriorRectLeft", "LargestValidInteriorRectWidth")
_INNER_DOWN: Final = ("LargestValidInteriorRectTop", "LargestValidInteriorRectHeight")


def turned(packet: bytes, orientation: int, stored: Size, warnings: list[str]) -> bytes:
    """The packet for a picture that was turned upright.

    Regions whose AppliedToDimensions are already those of the upright picture are taken to be upright too.

    Args:
        packet: as the file has it.
        orientation: EXIF's, 1 to 8, that the pixels were turned by.
        stored: the picture's size in the file.
        warnings: gets what could not be brought up to date.
    """
    if orientation == 1:
        return packet
    return _changed(packet, lambda root: _turn(root, orientation, stored), warnings, "turned")


def scaled(packet: bytes, before: Size, after: Size, warnings: list[str]) -> bytes:
    """The packet for a picture that was enlarged or reduced from one size to another."""
    if before == after:
        return packet
    return _changed(packet, lambda root: _scale(root, before, after), warnings, "scaled")


def _changed(packet: bytes, change: Callable[[minidom.Element], None], warnings: list[str], what: str) -> bytes:
    if not any(name.encode() in packet for name in _ALL):
        return packet
    try:
        return edit(packet, change)
    except (ValueError, ExpatError) as error:
        warnings.append(f"XMP is not readable, so regions and sizes in it were not {what}: {error}")
        return packet


def _turn(root: minidom.Element, orientation: int, stored: Size) -> None:
    swapped = orientation >= 5
    upright = False
    for namespace in (_DIMENSIONS, _ACDSEE_DIMENSIONS):
        for dimensions in _with(root, namespace, "w"):
            width, height = dimensions.number("w"), dimensions.number("h")
            if swapped and width and height:
                if (width > height) != (stored[0] > stored[1]) and stored[0] != stored[1]:
                    upright = True
                else:
                    _exchange(dimensions, "w", "h")
    if swapped:
        for namespace, across, down in _SIZES:
            for sizes in _with(root, namespace, across):
                _exchange(sizes, across, down)
    if not upright:
        _turn_regions(root, orientation, stored)


def _turn_regions(root: minidom.Element, orientation: int, stored: Size) -> None:
    for namespace in (_AREA, _ACDSEE_AREA):
        for area in _with(root, namespace, "x"):
            span = stored if area.get("unit") == "pixel" else (1, 1)
            _put_point(area, "x", "y", _turned_point(_point(area, "x", "y"), orientation, span))
            if orientation >= 5:
                _exchange(area, "w", "h")
    for region in _with(root, _MICROSOFT, "Rectangle"):
        parts = (region.get("Rectangle") or "").split(",")
        try:
            left, top, width, height = (float(part) for part in parts)
        except ValueError:
            continue
        box = _turned_box((left, top), (width, height), orientation, (1, 1))
        region.set("Rectangle", ", ".join(_number(value) for value in box))
    for shape in _with(root, _IPTC, "rbX"):
        span = stored if shape.get("rbUnit") == "pixel" else (1, 1)
        corner = _point(shape, "rbX", "rbY")
        extent = _point(shape, "rbW", "rbH")
        if corner is not None and extent is not None:
            box = _turned_box(corner, extent, orientation, span)
            for name, value in zip(("rbX", "rbY", "rbW", "rbH"), box, strict=True):
                shape.set(name, _number(value))
        else:
            _put_point(shape, "rbX", "rbY", _turned_point(corner, orientation, span))


def _scale(root: minidom.Element, before: Size, after: Size) -> None:
    across, down = after[0] / before[0], after[1] / before[1]
    for namespace in (_DIMENSIONS, _ACDSEE_DIMENSIONS):
        for dimensions in _with(root, namespace, "w"):
            if dimensions.get("unit") in (None, "pixel"):
                _multiply(dimensions, ("w",), across, whole=True)
                _multiply(dimensions, ("h",), down, whole=True)
    _scale_regions(root, across, down)
    for namespace, wide, high in _SIZES:
        for sizes in _with(root, namespace, wide):
            sizes.set(wide, str(after[0]))
            sizes.set(high, str(after[1]))
    for name in (*_PANORAMA_ACROSS, *_INNER_ACROSS, *_PANORAMA_DOWN, *_INNER_DOWN):
        for panorama in _with(root, _PANORAMA, name):
            is_across = name in _PANORAMA_ACROSS or name in _INNER_ACROSS
            _multiply(panorama, (name,), across if is_across else down, whole=True)


def _scale_regions(root: minidom.Element, across: float, down: float) -> None:
    """Those that are stated in pixels; the others are fractions of the picture."""
    for namespace in (_AREA, _ACDSEE_AREA):
        for area in _with(root, namespace, "x"):
            if area.get("unit") == "pixel":
                _multiply(area, ("x", "w"), across)
                _multiply(area, ("y", "h"), down)
                _multiply(area, ("d",), (across * down) ** 0.5)
    for shape in _with(root, _IPTC, "rbX"):
        if shape.get("rbUnit") == "pixel":
            _multiply(shape, ("rbX", "rbW", "rbRx"), across)
            _multiply(shape, ("rbY", "rbH"), down)


def _with(root: minidom.Element, namespace: str, name: str) -> list[Properties]:
    """What has the property `name` of a namespace."""
    every = (Properties(element, namespace) for element in everything(root))
    return [properties for properties in every if properties.get(name) is not None]


def _point(properties: Properties, across: str, down: str) -> Point | None:
    x, y = properties.number(across), properties.number(down)
    return None if x is None or y is None else (x, y)


def _put_point(properties: Properties, across: str, down: str, point: Point | None) -> None:
    if point is not None:
        properties.set(across, _number(point[0]))
        properties.set(down, _number(point[1]))


def _turned_point(point: Point | None, orientation: int, span: tuple[float, float]) -> Point | None:
    """Where a point of the stored picture (of this span) lies in the upright one."""
    if point is None:
        return None
    x, y = point
    if orientation in (2, 3, 7, 8):
        x = span[0] - x
    if orientation in (3, 4, 6, 7):
        y = span[1] - y
    return (y, x) if orientation >= 5 else (x, y)


def _turned_box(
    corner: Point, size: Point, orientation: int, span: tuple[float, float]
) -> tuple[float, float, float, float]:
    """A box of its upper left corner and size, in the upright picture."""
    middle = _turned_point((corner[0] + size[0] / 2, corner[1] + size[1] / 2), orientation, span) or corner
    width, height = (size[1], size[0]) if orientation >= 5 else size
    return middle[0] - width / 2, middle[1] - height / 2, width, height


def _exchange(properties: Properties, one: str, other: str) -> None:
    first, second = properties.get(one), properties.get(other)
    if first is not None and second is not None:
        properties.set(one, second)
        properties.set(other, first)


def _multiply(properties: Properties, names: tuple[str, ...], factor: float, *, whole: bool = False) -> None:
    for name in names:
        value = properties.number(name)
        if value is not None:
            properties.set(name, str(round(value * factor)) if whole else _number(value * factor))


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
