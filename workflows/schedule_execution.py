"""One execution of a schedule: step groups in order, the steps of a group concurrently, the record kept up."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    TimeoutError,  # noqa: A004 - Temporal's own, which says which timeout it was
    TimeoutType,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel, ValidationError

    from contracts.execution import (
        MAX_STEPS_IN_FLIGHT,
        AttemptedStep,
        Carried,
        Closed,
        CloseRequest,
        ExecutionRequest,
        ExecutionResult,
        ExecutionStatus,
        FinishedStep,
        Opened,
        OpenRequest,
        PlanSlice,
        ProgressRequest,
        StepAttempt,
        StepHeartbeat,
        StepInput,
        StepOutcome,
        StepSpec,
        StepStatus,
        StoppingFailure,
        TriggerType,
    )
    from contracts.ids import SUMMARY_BYTES, fired_execution_id, shortened, step_task_queue
    from contracts.names import (
        CLOSE_EXECUTION,
        EXECUTION_FAILED,
        OPEN_EXECUTION,
        PAUSE,
        PROCEED,
        RECORD_PROGRESS,
        RESUME,
        SCHEDULE_EXECUTION,
        SEARCH_EXECUTION_ID,
        SEARCH_OUTCOME,
        STEP_INTERRUPTED,
    )

HEARTBEAT_TIMEOUT: Final = timedelta(seconds=20)
"""A worker that says nothing for so long is lost."""

_READ_AHEAD: Final = MAX_STEPS_IN_FLIGHT
"""The next slice of the plan is read, with a write that is due anyway, when fewer steps than this are at hand."""

_RECORD_TIMEOUT: Final = timedelta(seconds=20)
"""Limit of one try to write the record. It is tried until the catalogue is back: nothing may be lost."""

_RECORD_RETRY: Final = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))

_NO_LIMIT: Final = timedelta(days=3650)
"""Temporal wants a limit of every activity; a step without one gets this."""

_TIMEOUT_MARGIN: Final = timedelta(minutes=15)
"""The worker enforces a step's timeout and ends its processes; Temporal's own limit stands this far behind it, for a
worker that does heartbeat and does nothing else."""

_FIRST_BACKOFF: Final = timedelta(seconds=1)
_LONGEST_BACKOFF: Final = timedelta(seconds=100)
"""Before the second attempt, and at most: each wait is twice the one before (the documented rule of maxAttempts)."""

_MAX_UNCOUNTED: Final = 100
"""Attempts of a step that are not held against `maxAttempts`: a step that takes every worker down must end some time."""

_OWN_ATTEMPTS: Final = "attempts-one-by-one"
"""Patch: the workflow makes each attempt, where it once let the server retry the activity."""

_WRITE_SECONDS: Final = timedelta(milliseconds=100)
"""At least so far apart are two writes of the record, but for those that the execution cannot go on without, where the
worker does not say how far. A write before every step made quick ones a fifth slower
(docs/adr/0021-writes-held-back.md). Histories hold the writes that it leads to: another value needs a patch."""

_UNKNOWN_ACTIVITY: Final = "NotFoundError"
"""What the SDK's worker calls the failure of an activity that is not registered there. Step types fail with an outcome."""

_TURN_CHECK: Final = timedelta(seconds=30)
"""A fire that was held back looks for itself as often as this, should nobody tell it."""

_TURNS_TO_TELL: Final = 3
"""Turns of the event loop that a cancel gives to steps which ended in the same moment, to say how: cancelled, they would
count as taken by no worker. Two lead from an activity through its handle to its step; one is to spare."""

_NAMED_FAILURES: Final = 10
_REASON_LENGTH: Final = 500
"""An execution's message names some failures in short; each step's record says the whole."""

_DETAILS_ROWS: Final = 12

_NO_GROUP: Final = -1
"""Where an execution stands that has not begun its first group."""

Answer = TypeVar("Answer")


