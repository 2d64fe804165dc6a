"""The run of one attempt: limits, heartbeats, secrets and outcomes, the same for every step type."""

import asyncio
import contextlib
import logging
import os
import socket
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.support.continuity import TemporalContinuity
from activities.support.output import OutputTail, end_of
from activities.support.settings import opened_settings
from activities.support.step_type import Continuity, StepFailure, StepRun, StepType
from activities.support.worker_context import WorkerContext
from contracts.execution import (
    FOLLOWED_TAIL_BYTES,
    OUTPUT_TAIL_BYTES,
    StepHeartbeat,
    StepInput,
    StepOutcome,
    StepProgress,
    StepStatus,
    no_catalogue,
)
from contracts.names import STEP_CANCELLED, STEP_FAILED, STEP_INTERRUPTED, STEP_TIMED_OUT
from runtime.secrets import OpenedSecrets, SecretBox, SecretKeyError, scrubber

HEARTBEAT_SECONDS: Final = 1.0
"""A cancel reaches an activity with the answer to a heartbeat."""

_FIRST_HEARTBEAT_SECONDS: Final = 0.5
"""A step that is over sooner costs the server no call for it."""

_MESSAGE_LENGTH: Final = 1000

_RESUME_SECONDS: Final = 1.0
"""Left at least to an attempt that takes up another: it must get as far as ending what that one had started."""

_logger = logging.getLogger(__name__)

_HOST: Final = socket.gethostname()
_WORKER: Final = f"{os.getpid()}@{_HOST}"


_MakeContinuity = Callable[[Callable[[], StepHeartbeat]], Continuity]


def step_activity(
    step_type: StepType[Any],
    worker: WorkerContext,
    box: SecretBox,
    continuity: _MakeContinuity = TemporalContinuity,
) -> Callable[[StepInput], Awaitable[StepOutcome]]:
    """Returns the activity of a step type, named like it.

    Args:
        step_type: What the activity runs.
        worker: What this worker allows.
        box: Opens secrets.
        continuity: Makes what steps need whose work outlives a worker, from what makes the heartbeat that is due.
    """

    @activity.defn(name=step_type.name)
    async def run(step: StepInput) -> StepOutcome:
        return await _Attempt(step_type, step, worker, box, continuity).run()

    return run


@dataclass(frozen=True)
class _End:
    """How an attempt ended."""

    status: StepStatus
    message: str | None
    failure: str | None = None
    """Type of the activity's failure; None for a success."""
    is_final: bool = False
    """Whether another attempt cannot help."""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


