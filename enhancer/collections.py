"""Collections: what is enhanced regularly, each under a name, from the file that ``ENHANCER_COLLECTIONS`` names.

    [defaults]                        # of every collection that says nothing else
    deadline_minutes = 480

    [collection.scans]
    input_url = "s3://archive/scans"
    output_url = "s3://archive-enhanced/scans"
    recipe = "scan"
    schedule = "0 3 * * *"

Command line, page and DAGs read it alike; only the DAGs need Airflow. The ``ENHANCER_*`` settings are the collection
called ``default``, which the file cannot have. What belongs to that one collection (addresses, rules, recipe) is not
inherited by the others; how a deployment works (pools, limits, thresholds) is.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from enhancer.errors import RequestError
from enhancer.reasons import Reason
from enhancer.recipe import Rule, parse_recipe, parse_rules
from enhancer.schedules import BRANCHES, Schedule
from enhancer.settings import OnRejection, Settings

DEFAULT: Final = "default"
"""The collection that the ``ENHANCER_*`` settings are."""

DAG_PREFIX: Final = "enhance__"
"""Before a collection's name: the id of its DAG."""

DEFAULT_DAG: Final = "image_enhancement"
"""The DAG of the collection ``default``."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def _place(value: str) -> str:
    """An address that means the same on every machine and in every folder."""
    if "://" not in value and not Path(value).is_absolute():
        raise ValueError(
            f"{value!r} is a relative path; give an absolute one, or an address such as s3://bucket/prefix"
        )
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{value!r} is no time zone; they are called as Europe/Berlin is") from error
    return value


def _known_recipe(value: str | dict[str, Any]) -> str | dict[str, Any]:
    try:
        parse_recipe(value)
    except RequestError as error:
        raise ValueError(error.message) from error
    return value


def _known_rules(value: tuple[Rule, ...]) -> tuple[Rule, ...]:
    try:
        return parse_rules(list(value))
    except RequestError as error:
        raise ValueError(error.message) from error


Place = Annotated[str, Field(min_length=1), AfterValidator(_place)]


class Collection(BaseModel):
    """One collection: what is read and written, how, when, and where its tasks run.

    None and empty mean: as the ``ENHANCER_*`` settings say, where these have such a value for every collection; of
    addresses, rules and recipe: none. Fields of the same name as a run's param are documented at
    :class:`~enhancer.batch.plan.request.RunRequest`, those of the same name as a setting at
    :class:`~enhancer.settings.Settings`.

    Attributes:
        schedule: a cron expression, a preset such as ``@daily``, an asset, or arrivals; None: by hand only.
        start: no run is scheduled for a time before it.
        timezone: in which the cron expression is read.
        owner: shown in the Airflow UI.
        tags: of the DAG, beside ``enhancer``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str

    # What its runs are asked for.
    input_url: Place | None = None
    output_url: Place | None = None
    work_url: Place | None = None
    reference_url: Place | None = None
    prefix: str = ""
    rules: Annotated[tuple[Rule, ...], AfterValidator(_known_rules)] = ()
    recipe: Annotated[str | dict[str, Any], AfterValidator(_known_recipe)] | None = None
    scale: float | None = Field(None, ge=1, le=8)
    denoise_strength: float | None = Field(None, ge=0, le=1)
    model: str | None = Field(None, min_length=1)
    max_items: int | None = Field(None, ge=1)
    run_gate: float | None = Field(None, gt=0, le=1)
    on_rejection: OnRejection | None = None
    worker_hour_price: float | None = Field(None, ge=0, allow_inf_nan=False)

    # Its DAG.
    schedule: Schedule | None = None
    start: date | None = None
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    deadline_minutes: float | None = Field(None, gt=0)
    owner: str = Field("enhancer", min_length=1)
    tags: tuple[str, ...] = ()
    description: str | None = None

    # Where its tasks run.
    pool: str | None = None
    enhance_pool: str | None = None
    enhance_queue: str | None = None
    evaluate_queue: str | None = None
    executor: str | None = None
    priority: int | None = Field(None, ge=1)

    # When a run of it fails, and who hears of it.
    failure_threshold: float | None = Field(None, gt=0, le=1)
    stop_first_items: int | None = Field(None, ge=0)
    stop_share: float | None = Field(None, gt=0, le=1)
    stop_min_items: int | None = Field(None, ge=1)
    run_gate_min_items: int | None = Field(None, ge=1)
    notify_url: SecretStr | None = None

    @model_validator(mode="after")
    def _has_addresses(self) -> Collection:
        missing = [name for name in ("input_url", "output_url") if not getattr(self, name)]
        if missing and self.name != DEFAULT:
            raise ValueError(f"{' and '.join(missing)} missing: say where pictures are read and where results go")
        return self

    @property
    def dag_id(self) -> str:
        """The id of its DAG."""
        return DEFAULT_DAG if self.name == DEFAULT else DAG_PREFIX + self.name

    def request_values(self) -> dict[str, Any]:
        """What it asks of its runs, by the names of a run's params and JSON-able; only what it does say.

        Of ``default`` nothing: a run takes what it is not asked for from the settings, which are that collection.
        """
        if self.name == DEFAULT:
            return {}
        values = self.model_dump(mode="json", include=set(REQUEST_VALUES), exclude_none=True)
        if "rules" in values:
            values["rules"] = [rule.model_dump(mode="json", exclude_none=True) for rule in self.rules]
        return {name: value for name, value in values.items() if value not in ("", [])}

    def thresholds(self) -> dict[str, float]:
        """Of the settings about when a run is stopped, held or failed, those that it has values of its own for."""
        return {name: getattr(self, name) for name in THRESHOLDS if getattr(self, name) is not None}

    def settings(self, settings: Settings) -> Settings:
        """The deployment's settings as they are for a run of this collection."""
        if self.name == DEFAULT:
            return settings
        own: dict[str, Any] = self.thresholds()
        if self.notify_url is not None:
            own["notify_url"] = self.notify_url
        return standing_alone(settings).model_copy(update=own)

    def roots(self) -> tuple[str, ...]:
        """The addresses under which its pictures, results and truths lie."""
        named = (self.input_url, self.output_url, self.work_url, self.reference_url)
        return tuple(url for url in named if url)


