"""EXIF and XMP patched in place, TIFF directories carried over: against Pillow as reader and against random bytes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage

from enhancer.codecs import Limits, decode, exif, ifd, xmp

LIMITS = Limits(max_bytes=1 << 26, max_pixels=1_000_000, max_pages=20)


def block(endian: str = "<", orientation: int = 6) -> bytes:
    source = PillowImage.Exif()
    source.endian = endian
    source[0x0112] = orientation
    source[0x0131] = "some software"
    source[0x8769] = {0xA002: 4000, 0xA003: 3000, 0x9286: b"ASCII\0\0\0comment"}
    source[0x8825] = {1: "S", 2: (1.0, 2.0, 3.5)}
    return source.tobytes().removeprefix(b"Exif\0\0")


def read(data: bytes) -> PillowImage.Exif:
    result = PillowImage.Exif()
    result.load(data)
    return result


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("orientation", [1, 3, 8])
def test_resetting_orientation_changes_that_value_alone(endian: str, orientation: int) -> None:
    source = block(endian, orientation)
    assert exif.orientation(source) == orientation
    patched = exif.reset_orientation(source)
    assert read(patched)[0x0112] == 1
    assert sum(a != b for a, b in zip(patched, source, strict=True)) == (orientation != 1)


@pytest.mark.parametrize("endian", ["<", ">"])
def test_refresh_sets_dimensions_beyond_16_bits_and_keeps_gps(endian: str) -> None:
    patched = read(exif.refresh(block(endian), 70_000, 5))
    assert (patched.get_ifd(0x8769)[0xA002], patched.get_ifd(0x8769)[0xA003]) == (70_000, 5)
    assert patched.get_ifd(0x8825)[2] == (1.0, 2.0, 3.5)
    assert patched[0x0131] == "some software"


@pytest.mark.parametrize("endian", ["<", ">"])
def test_orientation_can_be_taken_out(endian: str) -> None:
    bare = exif.without_orientation(block(endian))
    assert len(bare) == len(block(endian))
    assert 0x0112 not in read(bare)
    assert read(bare)[0x0131] == "some software"
    assert read(bare).get_ifd(0x8825)[2] == (1.0, 2.0, 3.5)
    assert exif.problem(bare) is None


@st.composite
def exif_like(draw: st.DrawFn) -> bytes:
    """Random bytes, most of them behind a believable TIFF header, some of them a damaged real block."""
    kind = draw(st.integers(0, 2))
    if kind == 0:
        return draw(st.binary(max_size=200))
    if kind == 1:
        return draw(st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"])) + draw(st.binary(max_size=200))
    damaged = bytearray(block(draw(st.sampled_from("<>"))))
    for position, value in draw(st.lists(st.tuples(st.integers(0, len(damaged) - 1), st.integers(0, 255)), max_size=6)):
        damaged[position] = value
    return bytes(damaged[: draw(st.integers(0, len(damaged)))])


@given(exif_like(), st.integers(1, 2**31), st.integers(1, 2**31))
def test_patching_never_raises_nor_changes_the_length(data: bytes, width: int, height: int) -> None:
    assert len(exif.reset_orientation(data)) == len(data)
    assert len(exif.refresh(data, width, height)) == len(data)
    assert len(exif.without_orientation(data)) == len(data)
    assert exif.orientation(exif.reset_orientation(data)) in (None, 1)
    assert exif.problem(data) is None or isinstance(exif.problem(data), str)


@given(exif_like())
def test_reading_directories_ends_in_a_value_error_at_worst(data: bytes) -> None:
    order = exif.byte_order(data)
    if order is None or len(data) < 8:
        return
    try:
        tree = ifd.read_directory(data, order, int.from_bytes(data[4:8], "little" if order == "<" else "big"))
    except ValueError:
        return
    again = ifd.exif_block(tree, order)
    assert ifd.read_directory(again, order, 8) == tree


@pytest.mark.parametrize("order", ["<", ">"])
def test_directories_grafted_onto_a_tiff_are_found_by_pillow_and_pixels_stay(order: str) -> None:
    pages = np.random.default_rng(3).integers(0, 255, (3, 9, 8), np.uint8)
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, byteorder=order) as writer:
        for page in pages:
            writer.write(page, contiguous=False, metadata=None)
    source = block(order)
    tree = ifd.read_directory(source, order, 8).described()  # type: ignore[arg-type]
    grafted = ifd.graft(buffer.getvalue(), order, [tree, ifd.Directory(), tree])  # type: ignore[arg-type]
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(grafted), key=range(3)), pages)
    image = PillowImage.open(io.BytesIO(grafted))
    assert image.getexif()[0x0131] == "some software"
    assert image.getexif().get_ifd(0x8825)[2] == (1.0, 2.0, 3.5)
    image.seek(1)
    np.testing.assert_array_equal(np.asarray(image), pages[1])


PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" tiff:Make="A"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


@pytest.mark.parametrize(
    "packet",
    [
        PACKET,
        PACKET.replace(b' tiff:Orientation="6"', b"").replace(
            b'"A"/>', b'"A"><tiff:Orientation>6</tiff:Orientation></rdf:Description>'
        ),
    ],
)
def test_xmp_orientation(packet: bytes) -> None:
    assert xmp.orientation(packet) == 6
    patched = xmp.reset_orientation(packet)
    assert xmp.orientation(patched) == 1
    assert sum(a != b for a, b in zip(patched, packet, strict=True)) == 1


def test_a_stamp_joins_what_is_there_and_replaces_an_earlier_one() -> None:
    import xml.etree.ElementTree as ElementTree

    once = xmp.stamp(PACKET, "first")
    assert once is not None
    twice = xmp.stamp(once, 'second <>&" \x01 done')
    assert twice is not None
    assert b"first" not in twice
    attributes = {k: v for e in ElementTree.fromstring(twice).iter() for k, v in e.attrib.items()}
    assert attributes[f"{{{xmp.NAMESPACE}}}Processing"] == 'second <>&"   done'
    assert attributes["{http://ns.adobe.com/tiff/1.0/}Make"] == "A"


def test_what_cannot_be_stamped_safely_is_left_alone() -> None:
    assert xmp.stamp(PACKET.decode().encode("utf-16"), "x") is None


def test_orientation_is_taken_from_xmp_where_exif_says_nothing() -> None:
    buffer = io.BytesIO()
    PillowImage.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3)).save(buffer, "WEBP", xmp=PACKET, lossless=True)
    page = decode(buffer.getvalue(), name="test", limits=LIMITS).first
    assert page.pixels[..., 0].tolist() == [[3, 0], [4, 1], [5, 2]]
    assert page.metadata.xmp is not None
    assert b'tiff:Orientation="1"' in page.metadata.xmp


@pytest.mark.parametrize("junk", [b"not a tiff structure", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x09"])
def test_malformed_exif_is_a_warning(junk: bytes) -> None:
    buffer = io.BytesIO()
    PillowImage.new("RGB", (4, 4)).save(buffer, "PNG")
    from enhancer.codecs.png_chunks import insert_metadata

    page = decode(insert_metadata(buffer.getvalue(), exif=junk), name="test", limits=LIMITS).first
    assert page.pixels.shape == (4, 4, 3)
    assert any("EXIF" in warning for warning in page.metadata.warnings)


def test_a_profile_that_is_none_is_a_warning() -> None:
    buffer = io.BytesIO()
    PillowImage.new("RGB", (4, 4)).save(buffer, "PNG", icc_profile=b"no profile" * 20)
    page = decode(buffer.getvalue(), name="test", limits=LIMITS).first
    assert page.metadata.icc is None
    assert any("profile" in warning for warning in page.metadata.warnings)
