"""What callers ask for, checked: recipes, addresses below allowed roots, keys of a collection."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from enhancer.batch.plan.request import RunRequest
from enhancer.batch.side_files import Pictures
from enhancer.collections import find_collection, standing_alone
from enhancer.errors import EnhancerError, RequestError
from enhancer.identity import weights_for
from enhancer.reasons import Reason
from enhancer.recipe import Recipe, parse_recipe, resolve
from enhancer.service.places import JobPlaces
from enhancer.settings import OnRejection, Settings
from enhancer.storage import is_folder, key_under
from enhancer.storage.keys import check_path
from enhancer.storage.registry import scheme_of
from enhancer.storage.roots import ForeignAddressError, Roots, canonical

OVERRIDES: Final = ("scale", "denoise_strength", "model")
"""Wishes that win over what the recipe says."""

Address = Annotated[str, Field(min_length=1, max_length=2000)]
Key = Annotated[str, Field(min_length=1, max_length=1024)]


class Wishes(BaseModel):
    """What is to be done to each picture; what is left out is as the recipe has it."""

    model_config = ConfigDict(extra="forbid")

    recipe: str | dict[str, Any] | None = Field(
        None, description="a preset's name (`GET /v1/recipes`) or a recipe's fields; none: `photo`"
    )
    scale: float | None = Field(None, ge=1, le=8, description="output side over input side")
    denoise_strength: float | None = Field(None, ge=0, le=1, description="0 off, 0.5 as measured, 1 twice as much")
    model: str | None = Field(None, max_length=200, description="the net that enlarges (`GET /v1/models`)")
    on_rejection: OnRejection | None = Field(
        None, description="a picture whose result is refused: `reject`, or `pass_through` to have it as it came"
    )

    def params(self) -> dict[str, Any]:
        """As params of a run.

        Raises:
            RequestError: no valid recipe, or one that names files of the server.
        """
        values = self.model_dump(exclude_none=True, include=set(Wishes.model_fields))
        if self.recipe is not None:
            values["recipe"] = safe_recipe(self.recipe).model_dump(mode="json")
        if self.model is not None:
            _refuse_files([self.model])
        return values

    def resolved(self) -> Recipe:
        """The recipe that all this amounts to.

        Raises:
            RequestError: as :meth:`params`, or it names a net that is not known.
        """
        params = self.params()
        overrides: dict[str, Any] = {name: params[name] for name in OVERRIDES if name in params}
        recipe = resolve("", recipe=parse_recipe(params.get("recipe")), overrides=overrides)
        weights_for(recipe)
        return recipe


class JobRequest(Wishes):
    """Pictures that lie in a store already.

    Either `addresses`, each below one of the roots that the server allows, or `keys` of a collection of the server's;
    what the latter makes goes where that collection's results go.
    """

    addresses: list[Address] | None = Field(None, min_length=1, description="full addresses, of one store")
    collection: str | None = Field(None, max_length=100)
    keys: list[Key] | None = Field(None, min_length=1, description="of the collection's input")

    @model_validator(mode="after")
    def _one_of_two(self) -> JobRequest:
        if (self.collection is None) != (self.keys is None) or (self.addresses is None) == (self.keys is None):
            raise ValueError("give addresses, or a collection with keys of it")
        return self

    def run_request(self, places: JobPlaces, settings: Settings) -> RunRequest:
        """The job as a run.

        Raises:
            RequestError: too many pictures, or an address, key or recipe that is refused.
        """
        count = len(self.addresses or self.keys or ())
        if count > settings.service_max_files:
            raise RequestError(
                f"{count} pictures are more than ENHANCER_SERVICE_MAX_FILES={settings.service_max_files} of one job",
                reason=Reason.BAD_PARAMS,
            )
        refuse_side_files(self.addresses or self.keys or (), settings)
        if self.collection is not None:
            found = find_collection(self.collection, settings)
            own = found.settings(settings)
            keys = [_plain_key(key) for key in self.keys or ()]
            return RunRequest.from_params({**found.request_values(), **self.params(), "prefix": "", "keys": keys}, own)
        root, keys = below_one_root(self.addresses or (), Roots.of(settings))
        return run_of(places, settings, self.params(), input_url=root, keys=keys)


def run_of(
    places: JobPlaces, settings: Settings, params: dict[str, Any], *, keys: Sequence[str], input_url: str | None = None
) -> RunRequest:
    """A run whose results go to the job's own place; None for `input_url`: so does its input."""
    addresses = {
        "input_url": input_url or places.input_url,
        "output_url": places.output_url,
        "work_url": places.work_url,
    }
    return RunRequest.from_params({**params, **addresses, "keys": list(keys)}, standing_alone(settings))


