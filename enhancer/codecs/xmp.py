"""XMP packets (ISO 16684-1): orientation reset, processing stamped, everything else left byte for byte."""

from __future__ import annotations

import re
from typing import Final
from xml.sax.saxutils import quoteattr

from enhancer.version import __version__

NAMESPACE: Final = "https://github.com/airflow-image-enhancer/airflow-image-enhancer/ns/1.0/"
"""Of the property ``enhancer:Processing``, which says what was done to the picture."""

_ORIENTATION: Final = re.compile(rb"(tiff:Orientation\s*=\s*[\"']|<tiff:Orientation>)\s*([1-8])(?=\s*[\"'<])")
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


def stamp(packet: bytes | None, processing: str) -> bytes | None:
    """The packet with `processing` noted as ``enhancer:Processing``; an earlier note of ours is replaced.

    The note is a further ``rdf:Description`` of the same resource, which ISO 16684-1 allows, so what the packet holds
    is neither parsed nor rewritten. Without a packet a new one is made, with ``xmp:CreatorTool`` besides.

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
            f"{_note(processing)}"
            "</rdf:RDF>\n</x:xmpmeta>\n"
            '<?xpacket end="w"?>'
        ).encode()
    bare = _OWN_STAMP.sub(b"", packet)
    if bare.count(_RDF_END) != 1:
        return None
    return bare.replace(_RDF_END, _note(processing).encode() + _RDF_END)


def _note(processing: str) -> str:
    # XML 1.0 has no way to write the control characters; quoteattr escapes what it can.
    text = "".join(char if char >= " " and char not in "\ufffe\uffff" else " " for char in processing)
    text = text.encode("utf-8", "replace").decode()
    value = quoteattr(text, {'"': "&quot;"})
    return f'<rdf:Description rdf:about="" xmlns:enhancer="{NAMESPACE}" enhancer:Processing={value}/>\n'
