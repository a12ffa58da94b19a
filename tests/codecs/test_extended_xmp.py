"""Extended XMP: split and joined, against a reader that is written here from XMP Specification Part 3, 1.1.3.1."""

from __future__ import annotations

import io
import re
import struct
import xml.etree.ElementTree as ElementTree
from hashlib import md5

import numpy as np
import pytest
from PIL import Image as PillowImage

from enhancer.codecs import Limits, decode, encode, xmp_extension
from enhancer.image import Document, Image, Metadata
from enhancer.options import OutputOptions

LIMITS = Limits(max_bytes=1 << 26, max_pixels=1_000_000, max_pages=20)
STANDARD, EXTENDED = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
NOTE = "{http://ns.adobe.com/xmp/note/}HasExtendedXMP"
WRAPPED = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{}' + " " * 200 + '<?xpacket end="w"?>'


def packet(*descriptions: str, about: str = "") -> bytes:
    body = "".join(f'<rdf:Description rdf:about="" {one}</rdf:Description>' for one in descriptions)
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF[1:-1]}"{about}>{body}</rdf:RDF></x:xmpmeta>'
    ).encode()


SMALL = 'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:source>a small one</dc:source>'
LARGE = 'xmlns:G="http://ns.google.com/photos/1.0/image/"><G:Data>' + "0123456789" * 20_000 + "</G:Data>"


def properties(xmp: bytes) -> dict[str, str | None]:
    """Every property of a packet, read by ElementTree."""
    root = ElementTree.fromstring(re.sub(rb"<\?xpacket.*?\?>", b"", xmp).decode("utf-8-sig").strip(" \0\n"))
    found: dict[str, str | None] = {}
    for description in root.iter(f"{RDF}Description"):
        found.update({name: value for name, value in description.attrib.items() if name != f"{RDF}about"})
        found.update({child.tag: child.text for child in description})
    return found


def segments(jpeg: bytes) -> list[bytes]:
    """Bodies of the APP1 segments."""
    bodies, position = [], 2
    while jpeg[position + 1] != 0xDA:
        length = struct.unpack_from(">H", jpeg, position + 2)[0]
        if jpeg[position + 1] == 0xE1:
            bodies.append(jpeg[position + 4 : position + 2 + length])
        position += 2 + length
    return bodies


def read_as_specified(jpeg: bytes) -> dict[str, str | None]:
    """Main properties and those of the extension that they name by its MD5, which is checked."""
    bodies = segments(jpeg)
    main = properties(next(body for body in bodies if body.startswith(STANDARD))[len(STANDARD) :])
    guid = main.pop(NOTE)
    assert guid is not None
    assert re.fullmatch("[0-9A-F]{32}", guid)
    whole = bytearray()
    for body in bodies:
        if body.startswith(EXTENDED + guid.encode()):
            total, offset = struct.unpack_from(">II", body, len(EXTENDED) + 32)
            whole[offset:] = body[len(EXTENDED) + 40 :]
    assert len(whole) == total
    assert md5(whole, usedforsecurity=False).hexdigest().upper() == guid
    return main | properties(bytes(whole))


def jpeg_with(main: bytes, *extension: bytes) -> bytes:
    buffer = io.BytesIO()
    PillowImage.new("RGB", (8, 8)).save(buffer, "JPEG")
    bodies = [STANDARD + main, *extension]
    inserted = b"".join(struct.pack(">BBH", 0xFF, 0xE1, len(body) + 2) + body for body in bodies)
    return buffer.getvalue()[:20] + inserted + buffer.getvalue()[20:]


def parts(extension: bytes, step: int) -> tuple[str, list[bytes]]:
    """Segments as another writer makes them."""
    guid = md5(extension, usedforsecurity=False).hexdigest().upper()
    return guid, [
        EXTENDED + guid.encode() + struct.pack(">II", len(extension), start) + extension[start : start + step]
        for start in range(0, len(extension), step)
    ]


