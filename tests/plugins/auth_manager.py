"""Airflow's simple auth manager, except that viewers may not read one DAG: it has no rights per DAG of its own."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class PickyAuthManager(SimpleAuthManager):
    def is_authorized_dag(self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None) -> bool:
        if user.role == "viewer" and details is not None and details.id == "secret_dag":
            return False
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)
