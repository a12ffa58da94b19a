"""Content Credentials (C2PA 2.2): results signed with what they were made from and what was done to them.

c2pa-python does the work (the extra ``provenance``). The manifest names the input as its parent ingredient, with the
input's own credentials where it has some, and the actions in order: ``c2pa.opened``, then ``c2pa.enhanced`` (or
``c2pa.edited``, where a net drew detail), ``c2pa.resized`` and ``c2pa.transcoded`` as they apply. Nothing is fetched
from addresses that an input names, and no thumbnails are made.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from enhancer.codecs.formats import format_named
from enhancer.errors import PictureError, RequestError
from enhancer.extras import imports_of_extras
from enhancer.reasons import Reason
from enhancer.version import __version__

if TYPE_CHECKING:
    from enhancer.codecs.encoding import Encoded
    from enhancer.codecs.xmp import SourceType
    from enhancer.settings import Settings

SIGNED: Final = frozenset({"JPEG", "PNG", "TIFF", "WEBP", "AVIF"})
"""Formats that hold credentials."""

_AGENT: Final = {"name": "airflow-image-enhancer", "version": __version__}
_SOURCE_TYPES: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_READING: Final = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
_CURVES: Final = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_PARENT: Final = "input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What became of an input, for its manifest.

    Attributes:
        name: the input's, of which the last part stands in the manifest.
        source: the input's bytes.
        source_format: the name of its format.
        processing: what was done; None: nothing.
        source_type: IPTC's word for how the result came to be.
        before: width and height of the input's first page; `after`: of the result's.
        private: the input's name and its own credentials are left out.
    """

    name: str
    source: bytes
    source_format: str | None
    processing: str | None
    source_type: SourceType | None
    before: tuple[int, int]
    after: tuple[int, int]
    private: bool = False


@dataclass(frozen=True, slots=True)
class Signing:
    """Who signs. Made by :meth:`from_settings`; may be used by several threads.

    Attributes:
        chain: certificates in PEM, the signer's first.
        key: its private key in PEM.
        algorithm: C2PA's word for how the key signs.
        timestamp_url: of an RFC 3161 authority, or None.
    """

    chain: bytes
    key: bytes
    algorithm: str
    timestamp_url: str | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Signing | None:
        """What ``ENHANCER_C2PA_*`` set; None where results are not signed.

        Raises:
            RequestError: ``signing``: half of it is set, or a file is not readable, no certificate or no such key.
            MissingExtraError: c2pa-python is not installed.
        """
        certificate, key = settings.c2pa_certificate, settings.c2pa_private_key
        if certificate is None and key is None:
            return None
        if certificate is None or key is None:
            lacking = "ENHANCER_C2PA_CERTIFICATE" if certificate is None else "ENHANCER_C2PA_PRIVATE_KEY"
            raise _refused(f"{lacking} is not set: signing needs both the certificate chain and its private key")
        with imports_of_extras():
            import c2pa  # noqa: F401 - a missing library is reported before the first picture
        chain, secret = _read(certificate), _read(key)
        return cls(chain, secret, _algorithm(chain, secret, certificate, key), settings.c2pa_timestamp_url)

    @property
    def identity(self) -> str:
        """Part of the identity of results: 64 hexadecimal digits, of the certificates."""
        return hashlib.sha256(self.chain).hexdigest()

    def sign(self, encoded: Encoded, work: Work) -> Encoded:
        """The file with its manifest; as it is, with a warning, where its format holds none.

        Raises:
            RequestError: ``signing``: the credentials do not sign: expired, of no use for C2PA, or not of this key.
            PictureError: ``unwritable``: this one file cannot be signed.
        """
        if encoded.format not in SIGNED:
            note = f"{encoded.format} holds no Content Credentials: the result is not signed"
            return replace(encoded, warnings=(*encoded.warnings, note))
        import c2pa

        warnings = list(encoded.warnings)
        url = None if self.timestamp_url is None else self.timestamp_url.encode()
        try:
            info = c2pa.C2paSignerInfo(self.algorithm.encode(), self.chain, self.key, url)
            context = c2pa.Context(c2pa.Settings.from_dict(_READING))
            with c2pa.Signer.from_info(info) as signer, _builder(context, encoded, work, warnings) as builder:
                signed = io.BytesIO()
                builder.sign(signer, encoded.content_type, io.BytesIO(encoded.data), signed)
        except c2pa.C2paError.Signature as error:
            raise _refused(
                f"the result cannot be signed: {error}; check ENHANCER_C2PA_CERTIFICATE and its key"
            ) from error
        except c2pa.C2paError as error:
            raise PictureError(
                f"{work.name}: the {encoded.format} cannot be signed: {error}", reason=Reason.UNWRITABLE
            ) from error
        return replace(encoded, data=signed.getvalue(), warnings=tuple(warnings))


