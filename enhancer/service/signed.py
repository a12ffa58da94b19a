"""Route: signed addresses, for pages that show enhanced pictures of a store: no token, but nothing that was not signed.

Results are kept in the service's store by identity, in a folder for each period of ``ENHANCER_SERVICE_KEEP_HOURS``:
stores do not say how old an object is, and a period that is over is deleted whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from dataclasses import dataclass
from pathlib import Path as FilePath
from pathlib import PurePosixPath
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError

from enhancer.errors import RequestError
from enhancer.identity import digest, identity_of
from enhancer.reasons import Reason
from enhancer.recipe import PRESETS, describe
from enhancer.service.jobs import media_type_of
from enhancer.service.places import signed_prefix, store_url
from enhancer.service.pool import Pool
from enhancer.service.problems import RefusedError, problems
from enhancer.service.requests import Wishes, below_one_root
from enhancer.service.single import enhanced, pool_of
from enhancer.service.streaming import Served, served
from enhancer.settings import Settings
from enhancer.signed_urls import decoded_address, is_signed
from enhancer.storage import ObjectStore, open_store
from enhancer.storage.roots import Roots

router = APIRouter(prefix="/v1", tags=["one picture"])

MAX_AGE_S: Final = 3600
"""How long browsers and proxies may show an answer without asking whether it has changed."""

_OPTIONS: Final = re.compile(r"([a-z0-9-]{1,64}):([0-9]{1,2}(?:\.[0-9]{1,6})?)")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a signed address asks for.

    Attributes:
        name: of the picture's file.
        data: its bytes.
        wishes: preset and scale.
        identity: of the result.
    """

    name: str
    data: bytes
    wishes: Wishes
    identity: str


Flights = dict[str, "asyncio.Task[Served]"]
"""Results that are being made, by identity."""


@router.get(
    "/i/{signature}/{options}/{encoded}",
    response_class=Response,
    responses={
        200: {
            "description": "the result",
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        },
        206: {"description": "the bytes that `Range` asked for"},
        304: {"description": "the caller has this version"},
        416: {"description": "nothing of the range is there"},
        **problems(404, 413, 415),
    },
)
async def signed(
    request: Request,
    signature: Annotated[str, Path(max_length=100)],
    options: Annotated[str, Path(max_length=100, description="a preset's name and the scale: `photo:2`")],
    encoded: Annotated[str, Path(max_length=3000, description="the picture's address in URL-safe base64")],
) -> Response:
    """The enhanced picture of a signed address, made at the first request and kept for a while.

    The signature, HMAC-SHA256 with the server's key, takes a token's place. `enhancer.client` signs.
    """
    state = request.app.state
    settings: Settings = state.settings
    _check_signature(settings, signature, options, encoded)
    asked = await run_in_threadpool(_asked, settings, options, encoded)
    store = open_store(store_url(settings), settings)
    found = await run_in_threadpool(kept, store, settings, asked.identity)
    if found is None:
        found = await _made_once(state.in_the_making, asked, store, settings, pool_of(request))
    response = await run_in_threadpool(served, store, found, request.headers)
    response.headers["Cache-Control"] = f"public, max-age={MAX_AGE_S}"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"  # other sites' pages show it
    response.headers["X-Enhancer-Identity"] = asked.identity
    return response


def _asked(settings: Settings, options: str, encoded: str) -> Asked:
    """What a signed address asks for; reads the picture.

    Raises:
        EnhancerError: no preset, an address that is not allowed, no picture there, too many bytes.
    """
    wishes = _wishes(options)
    root, [key] = below_one_root([_address(encoded)], Roots.of(settings))
    data = open_store(root, settings).get(key, max_bytes=min(settings.max_bytes, settings.service_max_bytes)).data
    identity = identity_of(digest(data), wishes.resolved(), signer=_signer(settings))
    return Asked(PurePosixPath(key).name, data, wishes, identity)


async def _made_once(flights: Flights, asked: Asked, store: ObjectStore, settings: Settings, pool: Pool) -> Served:
    """The result, made for the first who asks; who asks meanwhile waits for the same one and takes no worker."""
    flight = flights.get(asked.identity)
    if flight is None:
        flight = asyncio.create_task(run_in_threadpool(_make, asked, store, settings, pool))
        flights[asked.identity] = flight
        flight.add_done_callback(lambda _: flights.pop(asked.identity, None))
    return await asyncio.shield(flight)  # the first one's leaving does not end it for the others


def _make(asked: Asked, store: ObjectStore, settings: Settings, pool: Pool) -> Served:
    answer = enhanced(pool, asked.name, asked.data, asked.wishes)
    suffix = PurePosixPath(answer.record.output or asked.name).suffix
    path = f"{signed_prefix(settings, time.time())}{asked.identity}/{digest(answer.data)[:32]}{suffix}"
    store.put(path, answer.data, content_type=answer.content_type or None)
    return _served(path, len(answer.data))


def kept(store: ObjectStore, settings: Settings, identity: str) -> Served | None:
    """The result that this period has of an identity."""
    for info in store.list(f"{signed_prefix(settings, time.time())}{identity}/"):
        return _served(info.key, info.size)
    return None


def _served(path: str, size: int) -> Served:
    name = PurePosixPath(path)
    return Served(path, size, name.stem, media_type_of(name.name), f"picture{name.suffix}")


def _check_signature(settings: Settings, signature: str, options: str, encoded: str) -> None:
    if settings.service_url_key is None:
        raise RefusedError("this service has no signed addresses (ENHANCER_SERVICE_URL_KEY)", reason=Reason.NOT_FOUND)
    if not is_signed(settings.service_url_key.get_secret_value(), signature, options, encoded):
        raise RefusedError(
            "the signature is not that of this recipe, scale and address: sign with ENHANCER_SERVICE_URL_KEY",
            reason=Reason.BAD_SIGNATURE,
        )


def _wishes(options: str) -> Wishes:
    """A preset and a scale; a signed address names nothing else.

    Raises:
        RequestError: anything else.
    """
    found = _OPTIONS.fullmatch(options)
    if found is None or found[1] not in PRESETS:
        raise RequestError(
            f"{options!r} is not PRESET:SCALE; presets are {', '.join(PRESETS)}", reason=Reason.BAD_RECIPE
        )
    try:
        return Wishes(recipe=found[1], scale=float(found[2]))
    except ValidationError as error:
        raise RequestError(describe(error), reason=Reason.BAD_PARAMS) from error


def _address(encoded: str) -> str:
    try:
        return decoded_address(encoded)
    except ValueError as error:
        raise RequestError(f"the address is not URL-safe base64 of text: {error}", reason=Reason.BAD_ADDRESS) from error


def _signer(settings: Settings) -> str | None:
    """As :attr:`enhancer.codecs.signing.Signing.identity`, which this process does not load."""
    certificate = settings.c2pa_certificate
    return None if certificate is None else hashlib.sha256(FilePath(certificate).read_bytes()).hexdigest()
