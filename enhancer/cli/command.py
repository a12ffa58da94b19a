"""What every command has in common: one reply on stdout, everything else on stderr, and the exit status.

A command's function returns a :class:`Reply`. :func:`command` prints it, as JSON or for people, and turns errors into
one clear line and an exit status.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, ParamSpec

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from enhancer.contract import Envelope
    from enhancer.settings import Settings

EXIT_FAILED: Final = 1
"""The command itself failed."""

EXIT_SOME_FAILED: Final = 3
"""The command did its work, but some items failed. (2 is a usage error: Click's own.)"""

EXIT_INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document (the versioned contract) and nothing else.")
]

debug: ContextVar[bool] = ContextVar("debug", default=False)
"""Whether errors come with a traceback, and the log with its details."""

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command answers.

    Attributes:
        envelope: for ``--json``; ``ok`` False means that some items failed.
        show: prints the same for people.
        error: what made the whole command fail after it had something to say.
    """

    envelope: Envelope
    show: Callable[[Console], None]
    error: BaseException | None = None

    @property
    def exit_code(self) -> int:
        """1 the command failed, 3 some items did, 0 neither."""
        if self.error is not None:
            return EXIT_FAILED
        return 0 if self.envelope.ok else EXIT_SOME_FAILED


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with a word on how to go on."""


def command(name: str) -> Callable[[Callable[P, Reply]], Callable[P, None]]:
    """Make a function that returns a :class:`Reply` a command.

    Args:
        name: as typed, for the JSON: ``batch run``.
    """

    def decorate(function: Callable[P, Reply]) -> Callable[P, None]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            raise typer.Exit(_carry_out(name, bool(kwargs.get("as_json")), lambda: function(*args, **kwargs)))

        return run

    return decorate


def load_settings(**overrides: Any) -> Settings:
    """Settings from environment and file; `overrides` that are not None win.

    Raises:
        RequestError: a setting is not valid; names its environment variable.
    """
    import tomllib

    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from enhancer.errors import RequestError
    from enhancer.settings import Settings

    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        # Only names and reasons: the values may be secrets.
        faults = (f"ENHANCER_{'.'.join(map(str, item['loc'])).upper()}: {item['msg']}" for item in error.errors())
        raise RequestError(f"the settings are not valid: {'; '.join(faults)}", reason="bad-settings") from error
    except (SettingsError, tomllib.TOMLDecodeError) as error:
        raise RequestError(f"the settings cannot be read: {error}", reason="bad-settings") from error


def text_or_file(value: str | None) -> str | None:
    """`value`, or the content of the file that ``@path`` names.

    Raises:
        RequestError: the file cannot be read.
    """
    from pathlib import Path

    from enhancer.errors import RequestError

    if value is None or not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"cannot read {value[1:]}: {error}", reason="bad-file") from error


def log_to_stderr() -> None:
    """Warnings (with ``--debug`` everything) as plain lines on standard error."""
    import logging

    import structlog

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info if debug.get() else _without_traceback,
            structlog.processors.LogfmtRenderer(key_order=["level", "event"], sort_keys=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug.get() else logging.WARNING),
        # Looked up at each line: a progress display stands in for sys.stderr while it runs.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def _without_traceback(logger: Any, method: str, event: Any) -> Any:
    event.pop("exc_info", None)
    return event


def _carry_out(name: str, as_json: bool, function: Callable[[], Reply]) -> int:
    from enhancer.cli.output import err, out

    log_to_stderr()
    try:
        with _stdout_kept_clean():
            reply = function()
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except KeyboardInterrupt as interrupt:
        err().print(f"interrupted{f': {interrupt}' if isinstance(interrupt, Interrupted) else ''}", soft_wrap=True)
        return EXIT_INTERRUPTED
    except Exception as error:
        reply = _failed(name, error)
    if reply.error is not None and debug.get():
        traceback.print_exception(reply.error, file=sys.stderr)
    if as_json:
        # Not through rich, which would fold lines at the terminal's width.
        sys.stdout.write(reply.envelope.to_json() + "\n")
    else:
        reply.show(out())
    if reply.error is not None:
        from rich.text import Text

        from enhancer.files import visible

        err().print(Text.assemble(("error: ", "bold red"), visible(_in_words(reply.error)[1])), soft_wrap=True)
    return reply.exit_code


@contextlib.contextmanager
def _stdout_kept_clean() -> Iterator[None]:
    """What a library prints goes to stderr: stdout has the reply and nothing else. Its warnings are for developers."""
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        if not (debug.get() or sys.warnoptions):
            warnings.simplefilter("ignore")
        yield


def _failed(name: str, error: Exception) -> Reply:
    from enhancer.contract import Envelope

    envelope = Envelope(command=name, ok=False, summary={"error": error_summary(error)})
    return Reply(envelope, lambda console: None, error)


def error_summary(error: BaseException) -> dict[str, str]:
    """An error as ``summary.error`` of an envelope."""
    reason, message = _in_words(error)
    return {"class": reason, "message": message}


def _in_words(error: BaseException) -> tuple[str, str]:
    """A stable word and one clear line, with the way out."""
    from enhancer.errors import EnhancerError
    from enhancer.extras import missing_extra

    error = missing_extra(error) or error
    if isinstance(error, EnhancerError):
        return error.reason, error.message
    if isinstance(error, BaseExceptionGroup):
        causes = dict.fromkeys(_in_words(part)[1] for part in error.exceptions)
        return "tasks-failed", f"{error.message}: {'; '.join(causes)}"
    if "sqlalchemy.exc" in sys.modules:
        from sqlalchemy.exc import SQLAlchemyError

        if isinstance(error, SQLAlchemyError):
            # The driver's own words; SQLAlchemy's would repeat the statement and its parameters.
            said = " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())
            return "ledger", (
                f"the ledger's database refused: {said}; check ENHANCER_LEDGER_DSN, and that `enhancer ledger upgrade` "
                "has run"
            )
    text = " ".join(str(error).split())
    return (
        "unexpected",
        f"unexpected {type(error).__name__}: {text} (run again with `enhancer --debug ...` to see where)",
    )
