"""The demo's input and truth: photographs that ship with scikit-image, made smaller, damaged, or wrapped in odd
formats.

Nothing here uses the product's own codecs: files are written with Pillow, tifffile and OpenCV, so that the truths are
an independent measure. Pictures as users really have them, from a camera or saved again and again, are damaged by the
models of :mod:`enhancer.training.real_damage`, several ways at once; none of them was made for one stage alone.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import skimage
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from enhancer.training.real_damage import Model, Strength, damaged

Picture = NDArray[Any]
SEED: Final = 20261122

RULES: Final[list[dict[str, Any]]] = [
    {"match": "x2/*", "recipe": "photo", "scale": 2},
    {"match": "x4/*", "recipe": "photo", "scale": 4},
    {"match": "real/1x-*", "recipe": "photo", "scale": 1},
    {"match": "real/4x-*", "recipe": "photo", "scale": 4},
    {"match": "restore/faded-*", "recipe": "old-photo", "scale": 1},
    {"match": "restore/dark-*", "recipe": "low-light", "scale": 1},
    {"match": "restore/scratched-*", "recipe": "scan", "scale": 1},
    {"match": "restore/*", "recipe": "photo", "scale": 1},
    {"match": "odd/*", "recipe": "scan", "scale": 2},
]


@dataclass(frozen=True, slots=True)
class Sample:
    """One object of the input bucket, with its truth where there is one."""

    key: str
    data: bytes
    truth: bytes | None


@cache
def photograph(name: str) -> Picture:
    """A photograph from scikit-image's own data folder, uint8, RGB or grey."""
    folder = Path(skimage.__file__).parent / "data"
    with Image.open(next(path for path in folder.iterdir() if path.stem == name)) as image:
        return np.asarray(image.convert("L" if image.mode == "L" else "RGB"))


def crop(name: str, top: int, left: int, height: int, width: int) -> Picture:
    """A cut-out of a photograph."""
    picture = photograph(name)[top : top + height, left : left + width]
    if picture.shape[:2] != (height, width):
        raise ValueError(f"{name} is too small for {height} x {width} at {top}, {left}")
    return picture


