"""Who may see what. The one file that touches Airflow's internals (read in 3.3.2's source).

Airflow protects no route of a plugin, and FastAPI's own dependencies do not reach mounted static files. So the guard
stands in front of the whole application: what it does not let through reaches no route, whether that exists or not.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import bearer_scheme, get_user
from airflow.models.dag import DagModel
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

_VISITOR: Final = "enhancer_ui.visitor"

HEADERS: Final = {
    # No inline script or style, nothing from elsewhere; frames only in the Airflow UI, which is of the same origin.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every answer, unless the route sets a stricter one of its own."""


class Visitor:
    """Someone who is logged in and may see plugins; remembers for one request which DAGs they may read."""

    def __init__(self, user: BaseUser) -> None:
        self._user = user
        self._readable: dict[str, bool] = {}

    def may_read(self, dag_id: str | None) -> bool:
        """Whether they may read this DAG's runs. The auth manager may ask a database: not for the event loop.

        What belongs to no DAG (a run of the command line) everyone here may read.
        """
        if dag_id is None:
            return True
        if dag_id not in self._readable:
            self._readable[dag_id] = get_auth_manager().is_authorized_dag(
                method="GET",
                access_entity=DagAccessEntity.RUN,
                details=DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id)),
                user=self._user,
            )
        return self._readable[dag_id]


def visitor_of(request: Request) -> Visitor:
    """The visitor whom the guard let through; a dependency for routes."""
    visitor: Visitor = request.scope[_VISITOR]
    return visitor


class Guard:
    """Middleware around the whole application: 401 without a valid login, 403 without the right to see plugins.

    A login is what Airflow's own API takes: ``Authorization: Bearer``, or the cookie of the UI.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            scope[_VISITOR] = await self._admit(Request(scope, receive))
        except HTTPException as refusal:
            answer = PlainTextResponse(f"{refusal.detail}\n", refusal.status_code, headers=refusal.headers)
            await answer(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)

    @staticmethod
    async def _admit(request: Request) -> Visitor:
        try:
            user = await get_user(request, None, await bearer_scheme(request))
        except HTTPException as error:  # Airflow answers a forged token 403; to us it is no login either
            raise HTTPException(
                HTTPStatus.UNAUTHORIZED,
                "Log in to Airflow first, then open this page again.",
                headers={"WWW-Authenticate": "Bearer"},
            ) from error
        allowed = await run_in_threadpool(
            get_auth_manager().is_authorized_view, access_view=AccessView.PLUGINS, user=user
        )
        if not allowed:
            raise HTTPException(HTTPStatus.FORBIDDEN, "Your role in Airflow may not see plugins.")
        return Visitor(user)
