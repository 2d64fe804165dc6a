"""What runs right now, asked of Temporal: it answers with every worker down."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState, PendingWorkflowTaskState, TaskQueueType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client
from temporalio.service import RPCError

from catalogue.columns import utc_now
from catalogue.executions import StepRecord, note_outcome
from contracts.execution import StepHeartbeat, StepOutcome, StepStatus
from contracts.ids import step_task_queue
from contracts.names import STEP_INTERRUPTED
from runtime.temporal import data_converter

_TIMEOUT: Final = timedelta(seconds=2)
"""Live detail is an extra: a page does not wait longer for it."""

_LAST_EVENTS: Final = 40
_MORE_EVENTS: Final = 256
_PAGES: Final = 11
"""A step in a row leaves six events, one of many that run together three. Some 2,600 have all that can be held back: what
two slices of the plan hold, as the next one comes with a write. A server gives 256 at once."""

Told = TypeVar("Told", StepOutcome, StepHeartbeat)

_POLL_TIMEOUT: Final = timedelta(seconds=75)
"""A worker asks for work at least once a minute; the server remembers one that is gone for some minutes more."""

_PATIENCE: Final = timedelta(seconds=5)
"""What waits longer for a worker says what for."""


@dataclass(frozen=True)
class LiveStep:
    """A step that a worker has, or that waits for one."""

    status: StepStatus
    started_at: datetime | None
    attempt: int
    queued_since: datetime | None
    """When it began to wait for a worker; None once one has it."""
    heartbeat: StepHeartbeat | None
    last_failure: str | None


@dataclass(frozen=True)
class LiveExecution:
    """The workflow of an execution as it stood when Temporal was asked."""

    run_id: str
    is_continued: bool
    """Whether runs came before this one: what they did was written before it began, and need not be in its history."""
    history_length: int
    """How many events the run had: what was handed out later has a higher event id."""
    began_at: datetime
    """When the run began."""
    task_queue: str
    """Where its workers ask for work."""
    waits_since: datetime | None
    """When the workflow began to wait for a worker; None where it has one, or waits for something else."""
    steps: Mapping[UUID, LiveStep]
    """The steps that are queued or running, by record id."""


async def live_execution(client: Client, workflow_id: str) -> LiveExecution | None:
    """Returns what Temporal knows of an execution right now; None where it cannot say."""
    try:
        # The first call of all makes the connection, and may take longer for that than it may itself.
        async with asyncio.timeout(_TIMEOUT.total_seconds()):
            description = await client.get_workflow_handle(workflow_id).describe(rpc_timeout=_TIMEOUT)
    except (RPCError, RuntimeError, TimeoutError):
        return None
    live: dict[UUID, LiveStep] = {}
    for pending in description.raw_description.pending_activities:
        try:
            step_id = UUID(pending.activity_id)
        except ValueError:
            continue
        live[step_id] = LiveStep(
            status=_status(pending.state),
            started_at=pending.last_started_time.ToDatetime(UTC) if pending.HasField("last_started_time") else None,
            attempt=pending.attempt,
            queued_since=_queued_since(pending),
            heartbeat=await _heartbeat(pending),
            last_failure=pending.last_failure.message or None,
        )
    raw = description.raw_description
    task = raw.pending_workflow_task
    waits = task.state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_SCHEDULED
    return LiveExecution(
        run_id=description.run_id,
        is_continued=description.run_id != raw.workflow_execution_info.first_run_id,
        history_length=description.history_length,
        began_at=description.start_time,
        task_queue=description.task_queue,
        waits_since=task.scheduled_time.ToDatetime(UTC) if waits else None,
        steps=live,
    )


@dataclass(frozen=True)
class LatestStep:
    """A step that was begun, as the last events of its execution tell of it."""

    event_id: int
    """The event by which its last attempt was handed out."""
    taken_at: datetime | None
    """When a worker took its earliest attempt among them; None where none has, or its end waits for a workflow task."""
    outcome: StepOutcome | None
    """How its last attempt ended; None where it has not, or has told nothing."""
    may_follow: bool
    """Whether another attempt may follow that one."""
    is_untaken: bool = False
    """Whether its last attempt ended before a worker had taken it."""
    is_cancelling: bool = False
    """Whether a cancel was asked for."""


Known = Mapping[UUID, LatestStep]


@dataclass(frozen=True)
class LatestSteps:
    """The steps of an execution that were begun last."""

    known: Known
    """By record id."""
    is_complete: bool
    """Whether the history was read as far as was needed; else Temporal could not say, or it was too far."""


async def steps_begun_last(
    client: Client,
    workflow_id: str,
    unwritten: Collection[UUID],
    is_enough: Callable[[Known], bool] = lambda _: True,
    run_id: str | None = None,
) -> LatestSteps:
    """Returns the steps of an execution that were begun last, as far as Temporal can say.

    Args:
        client: Asks Temporal.
        workflow_id: The workflow of the execution.
        unwritten: The steps of whose ends the catalogue does not know yet: the outcomes of others are not read.
        is_enough: Whether what is known is all that is needed; else events from before are read, some hundred at most.
        run_id: The run of the workflow that is asked for; the latest one where it is not given.
    """
    history = _LastEvents(unwritten)
    request = GetWorkflowExecutionHistoryReverseRequest(
        namespace=client.namespace,
        execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id or ""),
        maximum_page_size=_LAST_EVENTS,
    )
    is_complete = False
    with contextlib.suppress(RPCError, RuntimeError, TimeoutError):
        async with asyncio.timeout(_TIMEOUT.total_seconds()):
            for _ in range(_PAGES):
                answer = await client.workflow_service.get_workflow_execution_history_reverse(request, timeout=_TIMEOUT)
                await history.add(answer.history.events)
                is_complete = not answer.next_page_token or is_enough(history.steps)
                if is_complete:
                    break
                request.next_page_token, request.maximum_page_size = answer.next_page_token, _MORE_EVENTS
    return LatestSteps(history.steps, is_complete)


class _LastEvents:
    """What the last events of an execution say of its steps: it is given them from the last to the first."""

    def __init__(self, unwritten: Collection[UUID]) -> None:
        self.steps: dict[UUID, LatestStep] = {}
        self._unwritten = unwritten
        self._taken: dict[int, datetime] = {}
        self._ended: dict[int, tuple[Sequence[Payload], bool]] = {}
        self._given_up: set[int] = set()
        self._cancelling: set[int] = set()

    async def add(self, events: Iterable[HistoryEvent]) -> None:
        for event in events:
            if event.HasField("activity_task_completed_event_attributes"):
                completed = event.activity_task_completed_event_attributes
                self._ended[completed.scheduled_event_id] = (completed.result.payloads, False)
            elif event.HasField("activity_task_failed_event_attributes"):
                failed = event.activity_task_failed_event_attributes
                told = failed.failure.application_failure_info
                # One that a stop of its worker cut short may be taken up, whatever it told.
                if told.type != STEP_INTERRUPTED:
                    self._ended[failed.scheduled_event_id] = (told.details.payloads, not told.non_retryable)
            elif event.HasField("activity_task_canceled_event_attributes"):
                self._given_up.add(event.activity_task_canceled_event_attributes.scheduled_event_id)
            elif event.HasField("activity_task_timed_out_event_attributes"):
                self._given_up.add(event.activity_task_timed_out_event_attributes.scheduled_event_id)
            elif event.HasField("activity_task_cancel_requested_event_attributes"):
                self._cancelling.add(event.activity_task_cancel_requested_event_attributes.scheduled_event_id)
            elif event.HasField("activity_task_started_event_attributes"):
                scheduled = event.activity_task_started_event_attributes.scheduled_event_id
                self._taken[scheduled] = event.event_time.ToDatetime(UTC)
            elif event.HasField("activity_task_scheduled_event_attributes"):
                with contextlib.suppress(ValueError):
                    step_id = UUID(event.activity_task_scheduled_event_attributes.activity_id)
                    await self._begun(step_id, event.event_id)

    async def _begun(self, step_id: UUID, event_id: int) -> None:
        taken_at = self._taken.get(event_id)
        if later := self.steps.get(step_id):
            # One that was tried before has more to tell than how its last attempt ended.
            self.steps[step_id] = replace(later, taken_at=taken_at, outcome=None, may_follow=True)
            return
        payloads, may_follow = self._ended.get(event_id, ((), False))
        outcome = await _decoded(payloads, StepOutcome) if step_id in self._unwritten else None
        self.steps[step_id] = LatestStep(
            event_id,
            taken_at,
            outcome,
            may_follow,
            is_untaken=taken_at is None and event_id in self._given_up,
            is_cancelling=event_id in self._cancelling,
        )


def take_up(record: StepRecord, known: Known) -> None:
    """Lets the record of a step, which was read, say how it ended: that is about to be written."""
    latest = known.get(record.id)
    if latest is None or latest.outcome is None or record.status.is_terminal or record.attempt_history is not None:
        return
    if not (latest.may_follow and record.max_attempts > 1):
        note_outcome(record, latest.outcome)


async def count_pollers(client: Client, task_queue: str, kind: TaskQueueType.ValueType) -> int:
    """Returns how many workers ask for work of this kind at a task queue.

    Raises:
        RPCError: Temporal cannot say.
        RuntimeError: Temporal cannot be reached.
        TimeoutError: It takes too long to be reached.
    """
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=task_queue), task_queue_type=kind
    )
    async with asyncio.timeout(_TIMEOUT.total_seconds()):
        answer = await client.workflow_service.describe_task_queue(request, timeout=_TIMEOUT)
    recent = utc_now() - _POLL_TIMEOUT
    return len({poller.identity for poller in answer.pollers if poller.last_access_time.ToDatetime(UTC) > recent})


async def why_queued(
    client: Client,
    task_queue: str,
    worker_pool: str | None,
    since: datetime,
    kind: TaskQueueType.ValueType = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
) -> str | None:
    """Says what a step, or a workflow, waits for that no worker has taken for a while.

    Args:
        client: Asks Temporal.
        task_queue: Where the workflows wait, and the steps that name no pool.
        worker_pool: The pool that the step names; None for a workflow.
        since: When it began to wait.
        kind: What waits: an activity, or a workflow.

    Returns:
        A sentence; None where it is too early, or nobody knows.
    """
    waited = utc_now() - since
    if waited < _PATIENCE:
        return None
    seconds = int(waited.total_seconds())
    where = f"the pool {worker_pool!r}" if worker_pool else f"the task queue {task_queue!r}"
    try:
        workers = await count_pollers(client, step_task_queue(task_queue, worker_pool), kind)
    except (RPCError, RuntimeError, TimeoutError):
        return None
    if workers:
        return f"Waiting for {seconds} s: no worker of {where} is free, or the last one has just gone."
    start = f"rota worker --pool {worker_pool}" if worker_pool else "rota worker"
    return f"Waiting for {seconds} s: no worker serves {where}. Start one with `{start}`."


def _queued_since(pending: PendingActivityInfo) -> datetime | None:
    waits = _status(pending.state) is StepStatus.QUEUED and pending.attempt <= 1
    return pending.scheduled_time.ToDatetime(UTC) if waits else None


def _status(state: int) -> StepStatus:
    match state:
        case PendingActivityState.PENDING_ACTIVITY_STATE_STARTED:
            return StepStatus.PROCESSING
        case PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED:
            return StepStatus.CANCELLING
        case _:
            return StepStatus.QUEUED


async def _heartbeat(pending: PendingActivityInfo) -> StepHeartbeat | None:
    return await _decoded(pending.heartbeat_details.payloads, StepHeartbeat)


async def _decoded(payloads: Sequence[Payload], kind: type[Told]) -> Told | None:
    """Returns what a worker told; None where it told nothing, or what only another version or codec can read."""
    if not payloads:
        return None
    try:
        [told] = await data_converter.decode(list(payloads), [kind])
    except (LookupError, ValueError, RuntimeError):
        return None
    return told if isinstance(told, kind) else None
