"""Which addresses may be read and written by what others start: runs through Airflow or the service, and the UI page.

Whoever may trigger a DAG has that one right, not that of the workers' own account: without a bound, naming an address
would be enough to have any folder or bucket that the workers can open read, and its pictures shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from enhancer.collections import deployment_roots
from enhancer.errors import RequestError
from enhancer.reasons import Reason
from enhancer.settings import Settings
from enhancer.storage.registry import canonical_url, is_folder


class ForeignAddressError(RequestError):
    """An address outside the allowed ones."""

    default_reason = Reason.FOREIGN_ADDRESS


def canonical(url: str) -> str:
    """A store's address in the form in which two of them can be compared; folders with their symbolic links resolved.

    Raises:
        ForeignAddressError: an S3 prefix with parts that an HTTP client would fold into another address.
        RequestError: no address of a store at all.
    """
    plain = canonical_url(url)
    if is_folder(plain):
        return str(Path(plain).resolve())
    if any(segment in (".", "..") or "\\" in segment for segment in plain.split("/")):
        raise ForeignAddressError(f"{url} is not a plain address of a store")
    return plain


@dataclass(frozen=True, slots=True)
class Roots:
    """The addresses that may be read and written, each with all that lies below it."""

    urls: tuple[str, ...]

    @classmethod
    def of(cls, settings: Settings) -> Roots:
        """``ENHANCER_ALLOWED_ROOTS``, or else the addresses of the settings and of every collection.

        ``ENHANCER_UI_ROOTS``, the name that this had when only the page went by it, is read where the other is unset.

        Raises:
            RequestError: the file of collections is not valid.
        """
        listed = settings.allowed_roots if settings.allowed_roots is not None else settings.ui_roots
        if listed is not None:
            return cls.at(part.strip() for part in listed.split(","))
        return cls.at(deployment_roots(settings))

    @classmethod
    def at(cls, urls: Iterable[str | None]) -> Roots:
        """These addresses; empty ones are left out."""
        return cls(tuple(canonical(url) for url in urls if url))

    def allow(self, url: str) -> bool:
        """Whether `url` is one of them or lies under one.

        Raises:
            RequestError: no plain address of a store.
        """
        plain = canonical(url)
        return any(plain == root or plain.startswith(root.rstrip("/") + "/") for root in self.urls)

    def check(self, **addresses: str | None) -> None:
        """Refuse a request with an address that is not allowed.

        Args:
            addresses: by their names in the request, such as ``input_url``; None is no address.

        Raises:
            ForeignAddressError: names the address, what is allowed and the way out.
        """
        for name, url in addresses.items():
            if url is not None and not self.allow(url):
                allowed = ", ".join(self.urls) or "none"
                raise ForeignAddressError(
                    f"{name} {url} is not allowed: a run that Airflow starts works at addresses below {allowed}. An "
                    "administrator can add it to ENHANCER_ALLOWED_ROOTS, in the environment of every component"
                )
