"""Where the service keeps what it was given and what it made, below ``ENHANCER_SERVICE_STORE``. The only place that
knows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from enhancer.settings import Settings
from enhancer.storage import canonical_url

MAX_NAME: Final = 120
"""Characters of an uploaded file's name that are kept."""


READY: Final = "_ready"
"""Key of an empty object that a server writes when it starts, and that readiness is told by."""


@dataclass(frozen=True, slots=True)
class JobPlaces:
    """A job's own addresses, as params of its run. Input and results lie beside each other, never within."""

    input_url: str
    output_url: str
    work_url: str

    @classmethod
    def of(cls, job_id: str, settings: Settings) -> JobPlaces:
        """Those of one job."""
        root = store_url(settings)
        return cls(*(f"{root}/{kind}/{job_id}" for kind in KINDS))


UPLOADS: Final = "uploads"
KINDS: Final = (UPLOADS, "results", "work")


def upload_key(job_id: str, name: str) -> str:
    """Where an uploaded file lies in the service's store."""
    return f"{UPLOADS}/{job_id}/{name}"


def prefixes(job_id: str) -> tuple[str, ...]:
    """In the service's store, all that is a job's own."""
    return tuple(f"{kind}/{job_id}/" for kind in KINDS)


def signed_prefix(settings: Settings, now: float) -> str:
    """In the service's store, the results of signed addresses that the period of `now` (seconds since 1970) has.

    >>> signed_prefix(Settings(service_keep_hours=24), 90_000.0)
    'signed/000000086400/'
    """
    period_s = settings.service_keep_hours * 3600
    return f"{SIGNED}{int(now // period_s * period_s):012d}/"


SIGNED: Final = "signed/"


def store_url(settings: Settings) -> str:
    """The service's own store."""
    return canonical_url(settings.service_store or str(settings.home / "service"))


def upload_keys(names: Iterable[str | None]) -> list[str]:
    r"""A key for each uploaded file, from the name that its sender gave it: the last part of a path, nothing that a
    store or a terminal would stumble over, and no two alike whatever their case.

    >>> upload_keys(["a.jpg", "../../etc/A.jpg", None, "C:\\photos\\x.png"])
    ['a.jpg', 'A-2.jpg', 'picture', 'x.png']
    """
    taken: set[str] = set()
    keys = []
    for name in names:
        plain = _plain(name or "")
        path, number = PurePosixPath(plain), 1
        key = plain
        while key.casefold() in taken:
            number += 1
            key = f"{path.stem}-{number}{path.suffix}"
        taken.add(key.casefold())
        keys.append(key)
    return keys


def _plain(name: str) -> str:
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    kept = "".join("_" if unicodedata.category(one)[0] == "C" else one for one in last).strip(". ")
    path = PurePosixPath(kept or "picture")
    suffix = path.suffix[:20]
    return path.stem[: MAX_NAME - len(suffix)].encode("utf-8", "replace").decode() + suffix