def _builder(context: Any, encoded: Encoded, work: Work, warnings: list[str]) -> Any:
    import c2pa

    manifest = {
        "claim_generator_info": [_AGENT],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": _actions(encoded, work)}}],
    }
    media_type = _media_type(work.source_format)
    ingredient = {
        "title": "input" if work.private else PurePosixPath(work.name).name,
        "format": media_type,
        "relationship": "parentOf",
        "label": _PARENT,
    }
    if not work.private:
        builder = c2pa.Builder.from_json(manifest, context=context)
        try:
            builder.add_ingredient(ingredient, media_type, io.BytesIO(work.source))
            return builder
        except c2pa.C2paError as error:
            builder.close()
            warnings.append(f"the input's own Content Credentials cannot be read and were left out: {error}")
    return c2pa.Builder.from_json({**manifest, "ingredients": [ingredient]}, context=context)


def _actions(encoded: Encoded, work: Work) -> list[dict[str, Any]]:
    """What was done, in the terms of C2PA's list of actions."""
    actions: list[dict[str, Any]] = [{"action": "c2pa.opened", "parameters": {"ingredientIds": [_PARENT]}}]
    if work.processing is not None:
        done = {
            "action": "c2pa.edited" if work.source_type == "compositeWithTrainedAlgorithmicMedia" else "c2pa.enhanced",
            "description": work.processing,
            "softwareAgent": _AGENT,
        }
        if work.source_type is not None:
            done["digitalSourceType"] = _SOURCE_TYPES + work.source_type
        actions.append(done)
    if work.before != work.after:
        sizes = " to ".join(f"{width} x {height}" for width, height in (work.before, work.after))
        actions.append({"action": "c2pa.resized", "description": sizes, "softwareAgent": _AGENT})
    if work.source_format != encoded.format:
        formats = f"{work.source_format} to {encoded.format}"
        actions.append({"action": "c2pa.transcoded", "description": formats, "softwareAgent": _AGENT})
    return actions


def _media_type(source_format: str | None) -> str:
    if source_format is None:
        return "application/octet-stream"
    return format_named(source_format).content_type or f"image/{source_format.lower().replace(' ', '-')}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _refused(f"cannot read {path}: {error.strerror}") from error


def _algorithm(chain: bytes, secret: bytes, certificate: Path, key: Path) -> str:
    """How this key signs, after a check that the first certificate is of this key."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except ValueError as error:
        raise _refused(f"{certificate} holds no certificates in PEM: {error}") from error
    try:
        private = load_pem_private_key(secret, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _refused(f"{key} is no private key in PEM without a password: {error}") from error
    if private.public_key() != leaf.public_key():
        raise _refused(f"{key} is not the key of the first certificate in {certificate}")
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _CURVES:
        return _CURVES[private.curve.name]
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    raise _refused(f"C2PA has no algorithm for the key in {key}; use P-256, P-384, P-521, Ed25519 or RSA")


def _refused(message: str) -> RequestError:
    return RequestError(message, reason=Reason.SIGNING)
