"""When Airflow may try a failed task again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import RetryDecision, RetryPolicy

from enhancer.errors import EnhancerError, ErrorKind

if TYPE_CHECKING:
    from airflow.sdk import Context


class RetryTransient(RetryPolicy):
    """Fails a task at once where the same work would end the same way: a bad request, an unknown model, a failed run.

    Our own errors carry their :class:`~enhancer.errors.ErrorKind`, so one class may be either: a model that no one
    knows is permanent, a model whose mirror does not answer is not. Everything else, the unknown included, is retried
    as the task's ``retries`` and ``retry_delay`` say. Runs in the task's process; the scheduler sees only the outcome.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Fail for permanent and poison, the task's own rules otherwise."""
        if isinstance(exception, EnhancerError) and exception.kind is not ErrorKind.TRANSIENT:
            return RetryDecision.fail(f"{exception.kind.value} ({exception.reason}): a retry would end the same way")
        return RetryDecision.default()
