"""What is particular to S3: keys and rights, missing buckets, servers in trouble, conditional writes."""

from __future__ import annotations

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from demo.services.processes import free_port
from enhancer.errors import ErrorKind, ObjectGoneError, StorageError
from enhancer.settings import Settings
from enhancer.storage import LocalStore, open_store, s3_client

SECRET = "wJalrXUtnFEMI-not-the-secret"


@pytest.fixture
def bucket(s3) -> str:
    return s3.bucket()


@pytest.fixture
def quick(monkeypatch):
    """One try per call: what is tested is how an error reads, not how often boto3 tries again."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    import botocore.config

    original = botocore.config.Config

    def one_try(**options):
        return original(**(options | {"retries": {"total_max_attempts": 1}, "read_timeout": 1}))

    monkeypatch.setattr(botocore.config, "Config", one_try)
    s3_client._client.cache_clear()
    yield
    s3_client._client.cache_clear()


def failure(call, *arguments) -> StorageError:
    with pytest.raises(StorageError) as caught:
        call(*arguments)
    return caught.value


def everything_said(error: BaseException) -> str:
    """The message and that of every cause, as a traceback would print them."""
    said = []
    current: BaseException | None = error
    while current is not None:
        said.append(f"{current!r} {current}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n".join(said)


@pytest.fixture
def cut_off() -> Iterator[str]:
    """A server whose every answer breaks off in its headers; its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-")

    thread = threading.Thread(target=answer)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_headers_that_break_off_are_transient(cut_off):
    keys = {"s3_access_key_id": "k", "s3_secret_access_key": "s"}
    store = open_store("s3://some", Settings(s3_endpoint_url=cut_off, **keys))
    for call, arguments in ((store.head, ("a",)), (store.get, ("a",)), (store.put, ("a", b"data"))):
        assert failure(call, *arguments).kind is ErrorKind.TRANSIENT


def test_wrong_secret(s3, bucket):
    store = open_store(bucket, s3.settings(s3_secret_access_key=SECRET))
    for call in (store.get, store.head, lambda key: store.put(key, b"x"), lambda _: list(store.list())):
        error = failure(call, "a")
        assert error.kind is ErrorKind.PERMANENT
        assert bucket in error.message
        assert SECRET not in everything_said(error)
        assert s3.keys.access_key not in everything_said(error)
    assert error.reason == "bad-credentials"
    assert "s3_secret_access_key" in error.message


def test_unknown_access_key(s3, bucket):
    store = open_store(bucket, s3.settings(s3_access_key_id="AKIANOBODY"))
    error = failure(store.get, "a")
    assert (error.kind, error.reason) == (ErrorKind.PERMANENT, "bad-credentials")
    assert "s3_access_key_id" in error.message
    assert "AKIANOBODY" not in everything_said(error)


def test_no_keys_at_all(s3, bucket, monkeypatch, quick):
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    store = open_store(bucket, Settings(s3_endpoint_url=s3.endpoint))
    error = failure(store.get, "a")
    assert (error.kind, error.reason) == (ErrorKind.PERMANENT, "no-credentials")


def test_keys_from_botos_own_chain(s3, bucket, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.keys.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.keys.secret_key)
    s3_client._client.cache_clear()
    store = open_store(bucket, Settings(s3_endpoint_url=s3.endpoint))
    store.put("a", b"x")
    assert store.get("a").data == b"x"
    s3_client._client.cache_clear()


def test_a_reader_reads_and_cannot_write(s3, bucket):
    open_store(bucket, s3.settings()).put("a", b"x")
    store = open_store(
        bucket, s3.settings(s3_access_key_id=s3.reader.access_key, s3_secret_access_key=s3.reader.secret_key)
    )
    assert store.get("a").data == b"x"
    assert [info.key for info in store.list()] == ["a"]
    for call in (lambda: store.put("b", b"y"), lambda: store.delete("a"), lambda: store.copy_from(store, "a", "b")):
        error = failure(call)
        assert (error.kind, error.reason) == (ErrorKind.PERMANENT, "access-denied")
        assert "s3:PutObject" in error.message


def test_a_missing_bucket_is_not_a_missing_object(s3):
    store = open_store("s3://no-such-bucket-here/prefix", s3.settings())
    for call in (store.get, store.head, lambda key: store.put(key, b"x"), lambda _: list(store.list())):
        error = failure(call, "a")
        assert (error.kind, error.reason) == (ErrorKind.PERMANENT, "no-such-store")
        assert not isinstance(error, ObjectGoneError)
        assert "no-such-bucket-here" in error.message


