"""Who may see and do what. With :mod:`enhancer_ui.airflow_side` all that touches Airflow's internals (read in 3.3.2's
source).

Airflow protects no route of a plugin, and FastAPI's own dependencies do not reach mounted static files. So the guard
stands in front of the whole application: what it does not let through reaches no route, whether that exists or not.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, Literal
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.auth.tokens import get_signing_key
from airflow.api_fastapi.core_api.security import bearer_scheme, get_user
from airflow.models.dag import DagModel
from itsdangerous import BadSignature, URLSafeTimedSerializer
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


Method = Literal["GET", "PUT", "POST"]

FORM_AGE_S: Final = 12 * 3600
"""How long a page may stay open before its buttons are refused."""


class Visitor:
    """Someone who is logged in and may see plugins; remembers for one request what they may do with which DAGs' runs.

    The auth manager may ask a database: not for the event loop.
    """

    def __init__(self, user: BaseUser) -> None:
        self._user = user
        self._allowed: dict[tuple[Method, str | None], bool] = {}

    @property
    def name(self) -> str:
        """Who they are, for the ledger and for Airflow's log."""
        return str(self._user.get_name())

    def may_read(self, dag_id: str | None) -> bool:
        """Whether they may read this DAG's runs. What belongs to no DAG (a run of the command line) everyone here may
        read.
        """
        return dag_id is None or self._may("GET", dag_id)

    def may_edit(self, dag_id: str | None) -> bool:
        """Whether they may edit this DAG's runs, and decide on their pictures; without a DAG: the runs of every DAG."""
        return self._may("PUT", dag_id)

    def may_trigger(self, dag_id: str) -> bool:
        """Whether they may start runs of this DAG."""
        return self._may("POST", dag_id)

    def _may(self, method: Method, dag_id: str | None) -> bool:
        if (method, dag_id) not in self._allowed:
            details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id)) if dag_id else None
            self._allowed[method, dag_id] = get_auth_manager().is_authorized_dag(
                method=method, access_entity=DagAccessEntity.RUN, details=details, user=self._user
            )
        return self._allowed[method, dag_id]

    def form_token(self) -> str:
        """What a form of ours sends back: signed with the api-server's key, for this user."""
        return str(_signer().dumps(str(self._user.get_id())))

    def check_form(self, request: Request, token: str) -> None:
        """Refuse a POST that no form of ours has sent in this user's name (cross-site request forgery).

        Raises:
            HTTPException: 403: it came from another site, or its token is missing, forged, somebody else's or too old.
        """
        origin, fetched = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        foreign = origin is not None and urlsplit(origin).hostname != request.base_url.hostname
        if foreign if fetched is None else fetched != "same-origin":  # a proxy may change the host, not the latter
            raise HTTPException(HTTPStatus.FORBIDDEN, "This request came from another site; nothing was done.")
        try:
            sent_by = _signer().loads(token, max_age=FORM_AGE_S)
        except BadSignature as error:
            raise HTTPException(
                HTTPStatus.FORBIDDEN, "This page is too old, or not one of ours; nothing was done. Load it again."
            ) from error
        if sent_by != str(self._user.get_id()):
            raise HTTPException(HTTPStatus.FORBIDDEN, "This page was loaded by somebody else; nothing was done.")


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(get_signing_key("api", "secret_key"), salt="enhancer-ui-form")


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
