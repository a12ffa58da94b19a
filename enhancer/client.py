"""A small client of the HTTP service, for scripts: needs nothing of this package but its errors.

>>> from enhancer.client import Client
>>> client = Client("http://127.0.0.1:8000", token="enh_...")
>>> Path("twin.png").write_bytes(client.enhance("small.png", scale=2))  # doctest: +SKIP
>>> job = client.submit(["a.jpg", "b.jpg"], recipe="scan")  # doctest: +SKIP
>>> for key, data in client.results(client.wait(job)):  # doctest: +SKIP
...     Path("out", key).write_bytes(data)
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import requests

from enhancer.errors import EnhancerError, ErrorKind
from enhancer.reasons import Reason
from enhancer.signed_urls import signed_path

PASSING: Final = frozenset({429, 502, 503, 504})
"""Statuses that may be gone at the next try."""

PAGE: Final = 1000


class ServiceError(EnhancerError):
    """The service refused or failed; its class and message are the service's own.

    Attributes:
        status: of the answer; 0 where there was none.
    """

    default_reason = Reason.UNEXPECTED

    def __init__(self, message: str, *, reason: str | None = None, status: int = 0) -> None:
        passing = status == 0 or status in PASSING
        super().__init__(message, reason=reason, kind=ErrorKind.TRANSIENT if passing else ErrorKind.PERMANENT)
        self.status = status


class Client:
    """Calls one service.

    Args:
        url: where it is: ``http://127.0.0.1:8000``.
        token: what ``enhancer token create`` printed; None: the service answers without.
        timeout_s: longest silence of the service.
        tries: of what may safely be sent again, while the service is busy or away.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = 120.0, tries: int = 5) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._tries = tries
        self._session = requests.Session()
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def enhance(self, path: str | Path, **wishes: Any) -> bytes:
        """Enhance one small picture and wait for it; the result's bytes.

        Args:
            path: of the picture.
            wishes: ``recipe``, ``scale``, ``denoise_strength``, ``model``.

        Raises:
            ServiceError: as the service says; class ``gate`` where the result was refused.
        """
        data = Path(path).read_bytes()
        return self._call("POST", "/v1/enhance", params=wishes, files={"file": (Path(path).name, data)}).content

    def inspect(self, path: str | Path, **wishes: Any) -> dict[str, Any]:
        """What a picture is, what was measured of it and what each stage would decide: ``enhancer inspect --json``.

        Args:
            path: of the picture.
            wishes: as :meth:`enhance` has them.

        Raises:
            ServiceError: as the service says.
        """
        files = {"file": (Path(path).name, Path(path).read_bytes())}
        said: dict[str, Any] = self._call("POST", "/v1/inspect", params=wishes, files=files).json()
        return said

    def signed_url(self, address: str, key: str, *, recipe: str = "photo", scale: float = 1) -> str:
        """A URL that answers with the enhanced picture to whoever has it, without a token. Nothing is sent.

        Args:
            address: of a picture below the service's allowed roots: ``s3://bucket/key``, or a path on the server.
            key: the service's ``ENHANCER_SERVICE_URL_KEY``.
            recipe: a preset's name.
            scale: output side over input side, 1 to 8.
        """
        return self._url + signed_path(key, address, recipe=recipe, scale=scale)

    def submit(
        self, paths: Iterable[str | Path], *, idempotency_key: str | None = None, **wishes: Any
    ) -> dict[str, Any]:
        """Give pictures as a job; the job. Sent again where the service is away, it is one job all the same.

        Args:
            paths: of the pictures.
            idempotency_key: names this very request; None: a new one.
            wishes: as :meth:`enhance` has them, and ``on_rejection``.

        Raises:
            ServiceError: as the service says.
        """
        headers = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        with ExitStack() as opened:
            files = [("file", (Path(path).name, opened.enter_context(Path(path).open("rb")))) for path in paths]
            return self._job(self._call("POST", "/v1/jobs", data=wishes, files=files, headers=headers))

    def job(self, job: dict[str, Any]) -> dict[str, Any]:
        """The job as it is now."""
        return self._job(self._call("GET", job["links"]["self"]))

    def wait(self, job: dict[str, Any], *, poll_s: float = 1.0) -> dict[str, Any]:
        """The job, once it is over, however it ended."""
        while (job := self.job(job))["state"] in ("queued", "running"):
            time.sleep(poll_s)
        return job

    def items(self, job: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str | None]]:
        """The job's pictures in the JSON contract, each with the address of its result where there is one."""
        offset, total = 0, 1
        while offset < total:
            page = self._call("GET", job["links"]["items"], params={"limit": PAGE, "offset": offset}).json()
            total = page["summary"]["matching"]
            for item in page["items"]:
                yield item, page["summary"]["results"].get(item["input"])
            offset += PAGE

    def results(self, job: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
        """The results that there are: each one's key (where the format changed, with the new extension) and bytes."""
        for item, address in self.items(job):
            if address is not None:
                yield item["output"] or item["input"], self._call("GET", address).content

    def cancel(self, job: dict[str, Any]) -> dict[str, Any]:
        """Cancel an open job, or delete the files of one that is over."""
        return self._job(self._call("DELETE", job["links"]["self"]))

    @staticmethod
    def _job(answer: requests.Response) -> dict[str, Any]:
        job: dict[str, Any] = answer.json()
        return job

    def _call(self, method: str, path: str, **more: Any) -> requests.Response:
        for left in reversed(range(self._tries)):
            pause_s = 1.0
            try:
                answer = self._session.request(method, self._url + path, timeout=self._timeout_s, **more)
            except requests.RequestException as error:
                if not left:
                    raise ServiceError(f"{self._url} does not answer: {error}", reason=Reason.CONNECTION) from error
            else:
                if answer.ok:
                    return answer
                if answer.status_code not in PASSING or not left:
                    raise _refused(answer)
                pause_s = min(30.0, float(answer.headers.get("Retry-After", "1")))
            for _, (_, content) in more.get("files", ()) if isinstance(more.get("files"), list) else ():
                content.seek(0)
            time.sleep(pause_s)
        raise AssertionError("unreachable")


def _refused(answer: requests.Response) -> ServiceError:
    try:
        said = answer.json()
        return ServiceError(said["detail"], reason=said["class"], status=answer.status_code)
    except (ValueError, KeyError):  # a proxy's own page
        return ServiceError(f"{answer.url} answered {answer.status_code} {answer.reason}", status=answer.status_code)