@workflow.defn(name=SCHEDULE_EXECUTION)
class ScheduleExecution:
    """Runs one execution of a schedule from the snapshot of its steps."""

    @workflow.init
    def __init__(self, request: ExecutionRequest) -> None:
        """Takes up where the run before continued as new, or begins."""
        info = workflow.info()
        carried = request.carried
        self._request = request
        self._execution_id = request.execution_id or fired_execution_id(info.workflow_id, info.first_execution_run_id)
        self._ahead: deque[StepSpec] = deque()
        self._position = carried.position if carried else 0
        self._total_steps = carried.total_steps if carried else 0
        self._total_groups = carried.total_groups if carried else 0
        self._group = carried.group if carried else _NO_GROUP
        self._had_failures = carried.had_failures if carried else False
        self._stopping: list[StoppingFailure] = list(carried.stopping) if carried else []
        self._stopping_count = max(carried.stopping_count, len(self._stopping)) if carried else 0
        self._running: dict[asyncio.Task[StepOutcome], StepSpec] = {}
        self._unrecorded: list[FinishedStep] = []
        self._unmarked: list[UUID] = []
        """Steps that run and are not marked as begun yet."""
        self._begun: int | None = None
        """See `Opened.begun`."""
        self._marked = 0
        """How many steps of the group that comes next are marked as begun already."""
        self._next_write = info.start_time
        """From then on what is held back is written."""
        self._is_told = False
        """Whether the worker says for how long it is held back."""
        self._due: asyncio.Task[None] | None = None
        """Ends when what is held back is to be written."""
        self._shown: deque[tuple[str, StepStatus, str | None]] = deque(maxlen=_DETAILS_ROWS)
        self._turn = False
        self._paused = carried.paused if carried else False
        self._cancelled = False

    @workflow.run
    async def run(self, request: ExecutionRequest) -> ExecutionResult:
        """Opens the record, runs the groups, closes the record."""
        del request
        try:
            opened = await self._open()
            while opened.decision == "wait":
                await self._wait_for_turn(opened)
                opened = await self._open()
            if opened.decision != "run":
                return self._not_run(opened)
            await self._run_groups()
        except (asyncio.CancelledError, ActivityError) as error:
            if not is_cancelled_exception(error):
                raise
            await self._cancel_running()
            await self._finish(
                ExecutionStatus.CANCELLED,
                "Cancelled by user",
                "Not started: the execution was cancelled.",
            )
            raise
        return await self._conclude()

    async def _open(self) -> Opened:
        info = workflow.info()
        fired = info.typed_search_attributes.get(_SCHEDULED_START)
        opened = await self._local(
            OPEN_EXECUTION,
            OpenRequest(
                execution_id=self._execution_id,
                schedule_id=self._request.schedule_id,
                trigger=self._request.trigger,
                workflow_id=info.workflow_id,
                fire_time=fired,
                started_at=info.workflow_start_time,
                position=self._position,
                begin_at_most=0 if self._paused else MAX_STEPS_IN_FLIGHT,
            ),
            Opened,
        )
        # A manual run has it from its start, and a run that goes on from the one before.
        if self._request.trigger is TriggerType.CRON and self._request.carried is None and opened.decision == "run":
            workflow.upsert_search_attributes([_EXECUTION_ID.value_set(str(self._execution_id))])
        self._ahead.extend(opened.plan)
        self._total_steps, self._total_groups = opened.total_steps, opened.total_groups
        self._begun, self._marked = opened.begun, opened.begun or 0
        self._is_told = opened.hold_back_seconds is not None
        self._hold_back_from(workflow.now(), opened)
        return opened

    @workflow.signal(name=PROCEED)
    def proceed(self) -> None:
        """Tells a fire that was held back that its turn may have come."""
        self._turn = True

    async def _wait_for_turn(self, opened: Opened) -> None:
        """Waits until the execution before has closed, or for a while: a signal may be lost with its sender."""
        workflow.set_current_details(opened.message or "Waiting")
        if workflow.info().is_continue_as_new_suggested():
            workflow.continue_as_new(self._request.model_copy(update={"execution_id": self._execution_id}))
        with contextlib.suppress(asyncio.TimeoutError):
            await workflow.wait_condition(lambda: self._turn, timeout=_TURN_CHECK)
        self._turn = False

    def _not_run(self, opened: Opened) -> ExecutionResult:
        outcome = {"skip": "Skipped", "missed": "Missed"}.get(opened.decision, "Ended")
        workflow.upsert_search_attributes([_OUTCOME.value_set(outcome)])
        workflow.set_current_details(opened.message or outcome)
        return ExecutionResult(execution_id=None, outcome=outcome, message=opened.message)

    @workflow.signal(name=PAUSE)
    def pause(self) -> None:
        """Holds the execution when the group that runs has ended."""
        self._paused = True

    @workflow.signal(name=RESUME)
    def resume(self) -> None:
        """Lets a held execution go on; takes back a pause that has not been reached."""
        self._paused = False

    async def _run_groups(self) -> None:
        while self._position < self._total_steps:
            if self._at_group_end() and not self._marked:
                if self._stopping:
                    return
                if self._paused:
                    await self._hold()
            await self._run_group()

    async def _hold(self) -> None:
        """Waits between two groups until it is resumed; the record says so."""
        recorded, next_group = len(self._unrecorded), self._group + 1
        await self._record_pause(
            ProgressRequest(
                execution_id=self._execution_id,
                finished=self._unrecorded,
                current_group=self._group_begun(),
                paused=True,
                before_group=next_group,
            )
        )
        del self._unrecorded[:recorded]
        self._show(ExecutionStatus.PAUSED)
        await workflow.wait_condition(lambda: not self._paused)
        await self._record_pause(
            ProgressRequest(
                execution_id=self._execution_id,
                # One of them is enough to tell that the group has begun: a late write of the pause changes nothing then.
                started=[step.step_id for step in self._ahead][:1],
                paused=False,
                before_group=next_group,
            )
        )

    async def _record_pause(self, request: ProgressRequest) -> None:
        await self._local(RECORD_PROGRESS, request, PlanSlice)

    async def _run_group(self) -> None:
        """Runs the steps of the group that comes next, as many at a time as may be in flight."""
        if not self._ahead:
            raise ApplicationError("The record of this execution is gone.", type=EXECUTION_FAILED, non_retryable=True)
        self._group = self._ahead[0].group
        while True:
            full = workflow.info().is_continue_as_new_suggested()
            starting = [] if full else self._take()
            while self._must_write(starting):
                await self._record()
                # What the plan goes on with may belong to this group.
                more = [] if full or self._begun is None else self._take(len(starting))
                starting += more
                if not more:
                    break
            if self._starts_last(starting) and not self._holds_back():
                self._stop_timer()
            for step in starting:
                self._running[asyncio.create_task(self._run_step(step))] = step
            self._show()
            if not self._running:
                break
            await self._wait()
            self._collect()
        if full and self._position < self._total_steps and not (self._stopping and self._at_group_end()):
            await self._continue()

    def _group_begun(self) -> int | None:
        return None if self._group == _NO_GROUP else self._group

    def _at_group_end(self) -> bool:
        return not self._ahead or self._ahead[0].group != self._group

    def _take(self, starting: int = 0) -> list[StepSpec]:
        """Takes the steps of the current group that may start now, beside those that are starting."""
        taken: list[StepSpec] = []
        while not self._at_group_end() and len(self._running) + starting + len(taken) < MAX_STEPS_IN_FLIGHT:
            taken.append(self._ahead.popleft())
        self._position += len(taken)
        self._unmarked += [step.step_id for step in taken[self._marked :]]
        self._marked = 0
        return taken

    def _must_write(self, starting: Sequence[StepSpec]) -> bool:
        """Whether what ended and what begins is to be written before the execution goes on."""
        if self._begun is None:
            return bool(starting or (self._unrecorded and self._running))
        if starting and not self._ahead and self._position < self._total_steps:
            return True  # the answer says what comes next
        if not self._holds_back() or not (starting or self._running):
            return False
        return workflow.now() >= self._next_write or (self._starts_last(starting) and not self._is_told)

    def _starts_last(self, starting: Sequence[StepSpec]) -> bool:
        """Whether nothing comes after the steps that are starting."""
        return bool(starting) and self._position >= self._total_steps

    def _holds_back(self) -> bool:
        """Whether there is something that is not written yet."""
        return bool(self._unmarked or self._unrecorded)

    def _is_timed(self) -> bool:
        """Whether a timer runs that tells when to write it."""
        return self._due is not None and not self._due.done()

    async def _wait(self) -> None:
        """Waits until a step ends, or what is held back is due."""
        if self._begun is not None and self._holds_back() and not self._is_timed():
            self._due = asyncio.create_task(self._fall_due())
        waiting: list[asyncio.Task[Any]] = [*self._running]
        if self._due is not None and not self._due.done():
            waiting.append(self._due)
        await workflow.wait(waiting, return_when=asyncio.FIRST_COMPLETED)

    def _stop_timer(self) -> None:
        """Cancels the timer: one that fires while the execution ends would cost it another workflow task."""
        if self._due is not None:
            self._due.cancel()

    async def _fall_due(self) -> None:
        await workflow.sleep(self._next_write - workflow.now(), summary="Write the record")

    async def _record(self) -> None:
        """Writes in one go what ended and what begins, and reads on in the plan where little of it is left."""
        read_to = self._position + len(self._ahead)
        wants_more = len(self._ahead) < _READ_AHEAD and read_to < self._total_steps
        recorded, now = len(self._unrecorded), workflow.now()
        answer = await self._local(
            RECORD_PROGRESS,
            ProgressRequest(
                execution_id=self._execution_id,
                finished=self._unrecorded,
                started=self._unmarked,
                current_group=self._group,
                read_from=read_to if wants_more else None,
            ),
            PlanSlice,
        )
        del self._unrecorded[:recorded]
        self._unmarked.clear()
        self._hold_back_from(now, answer)
        self._ahead.extend(answer.plan)

    def _hold_back_from(self, written_at: datetime, answer: Opened | PlanSlice) -> None:
        held = answer.hold_back_seconds
        self._next_write = written_at + (_WRITE_SECONDS if held is None else timedelta(seconds=held))

    async def _run_step(self, step: StepSpec) -> StepOutcome:
        """Runs one step to its end; however it ends, that is an outcome and no exception."""
        tries = _Tries(step)
        while not self._cancelled:
            outcome, error = await self._attempt(step, tries)
            follow_up = None if error is None or self._cancelled else tries.follow_up(outcome, error.cause)
            # Asked only where it matters: a patch is an event of the history.
            if follow_up is not None and not workflow.patched(_OWN_ATTEMPTS):
                follow_up = None
            tries.add(outcome, follow_up)
            if follow_up is None:
                return tries.result(outcome)
            try:
                await self._record_attempt(step, tries, outcome)
                if follow_up is _FollowUp.RETRY and not self._cancelled:
                    await workflow.sleep(
                        tries.backoff(), summary=shortened(f"{step.name}: next attempt", SUMMARY_BYTES)
                    )
            except (asyncio.CancelledError, ActivityError) as stop:
                if not is_cancelled_exception(stop):
                    raise
                break
        return tries.result(tries.not_taken())

    async def _record_attempt(self, step: StepSpec, tries: "_Tries", outcome: StepOutcome) -> None:
        attempted = AttemptedStep(
            step_id=step.step_id,
            attempts=tries.counted,
            history=tries.history,
            output_tail=outcome.output_tail,
        )
        # That it began may not be written yet.
        request = ProgressRequest(
            execution_id=self._execution_id, started=[step.step_id], current_group=step.group, attempted=[attempted]
        )
        await self._local(RECORD_PROGRESS, request, PlanSlice)

    async def _attempt(self, step: StepSpec, tries: "_Tries") -> tuple[StepOutcome, ActivityError | None]:
        """Makes one attempt of a step; returns how it ended, and the error where it was no success."""
        limit = _NO_LIMIT if step.timeout_seconds is None else timedelta(seconds=step.timeout_seconds) + _TIMEOUT_MARGIN
        one_by_one = step.max_attempts == 1 or workflow.patched(_OWN_ATTEMPTS)
        number = len(tries.history) + 1
        started = workflow.now()
        failure: ActivityError | None = None
        try:
            outcome: StepOutcome = await workflow.execute_activity(
                step.step_type,
                StepInput(
                    execution_id=self._execution_id,
                    schedule_name=self._request.schedule_name,
                    step_id=step.step_id,
                    name=step.name,
                    timeout_seconds=step.timeout_seconds,
                    config=step.config,
                    resolved=step.resolved,
                    attempt=number,
                    is_last=tries.counted + 1 >= step.max_attempts,
                    may_restart=step.max_attempts > 1,
                    memo=tries.memo,
                    resumed_from=tries.resumed_from,
                ),
                result_type=StepOutcome,
                # None is the task queue of this workflow.
                task_queue=step_task_queue(workflow.info().task_queue, step.worker_pool) if step.worker_pool else None,
                schedule_to_start_timeout=_seconds(step.schedule_to_start_seconds),
                start_to_close_timeout=limit,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=RetryPolicy(
                    initial_interval=_FIRST_BACKOFF,
                    backoff_coefficient=2,
                    maximum_attempts=1 if one_by_one else step.max_attempts,
                ),
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                # The API finds a running step by its activity's id.
                activity_id=str(step.step_id),
                summary=shortened(step.name if number == 1 else f"{step.name} (attempt {number})", SUMMARY_BYTES),
                event_groups=[workflow.create_event_group(f"group-{step.group}", label=f"Step group {step.group + 1}")],
            )
        except ActivityError as error:
            failure = error
            outcome = tries.failed(error, attempts=1 if one_by_one else step.max_attempts)
        if outcome.attempts:
            outcome.started_at = outcome.started_at or started
        outcome.completed_at = outcome.completed_at or workflow.now()
        return outcome, failure

    def _collect(self) -> None:
        """Takes up the steps that ended."""
        for task in [task for task in self._running if task.done()]:
            step = self._running.pop(task)
            if step.step_id in self._unmarked:
                self._unmarked.remove(step.step_id)
            outcome = _Tries(step).not_taken() if task.cancelled() else task.result()
            self._unrecorded.append(FinishedStep(step_id=step.step_id, outcome=outcome))
            self._shown.append((step.name, outcome.status, outcome.message))
            if outcome.status.is_failure:
                if step.continue_on_failure:
                    self._had_failures = True
                else:
                    self._stopping_count += 1
                    if len(self._stopping) < _NAMED_FAILURES:
                        message = outcome.message[:_REASON_LENGTH] if outcome.message else None
                        self._stopping.append(StoppingFailure(step_name=step.name, message=message))

    async def _cancel_running(self) -> None:
        """Cancels what runs and waits until it is really gone."""
        self._cancelled = True
        for _ in range(_TURNS_TO_TELL):
            await asyncio.sleep(0)
        for task in self._running:
            task.cancel()
        if self._running:
            await workflow.wait(self._running)
        self._collect()

    async def _continue(self) -> None:
        await self._record()
        workflow.continue_as_new(
            self._request.model_copy(
                update={
                    "execution_id": self._execution_id,
                    "carried": Carried(
                        position=self._position,
                        group=self._group,
                        total_steps=self._total_steps,
                        total_groups=self._total_groups,
                        had_failures=self._had_failures,
                        stopping=self._stopping,
                        stopping_count=self._stopping_count,
                        paused=self._paused,
                    ),
                },
            ),
        )

    async def _conclude(self) -> ExecutionResult:
        if self._stopping:
            names = ", ".join(failure.step_name for failure in self._stopping)
            if self._stopping_count > len(self._stopping):
                names += f" and {self._stopping_count - len(self._stopping)} more"
            reasons = "; ".join(
                f"{failure.step_name}: {failure.message}" for failure in self._stopping if failure.message
            )
            message = f"Step '{names}' failed and ContinueOnFailure is false. {reasons}".strip()
            await self._finish(ExecutionStatus.FAILED, message, "Not started: a step before it failed.")
            raise ApplicationError(message, type=EXECUTION_FAILED, non_retryable=True)
        status = ExecutionStatus.COMPLETE_WITH_ERROR if self._had_failures else ExecutionStatus.COMPLETE
        await self._finish(status, None, None)
        return ExecutionResult(execution_id=self._execution_id, outcome=status)

    async def _finish(self, status: ExecutionStatus, message: str | None, unreached: str | None) -> None:
        """Closes the record, even while a cancel arrives: a record left open would be wrong for good."""
        if self._is_told:
            # The server takes back one that has fired meanwhile, as long as it is cancelled with the end.
            self._stop_timer()
        workflow.upsert_search_attributes([_OUTCOME.value_set(str(status))])
        self._show(status)
        closing = asyncio.create_task(
            self._local(
                CLOSE_EXECUTION,
                CloseRequest(
                    execution_id=self._execution_id,
                    schedule_id=self._request.schedule_id,
                    finished=self._unrecorded,
                    current_group=self._group_begun(),
                    status=status,
                    message=message,
                    unreached_message=unreached,
                ),
                Closed,
            ),
        )
        try:
            closed = await asyncio.shield(closing)
        except asyncio.CancelledError:
            closed = await closing
        if closed is not None and closed.waiting_workflow_id is not None:
            # Gone meanwhile, or cancelled: nobody waits then.
            with contextlib.suppress(FailureError):
                await workflow.get_external_workflow_handle(closed.waiting_workflow_id).signal(PROCEED)

    async def _local(self, name: str, argument: BaseModel, answer: type[Answer]) -> Answer:
        return cast(
            "Answer",
            await workflow.execute_local_activity(
                name,
                argument,
                result_type=answer,
                start_to_close_timeout=_RECORD_TIMEOUT,
                retry_policy=_RECORD_RETRY,
            ),
        )

    def _show(self, status: ExecutionStatus | None = None) -> None:
        """Writes the table that an operator sees in the Web UI."""
        state = status or f"step group {self._group + 1} of {self._total_groups}"
        rows = [f"| {_cell(name)} | {step_status} | {_cell(message)} |" for name, step_status, message in self._shown]
        running = list(self._running.values())[:_DETAILS_ROWS]
        rows += [f"| {_cell(step.name)} | Running | |" for step in running]
        if len(self._running) > len(running):
            rows.append(f"| … and {len(self._running) - len(running)} more | Running | |")
        table = "\n".join(["| Step | Status | Message |", "|---|---|---|", *rows])
        workflow.set_current_details(f"**{self._request.schedule_name}**: {state}\n\n{table}")


