"""Pixels in and out: the two conversions, the contracts of the value types."""

from __future__ import annotations

import numpy as np
import pytest

from enhancer.image import Document, Image, Metadata, from_unit, image_from_array, to_unit


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_every_integer_value_survives_the_round_trip(dtype: type, top: int) -> None:
    values = np.arange(top + 1, dtype=dtype)
    unit = to_unit(values)
    assert unit.dtype == np.float32
    assert unit[0] == 0
    assert unit[-1] == 1
    assert np.array_equal(from_unit(unit, np.dtype(dtype)), values)


def test_unit_values_are_clipped_and_rounded_to_the_nearest() -> None:
    values = np.array([-0.5, 0.0, 100.4 / 255, 100.6 / 255, 1.0, 1.7], dtype=np.float32)
    assert from_unit(values, np.dtype(np.uint8)).tolist() == [0, 0, 100, 101, 255, 255]
    assert from_unit(values[[0, 5]], np.dtype(np.float32)).tolist() == [0.0, 1.0]


def test_a_recorded_float_range_is_mapped_to_the_unit_and_back() -> None:
    values = np.array([-2.0, 0.0, 6.0], dtype=np.float32)
    unit = to_unit(values, (-2.0, 6.0))
    assert unit.tolist() == [0.0, 0.25, 1.0]
    assert from_unit(unit, np.dtype(np.float32), (-2.0, 6.0)).tolist() == values.tolist()
    assert to_unit(np.full(3, 5, np.float32), (5.0, 5.0)).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2), (4, 4, 4), (0, 4, 3)])
def test_an_image_has_one_or_three_channels(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="H x W"):
        Image(np.zeros(shape, np.uint8))


def test_alpha_matches_the_pixels() -> None:
    pixels = np.zeros((4, 5, 3), np.uint8)
    assert Image(pixels, np.zeros((4, 5), np.uint8)).alpha is not None
    for alpha in (np.zeros((5, 4), np.uint8), np.zeros((4, 5), np.uint16)):
        with pytest.raises(ValueError, match="alpha"):
            Image(pixels, alpha)


def test_an_image_refuses_other_dtypes_and_a_document_no_pages() -> None:
    with pytest.raises(TypeError, match="float64"):
        Image(np.zeros((2, 2, 1)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one page"):
        Document(())


def test_new_pixels_keep_the_metadata() -> None:
    image = Image(np.zeros((2, 3, 1), np.uint8), metadata=Metadata(format="PNG", mode="L"))
    other = image.with_pixels(np.ones((4, 6, 1), np.uint8))
    assert (other.height, other.width, other.is_grey, other.metadata) == (4, 6, True, image.metadata)


def test_arrays_become_images_that_share_their_memory() -> None:
    grey = np.zeros((4, 5), np.uint16)
    image = image_from_array(grey)
    assert image.pixels.shape == (4, 5, 1)
    assert np.shares_memory(image.pixels, grey)
    assert (image.metadata.mode, image.metadata.bit_depth) == ("L", 16)


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (np.zeros((4, 4, 3)), TypeError, "float64"),
        (np.zeros((4, 4), bool), TypeError, "bool"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, r"\(4, 4, 4\)"),
        (np.zeros((4,), np.uint8), ValueError, r"\(4,\)"),
        (np.zeros((0, 4), np.uint8), ValueError, "not empty"),
        (np.full((4, 4), 1.5, np.float32), ValueError, r"1\.5"),
        (np.full((4, 4), -0.1, np.float32), ValueError, r"-0\.1"),
        (np.full((4, 4), np.nan, np.float32), ValueError, "finite"),
        (np.full((4, 4), np.inf, np.float32), ValueError, "finite"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused_by_name(
    array: np.ndarray, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        image_from_array(array)
