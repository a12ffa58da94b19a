"""``enhancer serve`` and ``enhancer token``: the HTTP service, and who may call it."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enhancer.cli.command import Json, Reply, command
from enhancer.cli.ledger import open_ledger

if TYPE_CHECKING:
    from rich.console import Console

    from enhancer.ledger import Token

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke the tokens of who may call the service.")


class Scope(StrEnum):
    """What a token allows."""

    READ = "read"
    ENHANCE = "enhance"
    ADMIN = "admin"


@command("serve")
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")] = 8000,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Answer callers of this machine without a token.")
    ] = False,
    as_json: Json = False,
) -> Reply:
    """Serve jobs over HTTP, and a page at /, until it is stopped; the next start goes on with what is open then."""
    from enhancer.cli.command import load_settings
    from enhancer.contract import Envelope
    from enhancer.errors import RequestError
    from enhancer.extras import imports_of_extras
    from enhancer.reasons import Reason

    settings = load_settings(service_anonymous=True if anonymous else None)
    if settings.service_anonymous and not _is_loopback(host):
        raise RequestError(
            f"callers without a token are answered on the loopback interface only, not on {host}: make tokens "
            "(`enhancer token create`), or listen on 127.0.0.1",
            reason=Reason.BAD_SETTING,
        )
    with imports_of_extras():
        import uvicorn

        from enhancer.service.app import create_app

        application = create_app(settings, metrics_host=host)
    log_requests()
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
    with _listening(host, port) as listener:
        address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        print(f"serving on {address}", file=sys.stderr, flush=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _already_stopped)
        uvicorn.Server(config).run(sockets=[listener])
    sys.stderr.flush()
    if application.state.dispatcher.is_busy:
        # Threads of jobs would hold the interpreter until their runs are over. Their workers end with this process, and
        # the ledger has what the next server needs to go on.
        os._exit(0)
    return Reply(Envelope(command="serve", ok=True, summary={"address": address}), lambda console: None)


def _already_stopped(number: int, frame: Any) -> None:
    """Uvicorn has ended in good order when it sends on the signal that ended it."""


def _listening(host: str, port: int) -> socket.socket:
    from enhancer.errors import RequestError
    from enhancer.reasons import Reason

    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise RequestError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; --port takes another",
            reason=Reason.BAD_SETTING,
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def log_requests() -> None:
    """One line of JSON on standard error for each request, and for what goes wrong."""
    import structlog

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


@app.command("create")
@command("token create")
def create(
    name: Annotated[str, typer.Argument(help="Whose it is, for people.")],
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What it allows; may be repeated. None: read and enhance.")
    ] = None,
    days: Annotated[float | None, typer.Option(min=0.001, help="How long it is valid; None: until revoked.")] = None,
    rate: Annotated[int | None, typer.Option(min=1, help="Requests a minute at most; None: no limit.")] = None,
    as_json: Json = False,
) -> Reply:
    """Make a token and print it, this once: the ledger keeps only its digest."""
    from enhancer.cli.command import load_settings
    from enhancer.contract import Envelope
    from enhancer.ledger.migrate import upgrade

    settings = load_settings()
    if settings.ledger_url().startswith("sqlite"):
        upgrade(settings.ledger_url())
    scopes = [one.value for one in scope or (Scope.READ, Scope.ENHANCE)]
    with open_ledger(settings) as ledger:
        made, text = ledger.tokens.create(name, scopes, valid_s=None if days is None else days * 86400, rate=rate)

    def show(console: Console) -> None:
        sys.stderr.write(f"token {made.token_id} of {made.name} ({made.scopes}); it is shown this once:\n")
        console.print(text, soft_wrap=True, highlight=False)

    return Reply(Envelope(command="token create", ok=True, summary={**_described(made), "token": text}), show)


@app.command("list")
@command("token list")
def list_tokens(as_json: Json = False) -> Reply:
    """List the tokens: whose, what they allow, until when."""
    from enhancer.cli.command import load_settings
    from enhancer.cli.output import moment, table
    from enhancer.contract import Envelope

    with open_ledger(load_settings()) as ledger:
        rows = ledger.tokens.all()

    def show(console: Console) -> None:
        listing = table("id", "name", "scopes", "a minute", "made", "valid until", right=("a minute",))
        for row in rows:
            until = "revoked" if row.revoked_at else moment(row.expires_at) if row.expires_at else "-"
            rate = "-" if row.rate is None else str(row.rate)
            listing.add_row(row.token_id, row.name, row.scopes, rate, moment(row.created_at), until)
        console.print(listing)

    return Reply(Envelope(command="token list", ok=True, summary={"tokens": [_described(row) for row in rows]}), show)


@app.command("revoke")
@command("token revoke")
def revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="The token's id (see `enhancer token list`).")],
    as_json: Json = False,
) -> Reply:
    """Revoke a token: from the next request on it is refused."""
    from enhancer.cli.command import load_settings
    from enhancer.contract import Envelope

    with open_ledger(load_settings()) as ledger:
        revoked = ledger.tokens.revoke(token)
    text = f"token {token} is revoked" + ("" if revoked else " already")
    return Reply(
        Envelope(command="token revoke", ok=True, summary={"token_id": token, "revoked": revoked}),
        lambda console: console.print(text),
    )


def _described(token: Token) -> dict[str, Any]:
    """All but the digest."""
    return {name: value for name, value in token.as_dict().items() if name != "digest"}
