"""Routes: what the service has to offer, and whether it can."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from enhancer.errors import EnhancerError
from enhancer.ledger.migrate import current_of, head
from enhancer.models.catalogue import load_catalogue
from enhancer.recipe import PRESETS, preset
from enhancer.service.places import READY, store_url
from enhancer.service.problems import problems
from enhancer.service.security import Caller, caller_with
from enhancer.storage import open_store
from enhancer.version import __version__

router = APIRouter(tags=["service"])
Reader = Annotated[Caller, Depends(caller_with("read"))]


class RecipeView(BaseModel):
    """A preset."""

    name: str
    description: str
    recipe: dict[str, Any]


class ModelView(BaseModel):
    """A net that a request may name."""

    name: str
    purpose: str
    scale: int
    description: str
    weights_licence: str
    default: bool


class Health(BaseModel):
    """The process answers."""

    status: str
    version: str


class Readiness(BaseModel):
    """Whether jobs can be taken and done: each part's word, `ok` or what is wrong."""

    ready: bool
    checks: dict[str, str]


@router.get("/v1/recipes", response_model=list[RecipeView], responses=problems())
def recipes(caller: Reader) -> list[RecipeView]:
    """The presets, with all their values."""
    return [
        RecipeView(name=name, description=text, recipe=preset(name).model_dump(mode="json"))
        for name, (text, _) in PRESETS.items()
    ]


@router.get("/v1/models", response_model=list[ModelView], responses=problems())
def models(caller: Reader) -> list[ModelView]:
    """The nets of the server's catalogue."""
    return [
        ModelView(
            name=entry.name,
            purpose=entry.purpose,
            scale=entry.scale,
            description=entry.description,
            weights_licence=entry.weights_licence,
            default=bool(entry.default),
        )
        for entry in load_catalogue().entries
    ]


@router.get("/healthz", response_model=Health)
def healthz() -> Health:
    """The process is alive. Needs no token."""
    return Health(status="ok", version=__version__)


@router.get(
    "/readyz", response_model=Readiness, responses={503: {"model": Readiness, "description": "a part is not ready"}}
)
def readyz(request: Request, response: Response) -> Readiness:
    """Ledger, store and workers are well. Needs no token, and so names no addresses."""
    state = request.app.state
    checks = {"ledger": _ledger(state), "store": _store(state)}
    checks["jobs"] = "ok" if state.dispatcher.is_well else "the threads that work on jobs have ended"
    checks["workers"] = "ok" if state.pool is None or state.pool.is_well else "no worker process starts"
    ready = all(word == "ok" for word in checks.values())
    response.status_code = 200 if ready else 503
    return Readiness(ready=ready, checks=checks)


def _ledger(state: Any) -> str:
    try:
        return "ok" if current_of(state.ledger.engine) == head() else "its schema is of another version"
    except SQLAlchemyError:
        return "it does not answer"


def _store(state: Any) -> str:
    try:
        open_store(store_url(state.settings), state.settings).head(READY)
    except EnhancerError as error:
        return error.reason
    return "ok"
