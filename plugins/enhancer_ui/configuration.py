"""The settings that the page works with."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Final

from enhancer.airflow.connections import settings_from_airflow
from enhancer.settings import Settings

_KEPT_S: Final = 60


def ui_settings() -> Settings:
    """The same settings as the tasks': ``ENHANCER_*``, completed from the Airflow Connections where these exist.

    Kept for a minute, since a Connection costs a question to Airflow's database or secrets backend.

    Raises:
        RequestError: a Connection that cannot be used as it is.
    """
    return _settings(int(time.monotonic() // _KEPT_S))


@lru_cache(maxsize=1)
def _settings(period: int) -> Settings:
    return settings_from_airflow()
