"""The few calls to Airflow's REST API that the demo and the tests make, as a user would make them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote

import httpx

_PAGE = 100
"""Airflow cuts lists at `[api] maximum_page_limit`, 100 by default, without a word."""

FINISHED = ("success", "failed")


class AirflowApi:
    """A session of one user. The token (24 hours) is requested at the first call.

    Every method raises httpx.HTTPStatusError with Airflow's answer in its notes, or httpx.TransportError.
    """

    def __init__(self, url: str, user: str, password: str, *, timeout_s: float = 30) -> None:
        self.url = url.rstrip("/")
        self._login = {"username": user, "password": password}
        self._http = httpx.Client(base_url=self.url, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def token(self) -> str:
        """A bearer token for this user."""
        answer: str = self._checked(self._http.post("/auth/token", json=self._login)).json()["access_token"]
        return answer

    def call(self, method: str, path: str, **more: Any) -> Any:
        """One call below /api/v2; the decoded answer."""
        if "Authorization" not in self._http.headers:
            self._http.headers["Authorization"] = f"Bearer {self.token()}"
        return self._checked(self._http.request(method, f"/api/v2{path}", **more)).json()

    def health(self) -> dict[str, str | None]:
        """Each component's status ("healthy" or not); None where it does not run. Needs no login."""
        parts = self._checked(self._http.get("/api/v2/monitor/health")).json()
        return {name: part["status"] for name, part in parts.items() if part}

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """The DAG, or None while Airflow does not know it."""
        try:
            found: dict[str, Any] = self.call("GET", f"/dags/{dag_id}")
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return None
            raise
        return found

    def import_errors(self) -> list[dict[str, Any]]:
        """DAG files that could not be read, with their tracebacks."""
        found: list[dict[str, Any]] = self.call("GET", "/importErrors")["import_errors"]
        return found

    def unpause(self, dag_id: str, *, paused: bool = False) -> None:
        """Let the DAG's runs go on (a scheduled DAG starts one at once), or with `paused` hold them."""
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": paused})

    def trigger(
        self,
        dag_id: str,
        conf: Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
        logical_date: datetime | None = None,
    ) -> str:
        """Start a manual run with these params; its run id. The DAG must not be paused for the run to get anywhere."""
        body: dict[str, Any] = {"conf": dict(conf or {}), "logical_date": logical_date and logical_date.isoformat()}
        if run_id is not None:
            body["dag_run_id"] = run_id
        started: str = self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"]
        return started

    def dag_run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """The run; its `state` is queued, running, success or failed."""
        found: dict[str, Any] = self.call("GET", _run(dag_id, run_id))
        return found

    def dag_runs(self, dag_id: str) -> Iterator[dict[str, Any]]:
        """All runs of the DAG, oldest first, page by page."""
        yield from self._pages(f"/dags/{dag_id}/dagRuns", "dag_runs", order_by="id")

    def task_instances(self, dag_id: str, run_id: str) -> Iterator[dict[str, Any]]:
        """All task instances of the run, mapped ones each, page by page."""
        yield from self._pages(f"{_run(dag_id, run_id)}/taskInstances", "task_instances")

    def xcoms(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """What an unmapped task handed on, by key."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries"
        keys = [entry["key"] for entry in self._pages(path, "xcom_entries")]
        return {key: self.call("GET", f"{path}/{key}")["value"] for key in keys}

    def asset_events(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The asset events that the run emitted."""
        return [
            event
            for event in self._pages("/assets/events", "asset_events", source_dag_id=dag_id)
            if event["source_run_id"] == run_id
        ]

    def _pages(self, path: str, name: str, **query: Any) -> Iterator[dict[str, Any]]:
        offset = 0
        while page := self.call("GET", path, params={"limit": _PAGE, "offset": offset, **query})[name]:
            yield from page
            offset += len(page)
            if len(page) < _PAGE:
                return

    @staticmethod
    def _checked(answer: httpx.Response) -> httpx.Response:
        try:
            return answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            error.add_note(answer.text[:2000])
            raise


def _run(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"
