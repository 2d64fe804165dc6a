"""The run of one attempt: limits, heartbeats, secrets and outcomes, the same for every step type."""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.support.output import OutputTail
from activities.support.settings import opened_settings
from activities.support.step_type import StepFailure, StepRun, StepType
from activities.support.worker_context import WorkerContext
from contracts.execution import StepHeartbeat, StepInput, StepOutcome, StepProgress, StepStatus
from contracts.names import STEP_CANCELLED, STEP_FAILED, STEP_TIMED_OUT
from runtime.secrets import SecretBox, SecretKeyError

HEARTBEAT_SECONDS: Final = 1.0
"""A cancel reaches an activity with the answer to a heartbeat."""

_MESSAGE_LENGTH: Final = 1000

_logger = logging.getLogger(__name__)

_HOST: Final = socket.gethostname()
_WORKER: Final = f"{os.getpid()}@{_HOST}"


def step_activity(
    step_type: StepType[Any],
    worker: WorkerContext,
    box: SecretBox,
) -> Callable[[StepInput], Awaitable[StepOutcome]]:
    """Returns the activity of a step type, named like it."""

    @activity.defn(name=step_type.name)
    async def run(step: StepInput) -> StepOutcome:
        return await _Attempt(step_type, step, worker, box).run()

    return run


class _Attempt:
    """One attempt of one step, from its first heartbeat to its outcome."""

    def __init__(self, step_type: StepType[Any], step: StepInput, worker: WorkerContext, box: SecretBox) -> None:
        self._step_type = step_type
        self._step = step
        self._worker = worker
        self._box = box
        self._started_at = datetime.now(UTC)
        self._output = OutputTail()
        self._run: StepRun[Any] | None = None

    async def run(self) -> StepOutcome:
        limit = self._step.timeout_seconds
        heartbeats = asyncio.create_task(self._heartbeat())
        try:
            # Ends the step by cancelling it: a timeout and a cancel take the same way out.
            async with asyncio.timeout(limit) as deadline:
                await self._work()
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            if details is not None and details.worker_shutdown:
                message = f"The worker {_WORKER} was stopped before the step had ended."
                raise self._error(STEP_FAILED, StepStatus.FAILED, message) from None
            if details is not None and details.cancel_requested:
                raise self._error(STEP_CANCELLED, StepStatus.CANCELLED, "Cancelled.", final=True) from None
            raise
        except Exception as failure:
            if deadline.expired():
                raise self._error(STEP_TIMED_OUT, StepStatus.FAILED, f"Timed out after {limit} s.") from None
            if isinstance(failure, StepFailure | SecretKeyError):
                final = not (isinstance(failure, StepFailure) and failure.retryable)
                raise self._error(STEP_FAILED, StepStatus.FAILED, str(failure), final=final) from None
            # A defect of the step type. Its text may hold anything, secrets too: it stays in this worker's log.
            _logger.exception("step type %s failed unexpectedly", self._step_type.name)
            message = (
                f"{self._step_type.name} failed unexpectedly ({type(failure).__name__}); see the log of {_WORKER}."
            )
            raise self._error(STEP_FAILED, StepStatus.FAILED, message) from None
        finally:
            heartbeats.cancel()
        warning = self._run.warning if self._run else None
        return self._outcome(StepStatus.COMPLETED_WITH_WARNING if warning else StepStatus.COMPLETED, warning)

    async def _work(self) -> None:
        run = self._run = StepRun(
            # Checked again, as a plan may be older than the worker.
            config=opened_settings(self._step_type.config_model, self._step.config, self._box),
            output=self._output,
            worker=self._worker,
            resolved=self._step.resolved,
            box=self._box,
            attempt=activity.info().attempt,
            memo=_memo_of_last_attempt(),
            on_change=self._beat,
        )
        await self._step_type.run(run)

    async def _heartbeat(self) -> None:
        while True:
            self._beat()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def _beat(self) -> None:
        run = self._run
        memo = run.memo if run else _memo_of_last_attempt()
        activity.heartbeat(StepHeartbeat(host=_HOST, worker=_WORKER, progress=self._progress(), memo=memo))

    def _progress(self) -> StepProgress | None:
        if self._run is not None and self._run.progress is not None:
            return self._run.progress
        line = self._output.last_line
        return StepProgress(message=line) if line else None

    def _outcome(self, status: StepStatus, message: str | None) -> StepOutcome:
        run = self._run
        return StepOutcome(
            status=status,
            message=message,
            exit_code=run.exit_code if run else None,
            output_tail=self._output.text(),
            attempts=activity.info().attempt,
            host=_HOST,
            processes_ended=run.processes_ended if run else 0,
            started_at=self._started_at,
            completed_at=datetime.now(UTC),
            progress=self._progress(),
            activity_id=run.activity_id if run else None,
            activity_status=run.activity_status if run else None,
        )

    def _error(self, kind: str, status: StepStatus, message: str, *, final: bool = False) -> ApplicationError:
        message = message[:_MESSAGE_LENGTH]
        outcome = self._outcome(status, message)
        policy = activity.info().retry_policy
        if not final and policy is not None and activity.info().attempt < policy.maximum_attempts:
            # Temporal keeps no failure of more than some kilobytes until the next attempt: the message would be lost.
            outcome.output_tail = ""
        return ApplicationError(
            message,
            outcome,
            type=kind,
            non_retryable=final,
            # A step that fails is no defect of the worker: its log needs no trace of it.
            category=ApplicationErrorCategory.BENIGN,
        )


def _memo_of_last_attempt() -> dict[str, Any]:
    details = activity.info().heartbeat_details
    return StepHeartbeat.model_validate(details[0]).memo if details else {}
