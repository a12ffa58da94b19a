"""Geometry of a DICOM data set after its picture was made larger: what is measured in pixels or per pixel follows.

PixelSpacing and its kin are divided (PS3.3, section 10.7.1.3), and the position of the first pixel's centre moves by
half the change of the spacing (PS3.3, C.7.6.2.1.1), so that each corner of the picture keeps its place in the patient.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from pydicom.valuerep import DSfloat

Factors = tuple[float, float]
"""Result's over source's number of rows, and of columns: the order in which DICOM has them."""

_SPACINGS: Final = (
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "ObjectPixelSpacingInCenterOfBeam",
)
_OF_ROWS: Final = (
    "ShutterUpperHorizontalEdge",
    "ShutterLowerHorizontalEdge",
    "CollimatorUpperHorizontalEdge",
    "CollimatorLowerHorizontalEdge",
)
_OF_COLUMNS: Final = (
    "ShutterLeftVerticalEdge",
    "ShutterRightVerticalEdge",
    "CollimatorLeftVerticalEdge",
    "CollimatorRightVerticalEdge",
)
_POINTS: Final = (
    "CenterOfCircularShutter",
    "VerticesOfThePolygonalShutter",
    "CenterOfCircularCollimator",
    "VerticesOfThePolygonalCollimator",
)
_RADII: Final = ("RadiusOfCircularShutter", "RadiusOfCircularCollimator")
_OVERLAYS: Final = range(0x6000, 0x6020, 2)
_CURVES: Final = range(0x5000, 0x5020, 2)


def enlarge(dataset: Any, factors: Factors, warnings: list[str]) -> None:
    """Make the geometry of a pydicom data set true for a picture of another size.

    Scaled: spacings, position in the patient (of frames too), shutters, collimators, ultrasound regions, shifts of
    masks. Left out, named in `warnings`: overlays and curves, which are drawn for the pixels that there were.

    Args:
        dataset: changed in place.
        factors: rows and columns of the result over those of the source.
        warnings: what was left out is added.
    """
    gone = [*_without(dataset, _OVERLAYS, "overlays"), *_without(dataset, _CURVES, "curves")]
    if gone:
        warnings.append(f"left out, for they are drawn for the size before: {', '.join(gone)} of the DICOM")
    _move_frames(dataset, factors)
    _move(dataset, dataset, dataset, factors)
    _divide(dataset, _SPACINGS, factors)
    _scale_shutters(dataset, factors)
    for region in dataset.get("SequenceOfUltrasoundRegions") or ():
        _scale_region(region, factors)
    for mask in dataset.get("MaskSubtractionSequence") or ():
        if mask.get("MaskSubPixelShift"):
            pairs = zip(mask.MaskSubPixelShift, factors, strict=False)
            mask.MaskSubPixelShift = [float(shift) * factor for shift, factor in pairs]


def drop_embedded_overlays(dataset: Any, warnings: list[str]) -> None:
    """Leave out overlays that lay in unused bits of the pixels (retired in 2004): a result's pixels have none."""
    embedded = [
        group
        for group in _OVERLAYS
        if (group, 0x0010) in dataset and (group, 0x3000) not in dataset  # rows, but no OverlayData
    ]
    if _without(dataset, embedded, "overlays"):
        warnings.append("left out: overlays of the DICOM that lay in unused bits of its pixels")


def _without(dataset: Any, groups: Iterable[int], what: str) -> list[str]:
    """The data set without these groups; `what` where there were any."""
    wanted = set(groups)
    tags = [tag for tag in dataset.keys() if tag.group in wanted]  # noqa: SIM118 - iterating decodes every element
    for tag in tags:
        del dataset[tag]
    return [what] if tags else []


def _move_frames(dataset: Any, factors: Factors) -> None:
    """Positions and spacings in the functional groups of enhanced multi-frame objects (PS3.3, C.7.6.16)."""
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or ()), None)
    frames = list(dataset.get("PerFrameFunctionalGroupsSequence") or ())
    groups = [*frames, *([shared] if shared is not None else [])]
    for group in groups:
        position = _macro("PlanePositionSequence", group)
        orientation = _macro("PlaneOrientationSequence", group, shared)
        measures = _macro("PixelMeasuresSequence", group, shared)
        if position is not None and orientation is not None and measures is not None:
            _move(position, orientation, measures, factors)
    for group in groups:
        measures = _macro("PixelMeasuresSequence", group)
        if measures is not None:
            _divide(measures, _SPACINGS, factors)


def _macro(keyword: str, *groups: Any) -> Any | None:
    """The one item of a functional group, of the first of `groups` that has it."""
    for group in groups:
        item = next(iter(group.get(keyword) or ()), None) if group is not None else None
        if item is not None:
            return item
    return None


def _move(position: Any, orientation: Any, measures: Any, factors: Factors) -> None:
    """Move the centre of the first pixel; the three data sets are those that hold each attribute."""
    place, axes = position.get("ImagePositionPatient"), orientation.get("ImageOrientationPatient")
    spacing = measures.get("PixelSpacing")
    if not (place and axes and spacing):
        return
    down, across = ((float(size) / factor - float(size)) / 2 for size, factor in zip(spacing, factors, strict=False))
    moved = [
        float(place[axis]) + float(axes[axis]) * across + float(axes[axis + 3]) * down  # first along a row
        for axis in range(3)
    ]
    position.ImagePositionPatient = _decimals(moved)


def _divide(dataset: Any, keywords: Sequence[str], factors: Factors) -> None:
    for keyword in keywords:
        values = dataset.get(keyword)
        if values:
            setattr(
                dataset,
                keyword,
                _decimals(float(value) / factor for value, factor in zip(values, factors, strict=False)),
            )


def _decimals(values: Iterable[float]) -> list[DSfloat]:
    """Decimal strings of at most 16 characters, which is all that the VR holds."""
    return [DSfloat(value, auto_format=True) for value in values]


def _scale_shutters(dataset: Any, factors: Factors) -> None:
    rows, columns = factors
    for keywords, factor in ((_OF_ROWS, rows), (_OF_COLUMNS, columns)):
        for keyword in keywords:
            if dataset.get(keyword) is not None:
                setattr(dataset, keyword, _counted_from_one(int(dataset.get(keyword)), factor))
    for keyword in _POINTS:
        values = dataset.get(keyword)
        if values:
            scaled = [_counted_from_one(int(value), factors[index % 2]) for index, value in enumerate(values)]
            setattr(dataset, keyword, scaled)
    for keyword in _RADII:
        if dataset.get(keyword) is not None:
            setattr(dataset, keyword, round(int(dataset.get(keyword)) * (rows * columns) ** 0.5))


def _counted_from_one(pixel: int, factor: float) -> int:
    return round((pixel - 0.5) * factor + 0.5)


def _scale_region(region: Any, factors: Factors) -> None:
    """An ultrasound region (PS3.3, C.8.5.5): its corners, counted from 0, and what a pixel measures in it."""
    for axis, factor in (("Y", factors[0]), ("X", factors[1])):
        first, last = f"RegionLocationMin{axis}0", f"RegionLocationMax{axis}1"
        if region.get(first) is not None:
            setattr(region, first, round(region.get(first) * factor))
        if region.get(last) is not None:
            setattr(region, last, round((region.get(last) + 1) * factor) - 1)
        reference, delta = f"ReferencePixel{axis}0", f"PhysicalDelta{axis}"
        if region.get(reference) is not None:
            setattr(region, reference, round((region.get(reference) + 0.5) * factor - 0.5))
        if region.get(delta) is not None:
            setattr(region, delta, region.get(delta) / factor)