def test_a_large_packet_is_split_as_specified_and_comes_back() -> None:
    whole = WRAPPED.format(packet(SMALL, LARGE).decode()).encode()
    pixels = np.zeros((8, 8, 3), np.uint8)
    result = encode(Document((Image(pixels, None, Metadata(xmp=whole)),)), options=OutputOptions(format="JPEG"))
    assert result.warnings == ()
    assert read_as_specified(result.data) == properties(whole)
    small = properties(PillowImage.open(io.BytesIO(result.data)).info["xmp"])
    assert small["{http://purl.org/dc/elements/1.1/}source"] == "a small one"
    page = decode(result.data, name="x", limits=LIMITS).first
    assert page.metadata.warnings == ()
    assert page.metadata.xmp is not None
    assert properties(page.metadata.xmp) == properties(whole)


@pytest.mark.parametrize("form", ["attribute", "element"])
def test_an_extension_of_another_writer_is_joined_whatever_the_order(form: str) -> None:
    guid, bodies = parts(packet(LARGE), 60_000)
    names = 'xmlns:xmpNote="http://ns.adobe.com/xmp/note/"'
    said = {
        "attribute": f'{names} xmpNote:HasExtendedXMP="{guid}">',
        "element": f"{names}><xmpNote:HasExtendedXMP>{guid}</xmpNote:HasExtendedXMP>",
    }[form]
    stray = parts(packet(SMALL.replace("small", "stray")), 60_000)[1]
    data = jpeg_with(packet(SMALL, said), *bodies[::-1], *stray)
    page = decode(data, name="x", limits=LIMITS).first
    assert page.metadata.warnings == ()
    assert page.metadata.xmp is not None
    assert properties(page.metadata.xmp) == properties(packet(SMALL, LARGE))
    again = encode(Document((page,)), options=OutputOptions(format="JPEG", quality=100), processing="doing")
    assert read_as_specified(again.data).items() >= properties(packet(SMALL, LARGE)).items()
    assert any("doing" in str(value) for value in properties(segments(again.data)[0][len(STANDARD) :]).values())


def test_prefixes_that_are_declared_around_the_extension_go_along() -> None:
    outer = LARGE.replace('xmlns:G="http://ns.google.com/photos/1.0/image/"', "")
    guid, bodies = parts(packet(outer, about=' xmlns:G="http://ns.google.com/photos/1.0/image/"'), 65_000)
    note = f'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{guid}">'
    joined = xmp_extension.join(packet(SMALL, note), bodies)
    assert properties(joined) == properties(packet(SMALL, LARGE))


@pytest.mark.parametrize("trouble", ["a part", "unnamed", "prefix", "not XMP"])
def test_an_extension_that_cannot_be_joined_is_a_warning_and_the_packet_stays(trouble: str) -> None:
    source = b"no RDF at all" if trouble == "not XMP" else packet(LARGE)
    if trouble == "prefix":
        source = packet(LARGE, about=' xmlns:x="other"')
    guid, bodies = parts(source, 60_000)
    if trouble == "a part":
        bodies = bodies[:1] + bodies[2:]
    if trouble == "unnamed":
        guid = "0" * 32
    main = packet(SMALL, f'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{guid}">')
    page = decode(jpeg_with(main, *bodies), name="x", limits=LIMITS).first
    assert page.metadata.xmp == main
    assert len(page.metadata.warnings) == 1
    assert "extended XMP" in page.metadata.warnings[0]


@pytest.mark.parametrize("whole", [b"<x:xmpmeta>" + b"a" * 70_000, packet(LARGE).decode().encode("utf-16")])
def test_what_cannot_be_split_is_left_out_and_said(whole: bytes) -> None:
    page = Image(np.zeros((8, 8, 3), np.uint8), None, Metadata(xmp=whole))
    result = encode(Document((page,)), options=OutputOptions(format="JPEG"))
    assert any("does not fit" in warning for warning in result.warnings)
    assert decode(result.data, name="x", limits=LIMITS).first.metadata.xmp is None
