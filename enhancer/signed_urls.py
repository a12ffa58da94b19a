"""Signed addresses of the HTTP service: whoever has the key says which picture may be fetched, how, and at which scale.

``/v1/i/{signature}/{recipe}:{scale}/{encoded address}``: the address is URL-safe base64 (RFC 4648, section 5) without
padding, and so is the signature, HMAC-SHA256 (RFC 2104) of ``{recipe}:{scale}/{encoded address}``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

PREFIX: Final = "/v1/i"


def signed_path(key: str, address: str, *, recipe: str = "photo", scale: float = 1) -> str:
    """The path under which the service answers with the enhanced picture.

    Args:
        key: the service's ``ENHANCER_SERVICE_URL_KEY``.
        address: of the picture, below one of the service's allowed roots.
        recipe: a preset's name.
        scale: output side over input side, 1 to 8.

    >>> signed_path("0123456789abcdef", "s3://shop/a.jpg", recipe="photo", scale=2).split("/")[4:]
    ['photo:2', 'czM6Ly9zaG9wL2EuanBn']
    """
    options, encoded = f"{recipe}:{scale:g}", _encoded(address.encode())
    return f"{PREFIX}/{signature_of(key, options, encoded)}/{options}/{encoded}"


def signature_of(key: str, options: str, encoded: str) -> str:
    """The signature of one recipe and scale (`options`) with one encoded address, 43 characters."""
    return _encoded(hmac.new(key.encode(), f"{options}/{encoded}".encode(), hashlib.sha256).digest())


def is_signed(key: str, signature: str, options: str, encoded: str) -> bool:
    """Whether the signature is that of this very recipe, scale and address. Takes as long whatever is wrong."""
    return hmac.compare_digest(signature.encode(), signature_of(key, options, encoded).encode())


def decoded_address(encoded: str) -> str:
    """The address again.

    Raises:
        ValueError: it was not encoded as here.
    """
    return base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