REQUEST_VALUES: Final = (
    "input_url",
    "output_url",
    "work_url",
    "reference_url",
    "prefix",
    "rules",
    "recipe",
    "scale",
    "denoise_strength",
    "model",
    "max_items",
    "run_gate",
    "on_rejection",
    "worker_hour_price",
)
"""Fields of a collection that are params of its runs."""

THRESHOLDS: Final = ("failure_threshold", "stop_first_items", "stop_share", "stop_min_items", "run_gate_min_items")
"""Fields of a collection that take the place of settings while it is worked on."""

_OF_THE_DEFAULT: Final = ("input_url", "output_url", "work_url", "reference_url", "rules", "recipe")


def standing_alone(settings: Settings) -> Settings:
    """The settings without what is the collection ``default``'s own: addresses, rules and recipe."""
    return settings.model_copy(update=dict.fromkeys(_OF_THE_DEFAULT))


def default_collection(settings: Settings) -> Collection:
    """The collection that the settings are. It may lack addresses, which each run has to name then."""
    values = {name: getattr(settings, name) for name in Collection.model_fields if hasattr(settings, name)}
    values |= {"rules": parse_rules(settings.rules), "schedule": settings.schedule or None}
    return Collection.model_construct(name=DEFAULT, **values)


def load_collections(settings: Settings) -> tuple[Collection, ...]:
    """The collections of the file that the settings name, in its order; without a file there are none.

    Raises:
        RequestError: as :func:`read_collections`.
    """
    return () if settings.collections is None else read_collections(settings.collections)


def find_collection(name: str, settings: Settings) -> Collection:
    """A collection by its name, ``default`` included.

    Raises:
        RequestError: there is none of that name, or the file is not valid.
    """
    known = {one.name: one for one in (default_collection(settings), *load_collections(settings))}
    if name not in known:
        where = settings.collections or "no file, since ENHANCER_COLLECTIONS is not set"
        raise RequestError(
            f"there is no collection {name!r}; known are {', '.join(known)} ({where})", reason=Reason.NO_COLLECTION
        )
    return known[name]


def collection_of_dag(dag_id: str, settings: Settings) -> Collection | None:
    """The collection whose DAG this is; None for other DAGs, those of collections that were removed included.

    Raises:
        RequestError: the file is not valid.
    """
    if dag_id == DEFAULT_DAG:
        return default_collection(settings)
    return next((one for one in load_collections(settings) if one.dag_id == dag_id), None)


