"""A DAG for each collection of the file that ``ENHANCER_COLLECTIONS`` names."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable

from enhancer.airflow.arguments import Thresholds
from enhancer.airflow.dag import FIRST_DAY, EnhanceDag
from enhancer.airflow.dag_tasks import late_after
from enhancer.collections import Collection, load_collections
from enhancer.schedules import ArrivalSchedule, AssetSchedule
from enhancer.settings import Settings

PLACEMENT: Final = ("pool", "enhance_pool", "enhance_queue", "evaluate_queue", "executor")
"""Fields of a collection that are called as the arguments of a DAG."""


def collection_dags(settings: Settings) -> list[EnhanceDag]:
    """The DAGs of the collections, in the file's order; that of ``default`` is not among them.

    Raises:
        RequestError: the file is not valid; names the line, the collection and the key. Airflow shows it as an import
            error, and the DAGs of before stay as they were.
    """
    return [dag_of(one, settings) for one in load_collections(settings)]


def dag_of(collection: Collection, settings: Settings) -> EnhanceDag:
    """The DAG of a collection; what it does not say is as in `image_enhancement`.

    Args:
        collection: of the file.
        settings: for the deadline and the Connection of a queue, where the collection has none.
    """
    return EnhanceDag(
        collection.dag_id,
        schedule=_schedule(collection, settings),
        start_date=_start(collection),
        deadline=late_after(collection.deadline_minutes or settings.deadline_minutes),
        default_args={"owner": collection.owner},
        tags=collection.tags,
        description=collection.description or f"Enhance the collection {collection.name}",
        doc_md=f"### The collection `{collection.name}`\n\nWhat `image_enhancement` does, by what the file of "
        "`ENHANCER_COLLECTIONS` says of this collection. Params left empty mean: as it says there.",
        priority_weight=collection.priority,
        thresholds=Thresholds(**collection.thresholds()),  # type: ignore[typeddict-item]
        **_placement(collection),
        **collection.request_values(),
    )


def _placement(collection: Collection) -> dict[str, Any]:
    return {name: getattr(collection, name) for name in PLACEMENT}


def _schedule(collection: Collection, settings: Settings) -> Any:
    schedule = collection.schedule
    if not isinstance(schedule, AssetSchedule | ArrivalSchedule):
        return schedule
    asset = Asset(schedule.asset) if isinstance(schedule, AssetSchedule) else _arrivals(collection, schedule, settings)
    if schedule.cron is None:
        return [asset]
    times = CronTriggerTimetable(schedule.cron, timezone=collection.timezone)
    return AssetOrTimeSchedule(timetable=times, assets=[asset])


def _arrivals(collection: Collection, schedule: ArrivalSchedule, settings: Settings) -> Asset:
    """The asset that a watcher updates when pictures arrive."""
    from enhancer.airflow.arrivals import FolderTrigger, QueueTrigger

    watcher: FolderTrigger | QueueTrigger
    if schedule.is_queue:
        watcher = QueueTrigger(schedule.arrivals, schedule.connection or settings.s3_conn_id, schedule.every_s)
    else:
        watcher = FolderTrigger(schedule.arrivals, schedule.every_s)
    name = f"arrivals_{collection.name}"
    return Asset(name, watchers=[AssetWatcher(name=name, trigger=watcher)])


def _start(collection: Collection) -> datetime:
    """Midnight of its first day, in the time zone in which Airflow then reads its cron expression."""
    day = collection.start or FIRST_DAY.date()
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(collection.timezone))
