"""What a result looks like, by what it states itself; written out here, without the product's codecs."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import cv2
import numpy as np
import tifffile
from PIL import Image as PillowImage

from tests.cases.making import PRIMARIES, linear, srgb_curve, xyz_of

_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1.0, 0.8249])
_D65 = np.array([0.9504, 1.0, 1.0889])


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, body) of each chunk of a PNG."""
    position = 8
    while position < len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        yield kind, data[position + 8 : position + 8 + size]
        position += 12 + size


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, body) of each JPEG segment before the first scan."""
    position = 2
    while data[position + 1] != 0xDA:
        size = struct.unpack_from(">H", data, position + 2)[0]
        yield data[position + 1], data[position + 4 : position + 2 + size]
        position += 2 + size


def codes(data: bytes) -> np.ndarray:
    """H x W x 3 (grey repeated) on 0..1, as stored."""
    if data[:4] in (b"II*\0", b"MM\0*"):
        pixels = tifffile.imread(io.BytesIO(data))
    elif data[:4] == b"\x89PNG":
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        pixels = pixels[..., 2::-1] if pixels.ndim == 3 else pixels
    else:
        pixels = np.asarray(PillowImage.open(io.BytesIO(data)))
    values = pixels / np.iinfo(pixels.dtype).max
    return values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)


def seen(data: bytes) -> np.ndarray:
    """H x W x 3 in sRGB codes on 0..1: through the profile (matrix and curves), else as sRGB."""
    values = codes(data)
    icc = PillowImage.open(io.BytesIO(data)).info.get("icc_profile")
    if icc is None:
        return values
    tags = _tags(icc)
    if icc[16:20] == b"GRAY":
        return srgb_curve(_curve(tags[b"kTRC"], values))
    light = np.stack([_curve(tags[kind], values[..., at]) for at, kind in enumerate((b"rTRC", b"gTRC", b"bTRC"))], -1)
    matrix = np.stack(
        [np.array(struct.unpack_from(">3i", tags[kind], 8)) / 65536 for kind in (b"rXYZ", b"gXYZ", b"bXYZ")], 1
    )
    adapt = np.linalg.solve(_BRADFORD, ((_BRADFORD @ _D65) / (_BRADFORD @ _D50))[:, None] * _BRADFORD)
    to_srgb = np.linalg.solve(xyz_of(PRIMARIES["srgb"]), adapt @ matrix)
    return srgb_curve(np.clip(light @ to_srgb.T, 0, 1))


def _tags(icc: bytes) -> dict[bytes, bytes]:
    count = struct.unpack_from(">I", icc, 128)[0]
    rows = (struct.unpack_from(">4sII", icc, 132 + 12 * index) for index in range(count))
    return {kind: icc[offset : offset + size] for kind, offset, size in rows}


def _curve(tag: bytes, codes: np.ndarray) -> np.ndarray:
    """Light of codes by a curv or para tag (ICC.1:2022, 10.6 and 10.18)."""
    if tag[:4] == b"curv":
        count = struct.unpack_from(">I", tag, 8)[0]
        if count == 0:
            return codes
        table = struct.unpack_from(f">{count}H", tag, 12)
        if count == 1:
            return codes ** (table[0] / 256)
        return np.interp(codes, np.linspace(0, 1, count), np.array(table) / 65535)
    kind = struct.unpack_from(">H", tag, 8)[0]
    values = [value / 65536 for value in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", tag, 12)]
    if kind == 0:
        return codes ** values[0]
    assert kind == 3
    g, a, b, c, d = values
    return np.where(codes >= d, (a * codes + b) ** g, c * codes)


def reduced(values: np.ndarray, width: int, height: int) -> np.ndarray:
    """Reduced by averaging, in light."""
    lit = cv2.resize(linear(values).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return srgb_curve(lit)


def looks_like(data: bytes, truth: PillowImage.Image) -> None:
    """Differs from truth by at most 3 levels on average, and by 2 in the mean of each channel, at half its size: the
    pictures are so small that a lossy format's own noise would hide what is looked for.
    """
    width, height = truth.width // 2, truth.height // 2
    right = reduced(np.asarray(truth.convert("RGB")) / 255, width, height) * 255
    small = reduced(seen(data), width, height) * 255
    assert np.abs(small - right).mean() <= 3
    np.testing.assert_allclose(small.mean((0, 1)), right.mean((0, 1)), atol=2)