def test_a_prefix_keeps_stores_of_a_bucket_apart(s3, bucket):
    one, two = (open_store(f"{bucket}/{name}/", s3.settings()) for name in ("a", "ab"))
    one.put("k", b"1")
    two.put("k", b"2")
    assert [info.key for info in one.list()] == ["k"]
    assert sorted(info.key for info in open_store(bucket, s3.settings()).list()) == ["a/k", "ab/k"]
    assert one.get("k").data == b"1"


def test_folders_drawn_by_consoles_are_not_listed(s3, bucket):
    store = open_store(bucket, s3.settings())
    s3.client.put_object(Bucket=bucket.removeprefix("s3://"), Key="folder/", Body=b"")
    store.put("folder/a", b"x")
    assert [info.key for info in store.list()] == ["folder/a"]


def test_the_content_type_is_kept_through_a_copy_and_guessed_where_it_is_not_given(s3, bucket, tmp_path):
    store = open_store(bucket, s3.settings())
    name = bucket.removeprefix("s3://")
    store.put("a", b"x", content_type="image/webp")
    store.copy_from(store, "a", "b.png")
    folder = LocalStore(tmp_path)
    folder.put("c", b"x")
    store.copy_from(folder, "c", "c.png")
    types = [s3.client.head_object(Bucket=name, Key=key)["ContentType"] for key in ("a", "b.png", "c.png")]
    assert types == ["image/webp", "image/webp", "image/png"]


def test_who_may_only_read_deletes_nothing(s3, bucket):
    open_store(bucket, s3.settings()).put("a", b"1")
    reader = s3.settings(s3_access_key_id=s3.reader.access_key, s3_secret_access_key=s3.reader.secret_key)
    assert failure(open_store(bucket, reader).delete, "a").reason == "access-denied"


def test_one_client_per_process_and_settings(s3, bucket):
    one, two = (open_store(bucket, s3.settings()) for _ in range(2))
    other = open_store(bucket, s3.settings(s3_region="eu-west-1"))
    assert one._client is two._client
    assert one._client is not other._client
    assert one.connection.client(os.getpid() + 1) is not one._client
    assert s3.keys.secret_key not in repr(one.connection)


# ---------------------------------------------------------------- a server in trouble: real HTTP, canned answers


@contextmanager
def answering(status: int, body: str, headers: dict[str, str] | None = None) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", (headers or {}).get("X-Promise", str(len(body))))
            self.end_headers()
            self.wfile.write(body.encode())
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def get_from(endpoint: str) -> StorageError:
    settings = Settings(s3_endpoint_url=endpoint, s3_access_key_id="AKIASOMEONE", s3_secret_access_key=SECRET)
    return failure(open_store("s3://bucket", settings).get, "a")


@pytest.mark.parametrize(
    ("status", "code", "kind", "reason"),
    [
        (503, "SlowDown", ErrorKind.TRANSIENT, "slow-down"),
        (503, "ServiceUnavailable", ErrorKind.TRANSIENT, "slow-down"),
        (429, "TooManyRequests", ErrorKind.TRANSIENT, "slow-down"),
        (500, "InternalError", ErrorKind.TRANSIENT, "storage"),
        (400, "RequestTimeout", ErrorKind.TRANSIENT, "storage"),
        (400, "ExpiredToken", ErrorKind.TRANSIENT, "expired-credentials"),
        (404, "NoSuchKey", ErrorKind.PERMANENT, "gone"),
        (404, "NoSuchBucket", ErrorKind.PERMANENT, "no-such-store"),
        (403, "AccessDenied", ErrorKind.PERMANENT, "access-denied"),
        (403, "SignatureDoesNotMatch", ErrorKind.PERMANENT, "bad-credentials"),
        (403, "InvalidObjectState", ErrorKind.PERMANENT, "archived"),
        (400, "SomethingNew", ErrorKind.PERMANENT, "refused"),
    ],
)
def test_what_the_servers_errors_mean(quick, status, code, kind, reason):
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>the secret is {SECRET}</Message></Error>"
    with answering(status, body) as endpoint:
        error = get_from(endpoint)
    assert (error.kind, error.reason) == (kind, reason)
    assert "s3://bucket/a" in error.message
    assert SECRET not in everything_said(error)
    assert "AKIASOMEONE" not in everything_said(error)


def test_a_body_that_breaks_off(quick):
    with answering(200, "short", {"X-Promise": "1000", "ETag": '"e"'}) as endpoint:
        error = get_from(endpoint)
    assert error.kind is ErrorKind.TRANSIENT
    assert "s3://bucket/a" in error.message


def test_a_server_that_is_not_there(quick):
    error = get_from(f"http://127.0.0.1:{free_port()}")
    assert (error.kind, error.reason) == (ErrorKind.TRANSIENT, "connection")
