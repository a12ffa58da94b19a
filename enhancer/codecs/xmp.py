"""XMP packets (ISO 16684-1): orientation reset, processing stamped, everything else left byte for byte."""

from __future__ import annotations

import re
from typing import Final, Literal
from xml.sax.saxutils import quoteattr

from enhancer.version import __version__

NAMESPACE: Final = "https://github.com/airflow-image-enhancer/airflow-image-enhancer/ns/1.0/"
"""Of the property ``enhancer:Processing``, which says what was done to the picture."""

_ORIENTATION: Final = re.compile(rb"(tiff:Orientation\s*=\s*[\"']|<tiff:Orientation>)\s*([1-8])(?=\s*[\"'<])")
SourceType = Literal["algorithmicallyEnhanced", "compositeWithTrainedAlgorithmicMedia"]
"""How a result came to be, in the terms of IPTC's NewsCodes: corrected by algorithms (nets that restore what is there
among them), or with detail that a generative net drew."""
_IPTC_EXTENSION: Final = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_SOURCE_TYPES: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_STATED_SOURCE: Final = re.compile(
    rb"(DigitalSourceType(?:\s*=\s*[\"']|>)\s*)" + re.escape(_SOURCE_TYPES.encode()) + rb"([A-Za-z]+)"
)
_SUPERSEDED: Final = frozenset(
    {b"digitalCapture", b"computationalCapture", b"negativeFilm", b"positiveFilm", b"print", b"humanEdits"}
    | {b"minorHumanEdits", b"algorithmicallyEnhanced"}
)
"""What a source type says that the result's own replaces; any other (drawn by a machine, for one) stays true."""
_OWN_STAMP: Final = re.compile(
    rb'<rdf:Description rdf:about="" xmlns:enhancer="' + re.escape(NAMESPACE.encode()) + rb'"[^>]*/>\n?'
)
_RDF_END: Final = b"</rdf:RDF>"


def orientation(packet: bytes) -> int | None:
    """``tiff:Orientation`` (1 to 8), or None where the packet states none."""
    found = _ORIENTATION.search(packet)
    return int(found[2]) if found else None


def reset_orientation(packet: bytes) -> bytes:
    """The packet with each ``tiff:Orientation`` set to 1, and nothing else changed."""
    return _ORIENTATION.sub(lambda match: match[0][:-1] + b"1", packet)


def stamp(packet: bytes | None, processing: str, source_type: SourceType | None = None) -> bytes | None:
    """The packet with `processing` noted as ``enhancer:Processing``; an earlier one is replaced.

    The note is a further ``rdf:Description`` of the same resource, which ISO 16684-1 allows, so what the packet holds
    is neither parsed nor rewritten. Without a packet a new one is made, with ``xmp:CreatorTool`` besides.

    Args:
        packet: None: a new one.
        processing: the note.
        source_type: stated as IPTC's DigitalSourceType; None: nothing is said of it. A statement in `packet` that it
            supersedes is changed in its place; one that it does not stays, and no second is made.

    Returns:
        The stamped packet, or None where `packet` is not the UTF-8 XMP that a note can be added to safely.
    """
    if packet is None:
        return (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
            '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
            '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
            '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
            f'xmp:CreatorTool="airflow-image-enhancer {__version__}"/>\n'
            f"{_note(processing, source_type)}"
            "</rdf:RDF>\n</x:xmpmeta>\n"
            '<?xpacket end="w"?>'
        ).encode()
    bare = _OWN_STAMP.sub(b"", packet)
    if bare.count(_RDF_END) != 1:
        return None
    stated = _STATED_SOURCE.search(bare)
    if stated is not None and source_type is not None:
        if stated[2] in _SUPERSEDED:
            bare = bare[: stated.start(2)] + source_type.encode() + bare[stated.end(2) :]
        source_type = None
    return bare.replace(_RDF_END, _note(processing, source_type).encode() + _RDF_END)


def _note(processing: str, source_type: SourceType | None) -> str:
    # XML 1.0 has no way to write the control characters; quoteattr escapes what it can.
    text = "".join(char if char >= " " and char not in "\ufffe\uffff" else " " for char in processing)
    text = text.encode("utf-8", "replace").decode()
    value = quoteattr(text, {'"': "&quot;"})
    source = ""
    if source_type is not None:
        source = f' xmlns:Iptc4xmpExt="{_IPTC_EXTENSION}" Iptc4xmpExt:DigitalSourceType="{_SOURCE_TYPES}{source_type}"'
    return f'<rdf:Description rdf:about="" xmlns:enhancer="{NAMESPACE}" enhancer:Processing={value}{source}/>\n'
