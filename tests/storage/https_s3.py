"""A small S3 server on HTTPS whose certificate a private CA signed, with either way of taking an aws-chunked body."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class PrivateCA:
    """An authority that no machine knows, and a certificate of its for 127.0.0.1.

    Attributes:
        bundle: what AWS_CA_BUNDLE has to name.
        chain: the server's key and certificate.
    """

    def __init__(self, folder: Path) -> None:
        self.bundle, self.chain = folder / "ca.pem", folder / "server.pem"
        ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        ca = _certificate("A private CA", "A private CA", ca_key, ca_key, ca=True)
        server = _certificate("127.0.0.1", "A private CA", key, ca_key, ca=False)
        self.bundle.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        self.chain.write_bytes(private + server.public_bytes(pem))


def _certificate(name: str, issuer: str, key: Any, signer: Any, *, ca: bool) -> x509.Certificate:
    today = datetime.datetime.now(datetime.UTC)
    subject, authority = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if not ca:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(signer, hashes.SHA256())


class HttpsS3(ThreadingHTTPServer):
    """The verbs that the store uses, for path-style addresses; signatures are not checked.

    Args:
        ca: whose certificate it shows.
        understands_trailers: whether it takes an aws-chunked body apart, as AWS does, or stores it as it comes.

    Attributes:
        objects: bytes and content type by ``bucket/key``.
        etag: makes the ETag of an object's bytes.
        encodings: the content encoding of each upload.
    """

    daemon_threads = True

    def __init__(self, ca: PrivateCA, *, understands_trailers: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(ca.chain)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.understands_trailers = understands_trailers
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.encodings: list[str] = []
        self.endpoint = f"https://127.0.0.1:{self.server_address[1]}"

    def etag(self, data: bytes) -> str:
        return md5(data, usedforsecurity=False).hexdigest()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust the certificate hangs up, which is no news."""


@contextmanager
def serving(server: HttpsS3) -> Iterator[HttpsS3]:
    """Run a server until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def decoded(body: bytes) -> bytes:
    """What an aws-chunked body carries; its trailers are left out."""
    data = b""
    while True:
        header, _, body = body.partition(b"\r\n")
        size = int(header.partition(b";")[0], 16)
        if not size:
            return data
        data, body = data + body[:size], body[size + 2 :]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpsS3

    def log_message(self, *arguments: Any) -> None:
        """Tests are quiet."""

    @property
    def _name(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().strip().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_PUT(self) -> None:
        body = self._body()
        if source := self.headers.get("x-amz-copy-source"):
            data, kind = self.server.objects[unquote(source).lstrip("/")]
            self.server.objects[self._name] = data, kind
            result = f"<CopyObjectResult><ETag>&quot;{self.server.etag(data)}&quot;</ETag></CopyObjectResult>"
            return self._answer(200, result.encode(), Content_Type="application/xml")
        encoding = self.headers.get("Content-Encoding", "")
        self.server.encodings.append(encoding)
        if "aws-chunked" in encoding and self.server.understands_trailers:
            body = decoded(body)
        self.server.objects[self._name] = body, self.headers.get("Content-Type", "binary/octet-stream")
        return self._answer(200, ETag=f'"{self.server.etag(body)}"')

    def do_GET(self) -> None:
        if "list-type" in parse_qs(urlsplit(self.path).query):
            return self._list()
        if self._name not in self.server.objects:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        data, kind = self.server.objects[self._name]
        return self._answer(200, data, ETag=f'"{self.server.etag(data)}"', Content_Type=kind)

    def do_HEAD(self) -> None:
        if "/" not in self._name:
            return self._answer(200)
        if self._name not in self.server.objects:
            return self._answer(404)
        data, kind = self.server.objects[self._name]
        self.send_response(200)
        for name, value in (("Content-Length", str(len(data))), ("ETag", f'"{self.server.etag(data)}"')):
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        return self.end_headers()

    def do_DELETE(self) -> None:
        self.server.objects.pop(self._name, None)
        self._answer(204)

    def _list(self) -> None:
        prefix = parse_qs(urlsplit(self.path).query).get("prefix", [""])[0]
        bucket = self._name.rstrip("/")
        found = sorted(name.removeprefix(f"{bucket}/") for name in self.server.objects if name.startswith(f"{bucket}/"))
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size>"
            f"<ETag>&quot;{self.server.etag(data)}&quot;</ETag></Contents>"
            for key in found
            if key.startswith(prefix)
            for data, _ in [self.server.objects[f"{bucket}/{key}"]]
        )
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        self._answer(200, body.encode(), Content_Type="application/xml")
