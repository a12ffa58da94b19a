"""When the runs of a collection start: at times, at an asset's events, or when pictures arrive.

schedule = "0 3 * * *"
schedule = { asset = "s3://phone/processed" }
schedule = { arrivals = "/data/incoming" }
schedule = { arrivals = "https://sqs.eu-central-1.amazonaws.com/123456789012/pictures", cron = "0 3 * * *" }
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

_PRESETS: Final = ("@once", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly", "@continuous")
_CRON_FIELD: Final = re.compile(r"[0-9A-Za-z*/,#?-]+")
_CRON_LIMITS: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7), (0, 59))
"""Of minute, hour, day, month, weekday and, where there is a sixth field, second."""


def _in_limits(field: str, limits: tuple[int, int]) -> bool:
    numbers = map(int, re.findall(r"(?<![/#])\b\d+", field))
    return bool(_CRON_FIELD.fullmatch(field)) and all(limits[0] <= number <= limits[1] for number in numbers)


def _cron(value: str) -> str:
    fields = value.split()
    valid = len(fields) in (5, 6) and all(map(_in_limits, fields, _CRON_LIMITS))
    if value not in _PRESETS and not valid:
        raise ValueError(
            f"{value!r} is no cron expression of five fields, nor one of {', '.join(_PRESETS)}; leave it out to run by "
            "hand"
        )
    return value


def _times(value: str) -> str:
    """A cron expression or preset that can stand beside events."""
    if value in ("@once", "@continuous"):
        raise ValueError(f"{value!r} cannot stand beside events; give a cron expression, such as '0 3 * * *'")
    return _cron(value)


def _announced_by(value: str) -> str:
    if re.match(r"https?://[^/]+/.+", value) or ("://" not in value and Path(value).is_absolute()):
        return value
    raise ValueError(
        f"{value!r} is neither an absolute path of a folder nor the URL of an SQS queue (https://sqs...); a bucket "
        "announces its objects to a queue"
    )


Times: TypeAlias = Annotated[str, AfterValidator(_cron)]
"""A cron expression of five or six fields, or one of Airflow's presets."""


class AssetSchedule(BaseModel):
    """Run whenever an asset is updated.

    Attributes:
        asset: its URI, such as ``s3://bucket/incoming``; another DAG, a watcher or Airflow's API updates it.
        cron: at these times too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    asset: str = Field(min_length=1)
    cron: Annotated[str, AfterValidator(_times)] | None = None

    def __str__(self) -> str:
        return f"asset {self.asset}{_and_at(self.cron)}"


class ArrivalSchedule(BaseModel):
    """Run when pictures arrive. An arrival only starts a run, which lists its input as any run does.

    Attributes:
        arrivals: a folder that is looked at, or the URL of an SQS queue to which a bucket announces its new objects.
        every_s: seconds between two looks.
        connection: of the queue; None: the store's (``ENHANCER_S3_CONN_ID``).
        cron: at these times too, which bounds the delay if an announcement is lost.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arrivals: Annotated[str, AfterValidator(_announced_by)]
    every_s: float = Field(30, ge=1, le=3600)
    connection: str | None = Field(None, min_length=1)
    cron: Annotated[str, AfterValidator(_times)] | None = None

    def __str__(self) -> str:
        return f"arrivals at {self.arrivals}{_and_at(self.cron)}"

    @property
    def is_queue(self) -> bool:
        """Whether a queue announces what arrives."""
        return "://" in self.arrivals


def _and_at(cron: str | None) -> str:
    return f", and {cron}" if cron else ""


BRANCHES: Final = ("by-time", "by-asset", "by-arrivals")
"""The tags of a schedule's alternatives, which pydantic puts into the place of an error."""


def _branch(value: Any) -> str:
    if isinstance(value, Mapping):
        return BRANCHES[2] if "arrivals" in value else BRANCHES[1]
    return BRANCHES[1 if isinstance(value, AssetSchedule) else 2 if isinstance(value, ArrivalSchedule) else 0]


Schedule: TypeAlias = Annotated[
    Annotated[Times, Tag(BRANCHES[0])]
    | Annotated[AssetSchedule, Tag(BRANCHES[1])]
    | Annotated[ArrivalSchedule, Tag(BRANCHES[2])],
    Discriminator(_branch),
]
"""When runs start."""