def deployment_roots(settings: Settings) -> tuple[str, ...]:
    """Every address that this deployment is set up to work on: the settings' and each collection's.

    Raises:
        RequestError: the file of collections is not valid.
    """
    collections = (default_collection(settings), *load_collections(settings))
    return tuple(dict.fromkeys(url for one in collections for url in one.roots()))


def read_collections(path: Path) -> tuple[Collection, ...]:
    """The collections of a file, in its order.

    Raises:
        RequestError: it cannot be read, is not TOML, or something in it is not valid (reason ``bad-collections``); the
            message names file, line, collection and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        _refuse(f"{path}: cannot be read: {error.strerror}; correct or unset ENHANCER_COLLECTIONS", error)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        _refuse(f"{path}: is not TOML: {error}", error)
    defaults, tables = document.pop("defaults", {}), document.pop("collection", {})
    if document:
        key = next(iter(document))
        _refuse(f"{path}:{_line(text, (), (key,))}: {key}: only [defaults] and [collection.NAME] may stand here")
    for section, content in (("defaults", defaults), ("collection", tables)):
        if not isinstance(content, dict):
            _refuse(f"{path}:{_line(text, (), (section,))}: {section} is a table, written [{section}]")
    return tuple(_collection(path, text, name, table, defaults) for name, table in tables.items())


def _collection(path: Path, text: str, name: str, table: Any, defaults: Mapping[str, Any]) -> Collection:
    header = ("collection", name)
    if not _NAME.fullmatch(name) or name == DEFAULT:
        why = (
            "is the name of the collection that the ENHANCER_* settings are"
            if name == DEFAULT
            else "is no name: letters, digits, dashes and underscores, at most 100"
        )
        _refuse(f"{path}:{_line(text, header, ())}: collection {name!r}: {why}; choose another")
    if not isinstance(table, dict):
        _refuse(f"{path}:{_line(text, ('collection',), (name,))}: collection {name!r} is a table: [collection.{name}]")
    if "name" in table or "name" in defaults:
        section = header if "name" in table else ("defaults",)
        _refuse(f"{path}:{_line(text, section, ('name',))}: key name: a collection's name stands in its header")
    try:
        return Collection.model_validate({**defaults, **table, "name": name})
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        keys = tuple(str(part) for part in fault["loc"] if not _BRANCH.match(str(part)))
        section = ("defaults",) if keys and keys[0] not in table and keys[0] in defaults else header
        key = f", key {'.'.join(keys)}" if keys else ""
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden" and len(keys) == 1:
            close = difflib.get_close_matches(keys[0], Collection.model_fields, 1)
            message = "there is no such key" + (f"; did you mean {close[0]}?" if close else "")
        _refuse(f"{path}:{_line(text, section, keys)}: collection {name!r}{key}: {message}", error)


_BRANCH: Final = re.compile(rf"function-|dict\[|{'|'.join(BRANCHES)}|str$")
"""What pydantic calls the alternatives of a union, in the place of an error."""


def _line(text: str, section: Sequence[str], keys: Sequence[str]) -> int:
    """The line, from 1, of a key in a section; the section's where the key has no line of its own, 1 where neither has.

    tomllib keeps no places. Looked for are headers and keys as people write them; within strings of several lines
    something may look like one, which costs a wrong number in a message and nothing else.
    """
    wanted = (*section, *keys)
    found, agreeing = 1, 0
    for number, path in _places(text):
        common = min(len(path), len(wanted))
        if common >= max(len(section), agreeing + 1) and path[:common] == wanted[:common]:
            found, agreeing = number, common
    return found


def _places(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Every header and key of a TOML text with its line; those of the n-th [[table]] have n, from 0, in their path."""
    section: tuple[str, ...] = ()
    seen: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line):
            section = _parts(header[2])
            if header[1] == "[[":
                seen[section] = seen.get(section, -1) + 1
                section = (*section, str(seen[section]))
            yield number, section
        elif key := re.match(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*[A-Za-z0-9_"'-]+)*)\s*=""", line):
            yield number, (*section, *_parts(key[1]))


def _parts(dotted: str) -> tuple[str, ...]:
    """``collection."a b".key`` as its three parts."""
    return tuple(part.strip("\"'") for part in re.findall(r"\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+", dotted))


def _refuse(message: str, cause: Exception | None = None) -> NoReturn:
    raise RequestError(message, reason=Reason.BAD_COLLECTIONS) from cause
