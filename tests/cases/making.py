"""Small files of the kinds that public bug reports are about, made without the product's codecs."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from skimage import data

WIDTH, HEIGHT = 96, 64
PRIMARIES = {  # CIE x and y of red, green and blue; white is D65 in all
    "srgb": (0.640, 0.330, 0.300, 0.600, 0.150, 0.060),
    "p3": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    "adobe": (0.640, 0.330, 0.210, 0.710, 0.150, 0.060),
    "bt2020": (0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
}
D65 = (0.3127, 0.3290)


def photograph(name: str = "coffee", size: tuple[int, int] = (WIDTH, HEIGHT)) -> PillowImage.Image:
    pixels = getattr(data, name)()[..., :3]
    whole = PillowImage.fromarray(pixels[: pixels.shape[1] * size[1] // size[0]])
    return whole.resize(size, PillowImage.Resampling.LANCZOS)


def linear(codes: np.ndarray) -> np.ndarray:
    """sRGB codes on 0..1 to light."""
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


def srgb_curve(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def pq_curve(light: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084, with white at 203 cd/m2."""
    power = (light * 203 / 10000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def xyz_of(primaries: Any, white: tuple[float, float] = D65) -> np.ndarray:
    """The matrix from light in these primaries to CIE XYZ."""
    xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in np.reshape(primaries, (3, 2))]).T
    return xyz * np.linalg.solve(xyz, [white[0] / white[1], 1, (1 - sum(white)) / white[1]])


def into(space: str, light: np.ndarray) -> np.ndarray:
    matrix = np.linalg.solve(xyz_of(PRIMARIES[space]), xyz_of(PRIMARIES["srgb"]))
    return np.clip(light @ matrix.T, 0, 1)


def samples(values: np.ndarray, bits: int = 8) -> np.ndarray:
    return np.rint(values * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def truth() -> PillowImage.Image:
    return photograph()


def light() -> np.ndarray:
    return linear(np.asarray(truth()) / 255)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(pixels: np.ndarray, *chunks: bytes, before: bytes = b"", wrapped: bool = True) -> bytes:
    """A PNG of grey, RGB or RGBA samples of 8 or 16 bits, with `chunks` before the pixels."""
    height, width = pixels.shape[:2]
    kind = {1: 0, 3: 2, 4: 6}[pixels.size // (height * width)]
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels.astype(pixels.dtype.newbyteorder(">")))
    packer = zlib.compressobj(9, zlib.DEFLATED, 15 if wrapped else -15)
    body = chunk(b"IDAT", packer.compress(rows) + packer.flush()) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + before + chunk(b"IHDR", header) + b"".join(chunks) + body


def gama(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def chrm(space: str) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(v * 1e5) for v in (*D65, *PRIMARIES[space]))))


def jpeg(image: PillowImage.Image, *segments: tuple[int, bytes], **options: Any) -> bytes:
    """`image` as JPEG, with `segments` (marker, body) after the JFIF header."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", **{"quality": 95, "subsampling": 0, **options})
    return with_segments(stream.getvalue(), *segments)


def with_segments(data: bytes, *segments: tuple[int, bytes]) -> bytes:
    at = 4 + struct.unpack_from(">H", data, 4)[0]
    added = b"".join(b"\xff" + bytes([mark]) + struct.pack(">H", len(body) + 2) + body for mark, body in segments)
    return data[:at] + added + data[at:]


def xmp(namespaces: dict[str, str], attributes: str, inner: str = "") -> tuple[int, bytes]:
    """An APP1 segment of one rdf:Description."""
    spaces = " ".join(f'xmlns:{prefix}="{address}"' for prefix, address in namespaces.items())
    packet = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {spaces} {attributes}>{inner}</rdf:Description>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )
    return 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet.encode()


def tiff(fields: list[tuple[int, int, int, bytes]], strips: list[bytes]) -> bytes:
    """A little-endian TIFF of these (tag, type, count, raw value) and strips; 273 and 279 are added."""
    rows = [
        *fields,
        (273, 4, len(strips), b""),
        (279, 4, len(strips), struct.pack(f"<{len(strips)}I", *map(len, strips))),
    ]
    rows.sort()
    start = 8 + 2 + 12 * len(rows) + 4
    values = {tag: bytes(4 * len(strips)) if tag == 273 else value for tag, _, _, value in rows}
    places, at = {}, start
    for tag, value in values.items():
        if len(value) > 4:
            places[tag] = at
            at += len(value) + len(value) % 2
    where = [at + sum(map(len, strips[:index])) for index in range(len(strips))]
    values[273] = struct.pack(f"<{len(where)}I", *where)
    body = b"".join(
        struct.pack("<HHI", tag, kind, count)
        + (struct.pack("<I", places[tag]) if tag in places else values[tag].ljust(4, b"\0"))
        for tag, kind, count, _ in rows
    )
    tail = b"".join(values[tag] + b"\0" * (len(values[tag]) % 2) for tag in places)
    return b"II*\0" + struct.pack("<IH", 8, len(rows)) + body + bytes(4) + tail + b"".join(strips)


def short(value: int) -> bytes:
    return struct.pack("<H", value)