_SCHEDULED_START = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
_EXECUTION_ID = SearchAttributeKey.for_keyword(SEARCH_EXECUTION_ID)
_OUTCOME = SearchAttributeKey.for_keyword(SEARCH_OUTCOME)


def _seconds(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(seconds=count)


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|").replace("\n", " ")[:200]


class _FollowUp(Enum):
    """What follows an attempt that was no success."""

    RETRY = auto()
    """Another attempt, after a pause."""
    RESTART = auto()
    """The same again, not held against `maxAttempts`: a planned stop of the worker has cut it short."""
    RESUME = auto()
    """An attempt that takes up where this one stood, which is not held against `maxAttempts` either."""


class _Tries:
    """The attempts of one step, as far as they have ended."""

    def __init__(self, step: StepSpec) -> None:
        self._step = step
        self.history: list[StepAttempt] = []
        self.counted = 0
        self.memo: dict[str, Any] = {}
        self.resumed_from: datetime | None = None
        self._resumable = False

    def failed(self, error: ActivityError, *, attempts: int) -> StepOutcome:
        """Returns the outcome of an attempt that was no success; `attempts` is how many one activity stands for."""
        cause = error.cause
        if isinstance(cause, ApplicationError):
            if outcome := _decoded(StepOutcome, cause.details):
                return outcome
            is_unknown = cause.type == _UNKNOWN_ACTIVITY
            message = _unknown_step_type(self._step, error.identity) if is_unknown else cause.message
            return StepOutcome(status=StepStatus.FAILED, message=message)
        if isinstance(cause, TimeoutError) and cause.type == TimeoutType.SCHEDULE_TO_START:
            return StepOutcome(status=StepStatus.FAILED, message=_waited_in_vain(self._step), attempts=0)
        if isinstance(cause, TimeoutError):
            heartbeat = _last_heartbeat(cause)
            return StepOutcome(
                status=StepStatus.FAILED,
                message=_timeout_message(cause),
                attempts=attempts,
                host=heartbeat.host if heartbeat else None,
                started_at=heartbeat.started_at if heartbeat else None,
                # One that was lost before it said a word has changed nothing.
                memo=heartbeat.memo if heartbeat else self.memo,
                resumable=heartbeat.resumable if heartbeat else self._resumable,
            )
        if is_cancelled_exception(error):
            return self.not_taken()
        return StepOutcome(status=StepStatus.FAILED, message=_message(cause) or error.message)

    def not_taken(self) -> StepOutcome:
        """Returns the outcome of a step that was cancelled while no worker had it."""
        if not self.history:
            return StepOutcome(status=StepStatus.CANCELLED, message="Cancelled before a worker took it.", attempts=0)
        last = self.history[-1]
        message = f"Cancelled before attempt {last.number + 1}. Attempt {last.number}: {last.message or last.status}"
        return StepOutcome(status=StepStatus.CANCELLED, message=message, attempts=0, host=last.host)

    def follow_up(self, outcome: StepOutcome, cause: BaseException | None) -> _FollowUp | None:
        """Returns what follows an attempt that was no success, and not cancelled; None where nothing does."""
        is_stopped = isinstance(cause, ApplicationError) and cause.type == STEP_INTERRUPTED
        is_lost = isinstance(cause, TimeoutError) and cause.type == TimeoutType.HEARTBEAT
        if len(self.history) - self.counted < _MAX_UNCOUNTED:
            if outcome.resumable and (is_stopped or is_lost):
                return _FollowUp.RESUME
            if is_stopped and self._step.max_attempts > 1:
                return _FollowUp.RESTART
        is_final = isinstance(cause, ApplicationError) and cause.non_retryable
        if is_final or not outcome.attempts or self.counted + outcome.attempts >= self._step.max_attempts:
            return None
        return _FollowUp.RETRY

    def add(self, outcome: StepOutcome, follow_up: _FollowUp | None) -> None:
        """Takes up how an attempt ended, and what follows it."""
        is_counted = follow_up in (None, _FollowUp.RETRY)
        if is_counted:
            self.counted += outcome.attempts
        if outcome.attempts:
            self.history.append(
                StepAttempt(
                    number=len(self.history) + 1,
                    is_counted=is_counted,
                    status=outcome.status,
                    message=outcome.message[:_REASON_LENGTH] if outcome.message else None,
                    exit_code=outcome.exit_code,
                    host=outcome.host,
                    started_at=outcome.started_at,
                    completed_at=outcome.completed_at,
                    output_bytes=outcome.output_bytes,
                    output_note=outcome.output_note,
                ),
            )
        self.memo, self._resumable = outcome.memo, outcome.resumable
        is_resumed = follow_up is _FollowUp.RESUME
        self.resumed_from = (self.resumed_from or outcome.started_at) if is_resumed else None

    def backoff(self) -> timedelta:
        """Returns the pause before the next attempt that counts."""
        return min(_FIRST_BACKOFF * (1 << (self.counted - 1)), _LONGEST_BACKOFF)

    def result(self, outcome: StepOutcome) -> StepOutcome:
        """Returns the outcome of the step, given that of its last attempt."""
        result = outcome.model_copy(update={"attempts": self.counted, "memo": {}})
        # A single attempt is told by the step's own fields.
        if len(self.history) > outcome.attempts:
            result.history = self.history
            result.started_at = next((attempt.started_at for attempt in self.history if attempt.started_at), None)
        return result


Detail = TypeVar("Detail", StepOutcome, StepHeartbeat)


def _decoded(model: type[Detail], details: Sequence[object]) -> Detail | None:
    """Returns the detail that a failure carries; None where there is none, or one of another program's."""
    try:
        return model.model_validate(details[0]) if details else None
    except ValidationError:
        return None


def _message(error: BaseException | None) -> str | None:
    return error.message if isinstance(error, FailureError) else None


def _last_heartbeat(cause: TimeoutError) -> StepHeartbeat | None:
    return _decoded(StepHeartbeat, cause.last_heartbeat_details)


def _waited_in_vain(step: StepSpec) -> str:
    workers = f"No worker of the pool {step.worker_pool!r}" if step.worker_pool else "No worker"
    return f"{workers} took the step within {step.schedule_to_start_seconds} s."


def _unknown_step_type(step: StepSpec, worker: str) -> str:
    whose = f"workers of the pool {step.worker_pool!r}" if step.worker_pool else "workers"
    return (
        f"The worker {worker} does not know the step type {step.step_type!r}. Install the version or package that has "
        f"it on all {whose} and restart them; upgrade workers before the API."
    )


def _timeout_message(cause: TimeoutError) -> str:
    heartbeat = _last_heartbeat(cause)
    worker = f"worker {heartbeat.worker}" if heartbeat else "worker"
    if cause.type == TimeoutType.HEARTBEAT:
        seconds = HEARTBEAT_TIMEOUT.total_seconds()
        return f"The {worker} was lost, or could not reach Temporal: nothing was heard of it for {seconds:.0f} s."
    return f"The {worker} did not end the step within its limit."
