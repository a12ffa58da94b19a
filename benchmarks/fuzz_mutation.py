"""Mutated files of all formats: sound and odd seed files, and what is done to them.

File I of a seed is always the same one, whatever else is run.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

SHARED: Final = Path(__file__).resolve().parents[2] / "shared" / "data"
LARGEST_SEED: Final = 150_000
_INTERESTING: Final = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def seeds() -> dict[str, bytes]:
    """Sound files of all formats by name, and the small odd ones of the data folder where there is one."""
    made = {**_pillow_seeds(), **_deep_seeds(), **_stated_seeds(), **_extra_seeds()}
    for folder in ("malformed", "odd", "exif"):
        for path in sorted((SHARED / folder).glob("*")) if SHARED.is_dir() else ():
            if path.is_file() and 0 < path.stat().st_size <= LARGEST_SEED:
                made[f"{folder}/{path.name}"] = path.read_bytes()
    return made


def _picture() -> np.ndarray[Any, np.dtype[np.uint8]]:
    y, x = np.mgrid[0:40, 0:56]
    planes = [127 + 100 * np.sin(x / 9 + index) * np.cos(y / 7) for index in range(4)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def _pillow_seeds() -> dict[str, bytes]:
    from PIL import Image, ImageCms

    rgba = Image.fromarray(_picture())
    rgb, exif = rgba.convert("RGB"), Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6
    exif[0x8769], exif[0x8825] = {0xA002: 56, 0x927C: b"note" * 20}, {1: "N", 2: (52.0, 31.0, 12.5)}
    extra = {"exif": exif.tobytes(), "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}
    frames = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    made = [
        ("jpeg", rgb, "JPEG", {"quality": 80, **extra}),
        ("jpeg-progressive", rgb, "JPEG", {"progressive": True}),
        ("jpeg-cmyk", rgb.convert("CMYK"), "JPEG", {}),
        ("png", rgb, "PNG", extra),
        ("png-alpha", rgba, "PNG", {}),
        ("png-palette", rgb.quantize(16), "PNG", {"transparency": 3}),
        ("png-animation", rgb, "PNG", frames),
        ("webp", rgba, "WEBP", {"quality": 70, **extra}),
        ("webp-lossless", rgb, "WEBP", {"lossless": True}),
        ("webp-animation", rgb, "WEBP", frames),
        ("avif", rgba, "AVIF", {"speed": 9, **extra}),
        ("gif", rgb, "GIF", frames),
        ("bmp", rgb, "BMP", {}),
        ("bmp-palette", rgb.quantize(16), "BMP", {}),
        ("tiff-pillow", rgb, "TIFF", extra),
        ("tiff-fax", rgb.convert("1"), "TIFF", {"compression": "group4"}),
        ("tiff-cmyk", rgb.convert("CMYK"), "TIFF", {}),
        ("jpeg2000", rgb, "JPEG2000", {}),
    ]
    return {name: _saved(lambda file, p=p, f=f, a=a: p.save(file, f, **a)) for name, p, f, a in made}


def _deep_seeds() -> dict[str, bytes]:
    import imagecodecs
    import tifffile

    rgb = np.ascontiguousarray(_picture()[..., :3])
    deep = rgb.astype(np.uint16) * 257
    made = {
        "png-16": bytes(imagecodecs.png_encode(deep)),
        "jpeg2000-16": bytes(imagecodecs.jpeg2k_encode(deep, codecformat="j2k")),
    }
    for compression in (None, "zlib", "lzw", "packbits", "zstd", "jpeg"):
        for tile in (None, (16, 16)):
            arguments: dict[str, Any] = {"tile": tile} if tile else {"rowsperstrip": 8}
            made[f"tiff-{compression}-{'tiles' if tile else 'strips'}"] = _saved(
                lambda file, c=compression, a=arguments: tifffile.imwrite(
                    file, rgb, photometric="rgb", compression=c, **a
                )
            )
    made["tiff-float"] = _saved(
        lambda file: tifffile.imwrite(file, rgb[..., 0].astype(np.float32), predictor=3, compression="zlib")
    )
    made["tiff-big"] = _saved(lambda file: tifffile.imwrite(file, deep, photometric="rgb", bigtiff=True))
    made["tiff-pages"] = _saved(
        lambda file: tifffile.imwrite(file, np.stack([rgb] * 3), photometric="rgb", metadata=None)
    )
    return made


def _stated_seeds() -> dict[str, bytes]:
    """Files that state colours without a profile, hold many bands, or have something beside the pixels."""
    import imagecodecs
    import tifffile
    from PIL import Image

    rgb = np.ascontiguousarray(_picture()[..., :3])
    jpeg = _saved(lambda file: Image.fromarray(rgb).save(file, "JPEG", comment=b"a comment"))
    png = _saved(lambda file: Image.fromarray(rgb).save(file, "PNG"))
    chunks = [
        (b"gAMA", struct.pack(">I", 55_556)),
        (b"cHRM", struct.pack(">8I", 31_270, 32_900, 64_000, 33_000, 21_000, 71_000, 15_000, 6_000)),
        (b"tEXt", b"Title\0text"),
        (b"zTXt", b"Note\0\0" + zlib.compress(b"text")),
        (b"iTXt", b"Copyright\0\0\0\0\0text"),
    ]
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" tiff:Orientation="6"'
        b' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
        b' xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#" hdrgm:Version="1.0" GPano:FullPanoWidthPixels="99"'
        b' stArea:x="0.1" stArea:y="0.2" stArea:w="0.1" stArea:h="0.1"/></rdf:RDF></x:xmpmeta>'
    )
    body = b"http://ns.adobe.com/xap/1.0/\0" + packet
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    bands = np.stack([rgb[..., 0].astype(np.int16) - 99] * 5, axis=-1)
    geo = [(33550, 12, 3, (1.0, 1.0, 0.0), True), (33922, 12, 6, (0.0,) * 6, True), (42113, 2, 0, "-99", True)]
    return {
        "png-stated": png[:33] + b"".join(_chunk(kind, text) for kind, text in chunks) + png[33:],
        "png-cicp": png[:33] + _chunk(b"cICP", bytes([12, 13, 0, 1])) + png[33:],
        "jpeg-no-end": jpeg[:-2],
        "jpeg-two": jpeg[:20] + segment + jpeg[20:] + jpeg,
        "avif-nclx": bytes(imagecodecs.avif_encode(rgb, level=80, primaries=12, transfer=13, matrix=1)),
        "tiff-ycbcr": _saved(
            lambda file: Image.fromarray(rgb).convert("YCbCr").save(file, "TIFF", compression="tiff_lzw")
        ),
        "tiff-bands": _saved(
            lambda file: tifffile.imwrite(file, bands, photometric="minisblack", planarconfig="contig", extratags=geo)
        ),
    }


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _extra_seeds() -> dict[str, bytes]:
    """HEIC and DICOM where their libraries are."""
    made = {}
    try:
        import pillow_heif
        from PIL import Image
    except ImportError:
        pass
    else:
        made["heic"] = _saved(lambda file: pillow_heif.from_pillow(Image.fromarray(_picture()[..., :3])).save(file))
    try:
        import pydicom  # noqa: F401
    except ImportError:
        return made
    return {**made, **_dicom_seeds()}


def _dicom_seeds() -> dict[str, bytes]:
    """One slice of 12 bits in each family of encodings, and two frames of JPEG 2000 with JP2 headers."""
    import imagecodecs
    import pydicom
    from pydicom import uid
    from pydicom.encaps import encapsulate

    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = uid.CTImageStorage, "1.2.3.4", "CT"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 40, 56, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    values = np.ascontiguousarray(_picture()[..., 0].astype(np.uint16) * 16)
    dataset.PixelData = values.tobytes()
    made = {"dicom": _saved(lambda file: dataset.save_as(file, enforce_file_format=True))}
    dataset.compress(uid.RLELossless)
    made["dicom-rle"] = _saved(lambda file: dataset.save_as(file, enforce_file_format=True))
    jp2 = bytes(imagecodecs.jpeg2k_encode(values, codecformat="jp2", level=0, bitspersample=12))
    for name, syntax, frames in (
        ("jpeg2000", uid.JPEG2000Lossless, [bytes(imagecodecs.jpeg2k_encode(values, codecformat="j2k", level=0))]),
        ("jpeg2000-jp2", uid.JPEG2000Lossless, [jp2, jp2]),
        ("jpegls", uid.JPEGLSLossless, [bytes(imagecodecs.jpegls_encode(values))]),
        ("jpeg-lossless", uid.JPEGLosslessSV1, [imagecodecs.jpeg8_encode(values, lossless=True, bitspersample=12)]),
    ):
        dataset.NumberOfFrames = len(frames)
        dataset.PixelData = encapsulate([bytes(frame) for frame in frames])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        dataset.file_meta.TransferSyntaxUID = syntax
        made[f"dicom-{name}"] = _saved(lambda file: dataset.save_as(file, enforce_file_format=True))
    return made


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


def mutated(pool: Sequence[bytes], seed: int, index: int) -> tuple[bytes, bool]:
    """File `index` of a seed, and whether it is decoded with salvage: a seed file with one to four mutations."""
    rng = np.random.default_rng([seed, index])
    data = bytearray(pool[int(rng.integers(len(pool)))])
    for _ in range(int(rng.integers(1, 5))):
        if not data:
            break
        _MUTATIONS[int(rng.integers(len(_MUTATIONS)))](data, rng, pool)
    if data[:4] == b"\x89PNG" and rng.random() < 0.7:
        mend_checksums(data)
    return bytes(data), bool(rng.random() < 0.5)


def _place(data: bytearray, rng: np.random.Generator) -> int:
    """Anywhere, or in half of all cases within the first 600 bytes, where headers are."""
    return int(rng.integers(min(len(data), 600) if rng.random() < 0.5 else len(data)))


def _flip(data: bytearray, rng: np.random.Generator, pool: Sequence[bytes]) -> None:
    for _ in range(int(rng.integers(1, 17))):
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))


def _overwrite(data: bytearray, rng: np.random.Generator, pool: Sequence[bytes]) -> None:
    at = _place(data, rng)
    size = int(rng.integers(1, 33))
    data[at : at + size] = rng.bytes(min(size, len(data) - at))


def _truncate(data: bytearray, rng: np.random.Generator, pool: Sequence[bytes]) -> None:
    del data[int(rng.integers(len(data))) :]


def _duplicate(data: bytearray, rng: np.random.Generator, pool: Sequence[bytes]) -> None:
    start = _place(data, rng)
    part = data[start : start + int(rng.integers(1, 400))]
    at = start if rng.random() < 0.5 else _place(data, rng)
    data[at:at] = part * int(rng.integers(1, 4))


def _remove(data: bytearray, rng: np.random.Generator, pool: Sequence[bytes]) -> None:
    start = _place(data, rng)
    del data[start : start + int(rng.integers(1, 200))]


def _edit_length(data: bytearray, rng: np.random.Generator, pool: Sequence[bytes]) -> None:
    """An interesting number as 2 or 4 bytes of either order: sizes, counts, offsets."""
    value = int(rng.choice(_INTERESTING)) if rng.random() < 0.8 else len(data)
    size = int(rng.choice((2, 4)))
    at = _place(data, rng) & ~1
    data[at : at + size] = (value & ((1 << (8 * size)) - 1)).to_bytes(size, "little" if rng.random() < 0.5 else "big")


def _splice(data: bytearray, rng: np.random.Generator, pool: Sequence[bytes]) -> None:
    """The beginning of this file followed by the end of another."""
    other = pool[int(rng.integers(len(pool)))]
    del data[_place(data, rng) :]
    data += other[int(rng.integers(len(other))) :]


_MUTATIONS: Final = (_flip, _overwrite, _truncate, _duplicate, _remove, _edit_length, _edit_length, _splice)


def mend_checksums(data: bytearray) -> None:
    """True checksums for PNG chunks, so that mutations get past them."""
    position = 8
    while position + 12 <= len(data):
        length = struct.unpack_from(">I", data, position)[0]
        end = position + 8 + length
        if end + 4 > len(data):
            return
        struct.pack_into(">I", data, end, zlib.crc32(data[position + 4 : end]))
        position = end + 4
