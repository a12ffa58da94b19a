"""The worker process: ``python -m enhancer.batch.worker MODE RUN SHARD EPOCH OWNER [--only KEY]``; ``thumbnails RUN``;
``requests``.

A fresh interpreter, because CUDA does not survive the fork that runs an Airflow task, because memory goes back to the
system at its end, and because a picture that kills its decoder kills this process and not the task. Settings and
credentials come in the environment. It dies with its supervisor: a thread watches standard input for its end, and on
Linux the kernel is asked to kill it too, should native code hold the interpreter.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import get_args

from sqlalchemy.exc import SQLAlchemyError

from enhancer.batch.failures import classify
from enhancer.batch.relayed_keys import ReceivedKeys
from enhancer.batch.relayed_logs import log_to_supervisor
from enhancer.batch.worker.events import EXIT_LEASE_LOST, EXIT_REFUSED, EXIT_TRANSIENT, EventStream, ShardMode
from enhancer.errors import EnhancerError, ErrorKind, LeaseLostError
from enhancer.extras import imports_of_extras
from enhancer.ledger import Lease
from enhancer.settings import Settings, get_settings
from enhancer.storage import s3_keys

PR_SET_PDEATHSIG = 1


def die_with_supervisor(take: Callable[[str], None]) -> None:
    """End this process when the one that started it ends, and `take` each line that it writes to standard input."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        with contextlib.suppress(OSError):
            rest = b""
            while read := os.read(0, 65536):
                *lines, rest = (rest + read).split(b"\n")
                for line in lines:
                    take(line.decode("utf-8", "replace"))
        os._exit(EXIT_LEASE_LOST)

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()


def limit_threads(settings: Settings) -> None:
    """Apply ``ENHANCER_THREADS`` to the libraries that read it from the environment, before they are imported."""
    if settings.threads:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(settings.threads)


def run(
    arguments: argparse.Namespace, settings: Settings, events: EventStream, lines: SimpleQueue[str] | None = None
) -> None:
    """Do the work of one mode; `lines` are those of standard input, for the mode that lives on them."""
    if lines is not None:
        from enhancer.batch.worker.on_request import OnRequest

        OnRequest(settings, events).run(lines)
        return
    if arguments.mode == "thumbnails":
        from enhancer.batch.worker.thumbnails import send_thumbnails

        send_thumbnails(arguments.run, settings, events)
        return
    lease = Lease(arguments.run, arguments.shard, arguments.owner, arguments.epoch)
    if arguments.mode == "enhance":
        from enhancer.batch.worker.enhance import EnhanceShard

        EnhanceShard(lease, settings, events).run(only=arguments.only)
    elif arguments.mode == "evaluate":
        from enhancer.batch.worker.evaluate import EvaluateShard

        EvaluateShard(lease, settings, events).run(only=arguments.only)
    else:
        from enhancer.batch.worker.second_look import SecondLook

        SecondLook(lease, settings, events).run(only=arguments.only)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line: a mode, and what it works on."""
    parser = argparse.ArgumentParser(prog="enhancer.batch.worker")
    modes = parser.add_subparsers(dest="mode", required=True)
    for mode in get_args(ShardMode):
        shard = modes.add_parser(mode)
        shard.add_argument("run")
        shard.add_argument("shard", type=int)
        shard.add_argument("epoch", type=int)
        shard.add_argument("owner")
        shard.add_argument("--only", help="work on this key alone")
    modes.add_parser("thumbnails").add_argument("run")
    modes.add_parser("requests")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; the exit status says what the last event said."""
    arguments = parse(argv)
    faulthandler.enable()
    keys = ReceivedKeys()
    lines = SimpleQueue[str]() if arguments.mode == "requests" else None
    die_with_supervisor(keys.take if lines is None else lines.put)
    events = EventStream()
    named = {name: value for name, value in vars(arguments).items() if name in ("run", "shard")}
    log_to_supervisor(**named)
    settings = get_settings()
    limit_threads(settings)
    if settings.s3_key_source is not None:
        s3_keys.register(settings.s3_key_source, keys)
    try:
        with imports_of_extras():
            run(arguments, settings, events, lines)
    except LeaseLostError as error:
        events.send("error", reason=error.reason, message=error.message)
        return EXIT_LEASE_LOST
    except EnhancerError as error:
        events.send("error", reason=error.reason, message=error.message)
        return EXIT_TRANSIENT if error.kind is ErrorKind.TRANSIENT else EXIT_REFUSED
    except SQLAlchemyError as error:
        failure = classify(error, "worker")
        events.send("error", reason=failure.error_class, message=failure.message)
        return EXIT_TRANSIENT if failure.kind is ErrorKind.TRANSIENT else EXIT_REFUSED
    events.send("finished")
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # All is committed and reported. Taking an interpreter apart that has torch loaded takes a second and a half.
    os._exit(status)