class _Attempt:
    """One attempt of one step, from its first heartbeat to its outcome."""

    def __init__(
        self,
        step_type: StepType[Any],
        step: StepInput,
        worker: WorkerContext,
        box: SecretBox,
        continuity: _MakeContinuity,
    ) -> None:
        self._continuity = continuity(self._heartbeat_now)
        self._step_type = step_type
        self._step = step
        self._worker = worker
        self._box = OpenedSecrets(box)
        self._started_at = datetime.now(UTC)
        self._number = step.attempt + activity.info().attempt - 1
        self._kept = worker.outputs.open(step.step_id, self._number) if worker.outputs else None
        self._output = OutputTail(secrets=self._box, also=self._kept.add if self._kept else None)
        self._run: StepRun[Any] | None = None
        details = activity.info().heartbeat_details
        # Workflows of before had the server make the attempts: then the last heartbeat has what was remembered.
        self._memo = StepHeartbeat.model_validate(details[0]).memo if details else step.memo
        self._resumable = step.resumed_from is not None

    async def run(self) -> StepOutcome:
        heartbeats = asyncio.create_task(self._heartbeat())
        try:
            end = await self._run_to_end()
            is_followed = self._is_followed(end)
            closing = asyncio.create_task(self._close_output(is_followed=is_followed))
            while not closing.done():
                # Its end is what counts: a cancel, or a stop of the worker, that comes only now is too late.
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({closing})
            outcome = self._outcome(end, closing.result())
        finally:
            heartbeats.cancel()
        if end.failure is None:
            return outcome
        if is_followed:
            # Many attempts of many steps stay in one history, which may have 50 MB.
            is_stored = self._kept is not None and outcome.output_note is None
            outcome.output_tail = "" if is_stored else end_of(outcome.output_tail, FOLLOWED_TAIL_BYTES)
        raise ApplicationError(
            end.message or end.failure,
            outcome,
            type=end.failure,
            non_retryable=end.is_final,
            # A step that fails is no defect of the worker: its log needs no trace of it.
            category=ApplicationErrorCategory.BENIGN,
        )

    async def _run_to_end(self) -> _End:
        try:
            # Ends the step by cancelling it: a timeout and a cancel take the same way out.
            async with asyncio.timeout(self._remaining_seconds()) as deadline:
                await self._work()
        except asyncio.CancelledError:
            if _is_worker_stopping():
                message = f"The worker {_WORKER} was stopped before the step had ended."
                return _End(StepStatus.FAILED, message, STEP_INTERRUPTED)
            details = activity.cancellation_details()
            if details is not None and details.cancel_requested:
                return _End(StepStatus.CANCELLED, self._remarked("Cancelled."), STEP_CANCELLED, is_final=True)
            # The server has given the attempt up: nobody asks for its outcome.
            await self._close_output(is_followed=True)
            raise
        except Exception as failure:  # noqa: BLE001 - a defect is logged, less its secrets
            if deadline.expired():
                message = self._remarked(f"Timed out after {self._step.timeout_seconds} s.")
                return _End(StepStatus.FAILED, message, STEP_TIMED_OUT)
            if isinstance(failure, StepFailure):
                message = self._told(str(failure))
                return _End(failure.status, message, STEP_FAILED, is_final=not failure.retryable)
            if isinstance(failure, SecretKeyError):
                return _End(StepStatus.FAILED, self._told(str(failure)), STEP_FAILED, is_final=True)
            # A defect of the step type. Its text may hold anything: it stays in this worker's log.
            trace = self._trace()
            _logger.error("step type %s failed unexpectedly\n%s", self._step_type.name, trace)  # noqa: TRY400 - as above
            message = (
                f"{self._step_type.name} failed unexpectedly ({type(failure).__name__}); see the log of {_WORKER}."
            )
            return _End(StepStatus.FAILED, message, STEP_FAILED)
        warning = self._run.warning if self._run else None
        if warning:
            return _End(StepStatus.COMPLETED_WITH_WARNING, self._told(warning))
        return _End(StepStatus.COMPLETED, None)

    def _remarked(self, message: str) -> str:
        """Returns what is said of an attempt that was cut off, and what its step type has to add."""
        remark = self._run.remark if self._run else None
        return self._told(f"{message} {remark}") if remark else message

    def _told(self, message: str) -> str:
        """Returns a message as it may leave this worker."""
        return self._box.hide(message)[:_MESSAGE_LENGTH]

    def _trace(self) -> str:
        """Returns the trace of what is being handled, without secrets: opened ones, and variables that steps may name."""
        hide = scrubber(list(self._worker.named_environment.values()))
        return self._box.hide(hide(traceback.format_exc().rstrip()))

    async def _close_output(self, *, is_followed: bool) -> str | None:
        """Stores the rest of the output; returns why there is no more of it than the tail, if so."""
        self._output.end()
        limit = FOLLOWED_TAIL_BYTES if is_followed else OUTPUT_TAIL_BYTES
        if self._kept is None or self._worker.outputs is None:
            has_more = self._output.total_bytes > limit
            return no_catalogue(_WORKER) if has_more else None
        problem = await self._worker.outputs.close(self._kept, tail_is_recorded=not is_followed)
        return f"The worker {_WORKER} could not store the rest in the catalogue ({problem})." if problem else None

    async def _work(self) -> None:
        run = self._run = StepRun(
            # Checked again, as a plan may be older than the worker.
            config=opened_settings(self._step_type.config_model, self._step.config, self._box),
            output=self._output,
            worker=self._worker,
            resolved=self._step.resolved,
            box=self._box,
            attempt=self._number,
            time_limit=self._remaining_seconds(),
            memo=dict(self._memo),
            resumable=self._resumable,
            continuity=self._continuity,
            on_change=self._beat,
        )
        await self._step_type.run(run)

    async def _heartbeat(self) -> None:
        await asyncio.sleep(_FIRST_HEARTBEAT_SECONDS)  # a step that is over by then needs none
        while True:
            self._beat()
            await asyncio.sleep(HEARTBEAT_SECONDS)  # the interval itself

    def _beat(self) -> None:
        activity.heartbeat(self._heartbeat_now())

    def _heartbeat_now(self) -> StepHeartbeat:
        run = self._run
        return StepHeartbeat(
            host=_HOST,
            worker=_WORKER,
            started_at=self._started_at,
            progress=self._progress(),
            activity_id=run.activity_id if run else None,
            memo=run.memo if run else self._memo,
            resumable=run.resumable if run else self._resumable,
            stores_output=self._kept is not None,
        )

    def _remaining_seconds(self) -> float | None:
        """Returns the attempt's time limit; one that takes up another gets what that one has left."""
        if self._step.timeout_seconds is None:
            return None
        passed = self._started_at - (self._step.resumed_from or self._started_at)
        return max(self._step.timeout_seconds - passed.total_seconds(), _RESUME_SECONDS)

    def _progress(self) -> StepProgress | None:
        if self._run is not None and self._run.progress is not None:
            message = self._run.progress.message
            return self._run.progress.model_copy(update={"message": message and self._box.hide(message)})
        line = self._output.last_line
        return StepProgress(message=line) if line else None

    def _outcome(self, end: _End, output_note: str | None) -> StepOutcome:
        run = self._run
        return StepOutcome(
            status=end.status,
            message=end.message,
            exit_code=run.exit_code if run else None,
            output_tail=self._output.text(),
            output_bytes=self._output.total_bytes,
            output_note=output_note,
            attempts=activity.info().attempt,
            host=_HOST,
            processes_ended=run.processes_ended if run else 0,
            started_at=self._started_at,
            completed_at=end.at,
            progress=self._progress(),
            activity_id=run.activity_id if run else None,
            activity_status=run.activity_status if run else None,
            memo=self._memo_left_behind(end),
            resumable=run.resumable if run else self._resumable,
        )

    def _memo_left_behind(self, end: _End) -> dict[str, Any]:
        """Returns what the next attempt knows of this one.

        Heartbeats say it to the end: should the worker be lost before this outcome is told, it is found out once more.
        """
        if self._run is None:
            return self._memo
        return {} if self._run.begins_anew and end.failure != STEP_INTERRUPTED else self._run.memo

    def _is_followed(self, end: _End) -> bool:
        """Whether another attempt follows."""
        if end.failure == STEP_INTERRUPTED:
            return self._step.may_restart or (self._run is not None and self._run.resumable)
        return end.failure is not None and not (end.is_final or self._step.is_last)


def _is_worker_stopping() -> bool:
    """Whether the attempt is cancelled because its worker stops, and for no other reason."""
    details = activity.cancellation_details()
    return details is not None and details.worker_shutdown and not details.cancel_requested