def below_one_root(addresses: Sequence[str], roots: Roots) -> tuple[str, list[str]]:
    """The allowed root that all addresses lie below, and their keys below it.

    Raises:
        ForeignAddressError: one of them does not, is a URL of a scheme that is not a store's, or leads out by a link.
        RequestError: they lie below several roots.
    """
    plain = [_checked(address, roots) for address in addresses]
    common = [root for root in roots.urls if all(_is_below(address, root) for address in plain)]
    if not common:
        raise RequestError(
            "the addresses lie below several allowed roots: give each root's pictures a job of their own",
            reason=Reason.BAD_PARAMS,
        )
    root = max(common, key=len)
    return root, [_plain_key(key_under(root, address)) for address in plain]


def _checked(address: str, roots: Roots) -> str:
    if address.lower().startswith("file:"):
        raise ForeignAddressError(f"{address} is not allowed: give s3://bucket/key, or the path of an allowed folder")
    try:
        plain = canonical(address)
    except EnhancerError as error:
        # The address is not repeated: it may hold a secret.
        raise ForeignAddressError(f"an address is not allowed: {error.message}") from error
    if not address.startswith("/") and is_folder(address):
        raise ForeignAddressError(f"{address} is not allowed: a path is absolute")
    if "%" in plain and scheme_of(plain) != "file" and any(code in plain.lower() for code in ("%2e", "%2f", "%5c")):
        raise ForeignAddressError(f"{address} is not allowed: it has encoded dots or slashes")
    if not any(_is_below(plain, root) for root in roots.urls):
        allowed = ", ".join(roots.urls) or "none"
        raise ForeignAddressError(
            f"{address} is not allowed: addresses lie below {allowed}; an administrator can add to "
            "ENHANCER_ALLOWED_ROOTS"
        )
    return plain


def _is_below(address: str, root: str) -> bool:
    return address.startswith(root.rstrip("/") + "/")


def _plain_key(key: str) -> str:
    check_path(key)  # StorageError, bad-key: nothing that a path or an HTTP client would fold
    return key


def refuse_side_files(keys: Iterable[str], settings: Settings) -> None:
    """Refuse what planning would pass over by its name, since nobody would learn what became of it.

    Raises:
        RequestError: names the first.
    """
    pictures = Pictures.from_settings(settings)
    for key in keys:
        if pictures.by_key(key) is False:
            raise RequestError(
                f"{key!r} is no picture by its name: give it a picture's suffix, or see ENHANCER_PICTURE_SUFFIXES",
                reason=Reason.NOT_A_PICTURE,
            )


def safe_recipe(value: str | dict[str, Any]) -> Recipe:
    """A recipe from outside; it may name nets of the catalogue, but no files of the server.

    Raises:
        RequestError: it is not valid, or holds something like a path.
    """
    recipe = parse_recipe(value)
    _refuse_files(_texts(recipe.model_dump(mode="json")))
    return recipe


def form_wishes(fields: dict[str, str]) -> Wishes:
    """Wishes from a form's fields, which are all text.

    Raises:
        RequestError: a field that there is not, or a value that is not valid.
    """
    from pydantic import ValidationError

    from enhancer.recipe import describe

    given: dict[str, Any] = {name: value for name, value in fields.items() if value != ""}
    if given.get("recipe", "").lstrip().startswith("{"):
        try:
            given["recipe"] = json.loads(given["recipe"])
        except (ValueError, RecursionError) as error:
            raise RequestError(f"recipe is not JSON: {error}", reason=Reason.BAD_RECIPE) from error
    try:
        return Wishes.model_validate(given)
    except ValidationError as error:
        raise RequestError(describe(error), reason=Reason.BAD_PARAMS) from error


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def _refuse_files(texts: Iterable[str]) -> None:
    for text in texts:
        if "/" in text or "\\" in text or "\0" in text or PurePath(text).suffix in {".safetensors", ".pth", ".onnx"}:
            raise RequestError(
                f"{text!r} looks like a file of the server: a request may name nets of its catalogue only",
                reason=Reason.BAD_RECIPE,
            )