def reduced(picture: Picture, factor: int) -> Picture:
    """Smaller by `factor`, by Pillow's antialiased bicubic (a = -0.5, MATLAB's imresize)."""
    height, width = picture.shape[:2]
    return np.asarray(Image.fromarray(picture).resize((width // factor, height // factor), Image.Resampling.BICUBIC))


def reduced_16(picture: Picture, factor: int) -> Picture:
    """The same with 16-bit result: computed in float, so that the depth is real."""
    planes = picture[..., None] if picture.ndim == 2 else picture
    size = (planes.shape[1] // factor, planes.shape[0] // factor)
    small = [
        np.asarray(Image.fromarray(planes[..., c].astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
        for c in range(planes.shape[2])
    ]
    deep = np.rint(np.clip(np.stack(small, axis=-1) * 257, 0, 65535)).astype(np.uint16)
    result: Picture = deep[..., 0] if picture.ndim == 2 else deep
    return result


def noisy(picture: Picture, sigma: float, seed: int) -> Picture:
    """Gaussian noise of standard deviation `sigma` in 8-bit levels, clipped."""
    noise = np.random.default_rng(SEED + seed).normal(0, sigma, picture.shape)
    damaged: Picture = np.rint(np.clip(picture + noise, 0, 255)).astype(np.uint8)
    return damaged


def salt_and_pepper(picture: Picture, share: float, seed: int) -> Picture:
    """`share` of the pixels black or white."""
    draw = np.random.default_rng(SEED + seed).random(picture.shape[:2])
    damaged = picture.copy()
    damaged[draw < share / 2] = 0
    damaged[draw > 1 - share / 2] = 255
    return damaged


def faded(picture: Picture) -> Picture:
    """An aged print: lifted blacks, lost contrast, cyan dye gone first, yellowed."""
    values = picture.astype(np.float64) / 255
    values = 0.16 + 0.62 * values
    values[..., 0] = values[..., 0] * 0.95 + 0.07
    values[..., 2] *= 0.82
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)


def under_exposed(picture: Picture, stops: float) -> Picture:
    """Less light by `stops`, in linear light (IEC 61966-2-1)."""
    values = picture.astype(np.float64) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4) * 2.0**-stops
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    darker: Picture = np.rint(encoded * 255).astype(np.uint8)
    return darker


def night_shot(picture: Picture, stops: float, seed: int) -> Picture:
    """Less light by `stops`, with the shot and read noise of a sensor in linear light."""
    draw = np.random.default_rng(SEED + seed)
    values = picture.astype(np.float64) / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4) * 2.0**-stops
    light = np.clip(light + np.sqrt(2e-4 * light + 4e-6) * draw.standard_normal(light.shape), 0, 1)
    encoded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    taken: Picture = np.rint(encoded * 255).astype(np.uint8)
    return taken


def scratched(picture: Picture, seed: int) -> Picture:
    """A print that was handled: long thin scratches, a fold, and dust, all bright, with soft edges."""
    draw = np.random.default_rng(SEED + seed)
    height, width = picture.shape[:2]
    cover = np.zeros((height, width), np.float32)
    for _ in range(5):
        start, turn = draw.uniform((0, 0), (width, height)), draw.uniform(-0.35, 0.35)
        steps = np.linspace(0, 1, 12)[:, None] * np.array([height * np.sin(turn), height * np.cos(turn)])
        path = np.rint(start + steps - [0, height / 2] + draw.normal(0, 1.2, steps.shape)).astype(np.int32)
        cv2.polylines(cover, [path], False, float(draw.uniform(0.75, 1)), int(draw.integers(1, 3)), cv2.LINE_AA)
    fold = int(draw.uniform(0.3, 0.7) * height)
    cv2.line(cover, (0, fold), (width, fold + int(draw.integers(-8, 9))), 0.9, 2, cv2.LINE_AA)
    for centre in draw.uniform((0, 0), (width, height), (24, 2)):
        cv2.circle(cover, np.rint(centre).astype(int).tolist(), int(draw.integers(1, 3)), 1.0, -1, cv2.LINE_AA)
    cover = cv2.GaussianBlur(cover, (0, 0), 0.6)[..., None]
    damaged: Picture = np.rint(picture * (1 - cover) + 238 * cover).astype(np.uint8)
    return damaged


def png(picture: Picture, **options: Any) -> bytes:
    """8-bit PNG by Pillow."""
    return _saved(Image.fromarray(picture), "PNG", **options)


def jpeg(picture: Picture, quality: int = 95, **options: Any) -> bytes:
    """JPEG by Pillow."""
    return _saved(Image.fromarray(picture), "JPEG", quality=quality, **options)


def png_16(picture: Picture) -> bytes:
    """16-bit PNG by OpenCV."""
    done, encoded = cv2.imencode(".png", picture[..., ::-1] if picture.ndim == 3 else picture)
    if not done:
        raise RuntimeError("OpenCV could not write a PNG")
    return bytes(encoded.tobytes())


def tiff_16(picture: Picture) -> bytes:
    """16-bit TIFF by tifffile."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, picture, photometric="rgb" if picture.ndim == 3 else "minisblack", compression="zlib")
    return buffer.getvalue()


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rotated_with_gps(upright: Picture) -> bytes:
    """A JPEG as a phone writes it: stored on its side (orientation 6), with GPS, camera and an ICC profile."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F], exif[0x0110] = "Demo", "Phone 1"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    stored = np.ascontiguousarray(np.rot90(upright))  # orientation 6 is shown turned by 90 degrees clockwise
    return jpeg(stored, exif=exif, icc_profile=profile)


def with_alpha(picture: Picture) -> bytes:
    """An RGBA PNG whose transparency fades in a circle."""
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width]
    distance = np.hypot((rows - height / 2) / (height / 2), (columns - width / 2) / (width / 2))
    alpha = np.rint(255 * np.clip((1.05 - distance) / 0.2, 0, 1)).astype(np.uint8)
    return png(np.dstack([picture, alpha]))


def cmyk_jpeg(picture: Picture) -> bytes:
    """A CMYK JPEG without a profile."""
    return _saved(Image.fromarray(picture).convert("CMYK"), "JPEG", quality=95)


def bomb() -> bytes:
    """A PNG of 40,000 x 40,000 pixels in about 200 KB: 1.6 gigapixels if anyone decodes it."""
    side = 40_000
    compressor = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    body = b"".join(compressor.compress(row * 100) for _ in range(side // 100)) + compressor.flush()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def samples() -> list[Sample]:
    """Every object of the input bucket: 36 good pictures and three that are not."""
    return [*_enlargements(), *_restorations(), *_really_damaged(), *_odd(), *_bad()]


def _enlargements() -> list[Sample]:
    twice = {
        "astronaut.png": crop("astronaut", 0, 0, 512, 512),
        "cat.png": crop("chelsea", 0, 0, 300, 450),
        "coffee.png": crop("coffee", 0, 44, 400, 512),
        "motorcycle.png": crop("motorcycle_left", 60, 120, 384, 512),
        "rocket.png": crop("rocket", 0, 64, 400, 512),
    }
    four = {
        "astronaut.png": crop("astronaut", 0, 64, 400, 400),
        "cat.jpg": crop("chelsea", 0, 0, 300, 448),
        "coffee.png": crop("coffee", 0, 88, 400, 512),
        "motorcycle.png": crop("motorcycle_right", 40, 200, 400, 512),
        "retina.png": crop("retina", 400, 500, 512, 512),
        "rocket.png": crop("rocket", 16, 100, 400, 512),
    }
    pictures = [Sample(f"x2/{name}", png(reduced(truth, 2)), png(truth)) for name, truth in twice.items()]
    for name, truth in four.items():
        small = reduced(truth, 4)
        pictures.append(Sample(f"x4/{name}", jpeg(small) if name.endswith(".jpg") else png(small), png(truth)))
    return pictures


def _restorations() -> list[Sample]:
    face = crop("astronaut", 0, 96, 256, 256)
    cat = crop("chelsea", 20, 100, 256, 256)
    cup = crop("coffee", 90, 180, 256, 256)
    engine = crop("motorcycle_left", 160, 250, 256, 256)
    damaged: list[tuple[str, Picture, bytes]] = [
        ("noise-10-astronaut.png", face, png(noisy(face, 10, 1))),
        ("noise-10-motorcycle.png", engine, png(noisy(engine, 10, 2))),
        ("noise-25-cat.png", cat, png(noisy(cat, 25, 3))),
        ("noise-25-coffee.png", cup, png(noisy(cup, 25, 4))),
        ("impulses-coffee.png", cup, png(salt_and_pepper(cup, 0.05, 5))),
        ("quality-30-astronaut.jpg", face, jpeg(face, quality=30)),
        ("quality-10-coffee.jpg", cup, jpeg(cup, quality=10)),
        ("scratched-cat.png", cat, png(scratched(cat, 6))),
        ("faded-motorcycle.png", engine, png(faded(engine))),
        ("dark-cat.png", cat, png(under_exposed(cat, 1.5))),
        ("dark-night-coffee.jpg", cup, jpeg(night_shot(cup, 3, 7))),
    ]
    return [Sample(f"restore/{name}", data, png(truth)) for name, truth, data in damaged]


def _really_damaged() -> list[Sample]:
    drawn: list[tuple[str, int, Model, Strength, Picture]] = [
        ("camera-astronaut", 1, "camera", "medium", crop("astronaut", 0, 96, 320, 320)),
        ("camera-coffee", 1, "camera", "heavy", crop("coffee", 60, 140, 320, 320)),
        ("re-saved-cat", 1, "second-order", "medium", crop("chelsea", 0, 90, 288, 320)),
        ("re-saved-motorcycle", 1, "second-order", "heavy", crop("motorcycle_left", 100, 200, 320, 320)),
        ("camera-cat", 4, "camera", "medium", crop("chelsea", 0, 0, 288, 448)),
        ("camera-motorcycle", 4, "camera", "medium", crop("motorcycle_right", 40, 200, 400, 512)),
        ("re-saved-astronaut", 4, "first-order", "medium", crop("astronaut", 0, 64, 400, 400)),
        ("re-saved-coffee", 4, "first-order", "heavy", crop("coffee", 0, 88, 400, 512)),
    ]
    made = []
    for number, (name, scale, model, strength, truth) in enumerate(drawn):
        given, _ = damaged(truth, scale, model, strength, np.random.default_rng((SEED, number)))
        made.append(Sample(f"{REAL}{scale}x-{name}.png", png(given), png(truth)))
    return made


def _odd() -> list[Sample]:
    face = crop("astronaut", 0, 96, 256, 256)
    cat = crop("chelsea", 20, 100, 256, 256)
    cup = crop("coffee", 90, 180, 256, 256)
    deep_face = (face.astype(np.uint16)) * 257
    deep_cup = (cup.astype(np.uint16)) * 257
    man = crop("camera", 60, 100, 256, 256)
    tall = crop("rocket", 0, 200, 256, 192)
    return [
        Sample("odd/grey.png", png(reduced(man, 2)), png(man)),
        Sample("odd/sixteen-bit.png", png_16(reduced_16(face, 2)), png_16(deep_face)),
        Sample("odd/sixteen-bit.tif", tiff_16(reduced_16(cup, 2)), tiff_16(deep_cup)),
        Sample("odd/rotated-gps-icc.jpg", rotated_with_gps(reduced(tall, 2)), png(tall)),
        Sample("odd/alpha.png", with_alpha(reduced(cat, 2)), with_alpha(cat)),
        Sample("odd/cmyk.jpg", cmyk_jpeg(reduced(cup, 2)), png(cup)),
    ]


def _bad() -> list[Sample]:
    whole = jpeg(crop("coffee", 0, 0, 256, 256))
    return [
        Sample("odd/bomb.png", bomb(), None),
        Sample("odd/not-a-picture.jpg", b"This is a letter, not a picture.\n" * 40, None),
        Sample("odd/truncated.jpg", whole[: len(whole) * 2 // 3], None),
    ]


REAL: Final = "real/"
"""Where the really damaged pictures lie."""
BAD_KEYS: Final = ("odd/bomb.png", "odd/not-a-picture.jpg", "odd/truncated.jpg")

Upload = Callable[[str, bytes], None]


def upload(put_input: Upload, put_reference: Upload) -> int:
    """Hand every object to the two stores; the number of inputs."""
    made = samples()
    for sample in made:
        put_input(sample.key, sample.data)
        if sample.truth is not None:
            put_reference(sample.key, sample.truth)
    return len(made)
