"""imagecodecs as a decoder of pydicom's, for the JPEG encodings that hospitals use and Pillow cannot decode.

These are JPEG lossless (processes 14 and 14 SV1), JPEG of 12 bits (process 4) and JPEG-LS. :func:`register` adds the
decoder; decoders of packages that are installed beside (pylibjpeg, gdcm, pyjpegls) are tried first.
"""

from __future__ import annotations

from typing import Any, Final

from pydicom.pixels import get_decoder
from pydicom.uid import JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless

_NAME: Final = "imagecodecs"
_BY_JPEG8: Final = (JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
_BY_JPEGLS: Final = (JPEGLSLossless, JPEGLSNearLossless)
DECODER_DEPENDENCIES: Final = dict.fromkeys((*_BY_JPEG8, *_BY_JPEGLS), ("numpy", _NAME))


def register() -> None:
    """Add the decoder to pydicom's own; a second call changes nothing."""
    for uid in DECODER_DEPENDENCIES:
        decoder = get_decoder(uid)
        if _NAME not in (*decoder.available_plugins, *decoder.missing_dependencies):
            decoder.add_plugin(_NAME, (__name__, "decode_frame"))


def is_available(uid: str) -> bool:
    """Whether the encoding can be decoded: pydicom calls this for each of its decoders."""
    import imagecodecs

    return uid in DECODER_DEPENDENCIES and bool(imagecodecs.JPEG8.available and imagecodecs.JPEGLS.available)


def decode_frame(src: bytes, runner: Any) -> bytearray:
    """One frame's samples, by pixel, little endian."""
    import imagecodecs
    import numpy as np

    plain = runner.transfer_syntax in _BY_JPEGLS
    samples = imagecodecs.jpegls_decode(src) if plain else imagecodecs.jpeg8_decode(src)
    runner.set_option("bits_allocated", 8 * samples.itemsize)
    if samples.ndim == 3:
        runner.set_option("planar_configuration", 0)
        if not plain:
            runner.set_option("photometric_interpretation", "RGB")  # it converts as the file itself says
    return bytearray(np.ascontiguousarray(samples.astype(samples.dtype.newbyteorder("<"))).tobytes())
