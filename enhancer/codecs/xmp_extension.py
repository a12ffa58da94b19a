"""Extended XMP (XMP Specification Part 3, 1.1.3.1): what of a packet does not fit into a JPEG's one XMP segment.

The packet then names the extension by its digest, and the extension lies in further segments, each with the digest, the
whole length and its own offset. In memory there is one packet: joined when a file is read, split when one is written.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from hashlib import md5
from typing import Final
from xml.parsers import expat

SIGNATURE: Final = b"http://ns.adobe.com/xmp/extension/\0"
_GUID: Final = 32
_HEADER: Final = len(SIGNATURE) + _GUID + 8
_NOTE: Final = re.compile(
    rb"\s*xmpNote:HasExtendedXMP\s*=\s*[\"']([0-9A-Fa-f]{32})[\"']"
    rb"|<xmpNote:HasExtendedXMP>([0-9A-Fa-f]{32})</xmpNote:HasExtendedXMP>\s*"
)
_RDF: Final = re.compile(rb"<rdf:RDF\b[^>]*[^/>]>(.*)</rdf:RDF>", re.DOTALL)
_RDF_END: Final = b"</rdf:RDF>"
_OUTER_TAG: Final = re.compile(rb"<(?:x:xmpmeta|x:xapmeta|rdf:RDF)\b[^>]*>")
_DECLARED: Final = re.compile(rb"xmlns:([\w.-]+)\s*=\s*(\"[^\"]*\"|'[^']*')")
_WRAPPER: Final = re.compile(rb"<\?xpacket.*?\?>", re.DOTALL)


def join(packet: bytes, bodies: Iterable[bytes]) -> bytes:
    """The packet with its extension in it, and without the note that there is one.

    Args:
        packet: of the file's XMP segment.
        bodies: of its extension segments, from :data:`SIGNATURE` on, in any order.

    Raises:
        ValueError: no or not the whole extension that the packet names, or one that cannot be put into it as it is.
    """
    note = _NOTE.search(packet)
    if note is None:
        raise ValueError("the XMP packet does not name it")
    extension = _assembled(bodies, note[1] or note[2])
    found = _RDF.search(extension)
    start = re.search(rb"<rdf:RDF\b", packet)
    if found is None or start is None or packet.count(_RDF_END) != 1:
        raise ValueError("it is not RDF with the usual prefix")
    known = _declarations(packet)
    wanted = {prefix: uri for prefix, uri in _declarations(extension).items() if known.get(prefix) != uri}
    if wanted.keys() & known.keys():
        raise ValueError(f"it uses prefixes otherwise than the packet: {sorted(wanted.keys() & known.keys())}")
    names = b"".join(b" xmlns:" + prefix + b'="' + uri + b'"' for prefix, uri in wanted.items())
    named = packet[: start.end()] + names + packet[start.end() :]
    return _NOTE.sub(b"", named, count=1).replace(_RDF_END, found[1] + _RDF_END)


def _assembled(bodies: Iterable[bytes], guid: bytes) -> bytes:
    """The extension with this digest, every byte of it stated once."""
    parts: dict[int, bytes] = {}
    total = 0
    for body in bodies:
        if len(body) > _HEADER and body[len(SIGNATURE) :][:_GUID].upper() == guid.upper():
            total, offset = struct.unpack_from(">II", body, _HEADER - 8)
            parts[offset] = body[_HEADER:]
    whole = bytearray()
    for offset in sorted(parts):
        if offset != len(whole):
            raise ValueError("a part of it is missing")
        whole += parts[offset]
    if not whole or len(whole) != total:
        raise ValueError("a part of it is missing")
    return bytes(whole)


def _declarations(packet: bytes) -> dict[bytes, bytes]:
    """Namespaces by prefix, as the elements around the properties declare them."""
    tags = _OUTER_TAG.findall(packet)
    return {prefix: uri[1:-1] for tag in tags for prefix, uri in _DECLARED.findall(tag)}


def split(packet: bytes, room: int) -> tuple[bytes, list[bytes]]:
    """The packet in at most `room` bytes, and the segments that hold the rest of it.

    Whole ``rdf:Description`` elements move, the largest first. Padding and the packet wrapper are not kept.

    Args:
        packet: larger than `room`.
        room: bytes that one segment's packet may have; a further segment gets as many in all.

    Raises:
        ValueError: it is not UTF-8 XMP with the usual prefix, or does not fit even so.
    """
    bare = _WRAPPER.sub(b"", packet).strip(b"\0\r\n\t \xef\xbb\xbf")
    starts, end = _descriptions(bare)
    head, tail = bare[: starts[0]], bare[end:]
    elements = [bare[start:stop] for start, stop in zip(starts, [*starts[1:], end], strict=True)]
    left = room - len(head) - len(tail) - len(_note("0" * _GUID))
    kept = set()
    for index in sorted(range(len(elements)), key=lambda index: len(elements[index])):
        left -= len(elements[index])
        if left < 0:
            break
        kept.add(index)
    extension = head + b"".join(one for index, one in enumerate(elements) if index not in kept) + tail
    guid = md5(extension, usedforsecurity=False).hexdigest().upper()
    main = head + b"".join(elements[index] for index in sorted(kept)) + _note(guid) + tail
    if len(main) > room:
        raise ValueError("its outermost elements alone are too large")
    step = room - _HEADER
    return main, [
        SIGNATURE + guid.encode() + struct.pack(">II", len(extension), start) + extension[start : start + step]
        for start in range(0, len(extension), step)
    ]


def _note(guid: str) -> bytes:
    return (
        f'<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{guid}"/>'
    ).encode()


def _descriptions(packet: bytes) -> tuple[list[int], int]:
    """Where each child of the one ``rdf:RDF`` begins, and where that ends."""
    if b"<!" in packet.replace(b"<!--", b"") or packet.count(_RDF_END) != 1:
        raise ValueError("it is not XMP with the usual prefix")
    parser = expat.ParserCreate()
    path: list[str] = []
    starts: list[int] = []

    def begin(name: str, _attributes: dict[str, str]) -> None:
        if path and path[-1] == "rdf:RDF":
            starts.append(parser.CurrentByteIndex)
        path.append(name)

    parser.StartElementHandler = begin
    parser.EndElementHandler = lambda _name: path.pop()
    try:
        parser.Parse(packet, True)
    except expat.ExpatError as error:
        raise ValueError(f"it is not well-formed: {error}") from error
    if not starts:
        raise ValueError("it holds nothing")
    return starts, packet.index(_RDF_END)
