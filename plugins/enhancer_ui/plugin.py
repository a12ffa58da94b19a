"""What Airflow loads: where the page is mounted and where the UI shows it.

Every Airflow process loads every plugin, each task's too, so this module imports nothing but Airflow's base class.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger(__name__)

URL_PREFIX = "/enhancer"

_UNAVAILABLE = b"The picture enhancement page could not be started; the api-server's log says why.\n"


class LazyApp:
    """The page as an ASGI application that is built at its first request.

    It fails closed: when it cannot be built (an Airflow whose security functions moved, say) every request is answered
    503 until the api-server is restarted, and nothing is served.
    """

    def __init__(self) -> None:
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._app is None:
            self._app = self._build()
        await self._app(scope, receive, send)

    @staticmethod
    def _build() -> ASGIApp:
        try:
            from enhancer_ui.app import create_app

            return create_app()
        except Exception:  # whatever it is, the api-server has more to serve than this page
            log.exception("the picture enhancement page cannot be built: it answers 503")
            return _unavailable


async def _unavailable(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1011})
    elif scope["type"] == "http":
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": _UNAVAILABLE})


class EnhancerPlugin(AirflowPlugin):
    """The page of runs in the navigation and the tab on every DAG run.

    The UI embeds both as frames and percent-encodes the ids that it fills in. The addresses are relative, so that they
    hold where ``[api] base_url`` has a path too.
    """

    name = "enhancer"
    # Plain lists, as Airflow's base class has them.
    fastapi_apps: list[Any] = [  # noqa: RUF012
        {"app": LazyApp(), "url_prefix": URL_PREFIX, "name": "Picture enhancement"}
    ]
    external_views: list[Any] = [  # noqa: RUF012
        {
            "name": "Pictures",
            "href": "enhancer/",
            "destination": "nav",
            "nav_top_level": True,
            "url_route": "pictures",
            "icon": "enhancer/static/icon.svg",
        },
        {
            "name": "Pictures",
            "href": "enhancer/dag-run?dag_id={DAG_ID}&run_id={RUN_ID}",
            "destination": "dag_run",
            "url_route": "run-pictures",
            "icon": "enhancer/static/icon.svg",
        },
    ]
