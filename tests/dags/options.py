"""The options that Airflow and its Celery provider have, by their own description."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import airflow
import yaml
from airflow.providers.celery.get_provider_info import get_provider_info


@lru_cache(maxsize=1)
def airflow_options() -> dict[str, dict[str, Any]]:
    """Each section's options, as ``{section: {option: description}}``."""
    core = yaml.safe_load((Path(airflow.__file__).parent / "config_templates" / "config.yml").read_text())
    return {
        section: content["options"]
        for source in (core, get_provider_info()["config"])
        for section, content in source.items()
    }
