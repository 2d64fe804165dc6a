"""One execution in detail: what its records say, and what Temporal knows beyond them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection
from temporalio.api.enums.v1 import TaskQueueType

from api.context import Context
from api.errors import NotFound
from api.models.executions import (
    ExecutionDetailOut,
    ExecutionOut,
    ExecutionStepOut,
    Progress,
    ProgressStep,
    StepAttemptOut,
)
from api.services.live import (
    Known,
    LatestSteps,
    LiveExecution,
    LiveStep,
    live_execution,
    steps_begun_last,
    take_up,
    why_queued,
)
from catalogue.columns import utc_now
from catalogue.executions import (
    Execution,
    StepRecord,
    get_step_records,
    has_active_execution,
    is_held_back,
    read_execution,
)
from contracts.execution import (
    MAX_STEPS_IN_FLIGHT,
    ExecutionStatus,
    StepAttempt,
    StepProgress,
    StepStatus,
)

_CLOCKS_APART: Final = timedelta(minutes=1)
"""The clocks of Temporal and of the API differ by less."""

_NOT_BEGUN: Final = frozenset({StepStatus.PENDING, StepStatus.WAITING})


def found_execution(execution: Execution | None, execution_id: UUID) -> Execution:
    """Returns an execution that was looked for.

    Raises:
        NotFound: There is none.
    """
    if execution is None:
        raise NotFound(f"Schedule execution not found: {execution_id}")
    return execution


def execution_fields(execution: Execution) -> ExecutionOut:
    """Returns what lists show of an execution."""
    return ExecutionOut(
        **execution.model_dump(include=set(ExecutionOut.model_fields) - {"total_steps"}),
        current_step_index=execution.current_group,
        total_steps=execution.total_groups,
    )


@dataclass(frozen=True)
class _Sight:
    """An execution as its records tell of it, and what Temporal knows beyond them."""

    execution: Execution
    records: Sequence[StepRecord]
    read_at: datetime
    """When the records were read."""
    running: LiveExecution | None = None
    """None where it has ended, or Temporal cannot say."""
    latest: LatestSteps | None = None
    """None where there was no need to ask."""

    @property
    def live(self) -> Mapping[UUID, LiveStep]:
        return self.running.steps if self.running else {}

    @property
    def known(self) -> Known:
        return self.latest.known if self.latest else {}

    @property
    def is_whole(self) -> bool:
        """Whether all is known of the steps that were handed out; else the workflow has just continued as new."""
        if self.latest is None or self.running is None or not (self.running.is_continued and self.latest.is_complete):
            return True
        is_old = self.running.began_at < self.read_at - _CLOCKS_APART
        return is_old or _are_found(self.records, self.live, self.known)


async def _look(context: Context, execution_id: UUID) -> _Sight:
    """Reads the records of an execution, and then asks Temporal what runs and, where that matters, what ended last."""

    def read(connection: Connection) -> tuple[Execution, Sequence[StepRecord]]:
        execution = found_execution(read_execution(connection, execution_id), execution_id)
        return execution, get_step_records(connection, execution_id)

    read_at = utc_now()
    execution, records = await context.catalogue.read_short(read)
    running = None
    if not execution.status.is_terminal:
        running = await live_execution(context.temporal, execution.workflow_id)
    if running is None:  # a Temporal that cannot say is not waited for twice
        return _Sight(execution, records, read_at)
    # Between two steps, in the pause before another attempt, or while no worker is there.
    idle = not running.steps and execution.status is ExecutionStatus.IN_PROGRESS
    if not idle and not (running.steps and _has_unwritten(records, running.steps)):
        return _Sight(execution, records, read_at, running)
    latest = await steps_begun_last(
        context.temporal,
        execution.workflow_id,
        {record.id for record in records if not record.status.is_terminal},
        partial(_are_found, records, running.steps),
        run_id=running.run_id,
    )
    return _Sight(execution, records, read_at, running, latest)


async def show_execution(context: Context, execution_id: UUID) -> ExecutionDetailOut:
    """Returns an execution with its steps; what runs right now is asked of Temporal."""
    sight = await _look(context, execution_id)
    if not sight.is_whole:
        # It has continued since its records were read: a run writes all that it knows before it does.
        sight = await _look(context, execution_id)
    execution, records, live = sight.execution, sight.records, sight.live
    for record in records:
        take_up(record, sight.known)
    awaited = await _what_it_waits_for(context, execution, sight.running) if sight.running else None
    waiting = await _waiting(context, records, sight.running) if sight.running else {}
    # What has ended says so itself: steps that it never reached are Cancelled.
    begun = 0 if execution.status.is_terminal else _count_begun(records, {*live, *sight.known})
    current = max(execution.current_group, records[begun - 1].group if begun else 0)
    steps = [
        _step(
            record,
            live.get(record.id),
            waiting.get(record.worker_pool),
            sight,
            has_begun=record.position < begun,
        )
        for record in records
    ]
    return ExecutionDetailOut(
        **execution_fields(execution).model_dump()
        | {"current_step_index": current, "error_message": execution.error_message or awaited},
        steps=steps,
        progress=_progress(current, records, steps),
    )


def _are_found(records: Sequence[StepRecord], live: Mapping[UUID, LiveStep], known: Known) -> bool:
    """Whether a step is known that was handed out, and of all that were before it how they stand."""
    handed_out = records[: _count_handed_out(records, {*live, *known})]
    return bool(handed_out) and all(
        record.id in known
        or record.id in live
        or record.status.is_terminal
        # What the history says of one that was tried before, its record says better.
        or record.attempt_history is not None
        for record in handed_out
    )


async def _what_it_waits_for(context: Context, execution: Execution, running: LiveExecution) -> str | None:
    """Says what an execution waits for that no worker takes up; None where it is too early, or nobody knows."""
    is_another_active = partial(has_active_execution, schedule_id=execution.schedule_id, but=execution.id)
    if is_held_back(execution) and await context.catalogue.read_short(is_another_active):
        return "Waiting until the execution before has ended."
    if running.waits_since is None:
        return None
    workflows = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
    return await why_queued(context.temporal, running.task_queue, None, running.waits_since, workflows)


def _has_unwritten(records: Sequence[StepRecord], live: Mapping[UUID, LiveStep]) -> bool:
    """Whether a step has begun, and neither runs nor has written when it was taken: it ended a moment ago."""
    begun = records[: _count_begun(records, live)]
    return any(
        record.started_at is None and not record.status.is_terminal and record.id not in live for record in begun
    )


def _count_begun(records: Sequence[StepRecord], known: Collection[UUID]) -> int:
    """Returns how many steps have begun, by their records and by those of which Temporal knows it."""
    return _count_handed_out(records, {*known, *(record.id for record in records if record.status not in _NOT_BEGUN)})


def _count_handed_out(records: Sequence[StepRecord], known: Collection[UUID]) -> int:
    """Returns how many steps were handed out, given some of them.

    A record follows the execution by some seconds at most. Steps begin in the order of the plan, and those of a group at once
    where they are no more than may be in flight.
    """
    for record in reversed(records):
        if record.id in known:
            members = [other.position for other in records if other.group == record.group]
            return (members[-1] if len(members) <= MAX_STEPS_IN_FLIGHT else record.position) + 1
    return 0


async def _waiting(
    context: Context, records: Sequence[StepRecord], running: LiveExecution
) -> dict[str | None, str | None]:
    """Says, by worker pool, why steps wait for a worker: of each pool the step that has waited longest is asked for."""
    since: dict[str | None, datetime] = {}
    for record in records:
        step = running.steps.get(record.id)
        if step is not None and step.queued_since is not None:
            pool = record.worker_pool
            since[pool] = min(step.queued_since, since.get(pool, step.queued_since))
    return {
        pool: await why_queued(context.temporal, running.task_queue, pool, queued) for pool, queued in since.items()
    }


def _step(
    record: StepRecord,
    live: LiveStep | None,
    waiting: str | None,
    sight: _Sight,
    *,
    has_begun: bool,
) -> ExecutionStepOut:
    status, started_at, progress = record.status, record.started_at, _stored_progress(record)
    attempts, host, message = record.attempts, record.host, record.error_message
    activity_id = record.activity_id
    if live is not None and not status.is_terminal:
        status = live.status
        # One that waits for a worker has not been taken up.
        attempts = record.attempts + live.attempt - (status is StepStatus.QUEUED)
        started_at = started_at or live.started_at
        message = live.last_failure or (waiting if live.queued_since else None) or message
        if live.heartbeat is not None:
            host, progress, activity_id = live.heartbeat.host, live.heartbeat.progress, live.heartbeat.activity_id
    elif has_begun and not status.is_terminal:
        latest = sight.known.get(record.id)
        started_at = started_at or (latest.taken_at if latest else None)
        is_taken = started_at is not None or not _is_untaken(record, sight)
        if latest and latest.is_cancelling:
            status = StepStatus.CANCELLING
        elif not is_taken:
            status = StepStatus.QUEUED
        elif status is not StepStatus.QUEUED:
            status = StepStatus.PROCESSING
        # Another attempt of one that is Queued by its record is not known of.
        attempts += is_taken and record.status is not StepStatus.QUEUED
    system, profile = record.resolved.get("system") or {}, record.resolved.get("profile") or {}
    return ExecutionStepOut(
        id=record.id,
        step_index=record.step_index,
        name=record.display_name,
        step_type=record.step_type,
        execution_mode=record.execution_mode,
        connected_system_id=record.config.get("connected_system_id"),
        connected_system_name=system.get("name"),
        run_profile_id=record.config.get("run_profile_id"),
        run_profile_name=profile.get("name"),
        status=status,
        task_id=None if status.is_terminal else record.id,
        started_at=started_at,
        completed_at=record.completed_at,
        error_message=message,
        activity_id=activity_id or str(record.id),
        activity_status=record.activity_status or _ACTIVITY_STATUS.get(status, "InProgress"),
        continue_on_failure=record.continue_on_failure,
        output_tail=record.output_tail or None,
        exit_code=record.exit_code,
        attempts=attempts,
        attempt_history=_attempt_history(record),
        host=host,
        processes_ended=record.processes_ended,
        progress=progress,
    )


def _is_untaken(record: StepRecord, sight: _Sight) -> bool:
    """Whether a step that has begun by its record or its group, and does not run, has never run.

    It was handed out, or will be, after Temporal was asked what runs; or its end came first. What has ended well is no
    longer pending, and may yet have no end in the history: that waits for a workflow task.
    """
    if sight.running is None or sight.latest is None:
        return False
    if latest := sight.known.get(record.id):
        return latest.is_untaken or latest.event_id > sight.running.history_length
    handed_out = _count_handed_out(sight.records, {*sight.live, *sight.known})
    return record.position >= handed_out if handed_out else sight.latest.is_complete


def _attempt_history(record: StepRecord) -> list[StepAttemptOut]:
    """Returns the attempts that have ended; a record that has no list of them tells of the only one itself."""
    if record.attempt_history is not None:
        attempts = [StepAttempt.model_validate(attempt) for attempt in record.attempt_history]
        return [
            StepAttemptOut(error_message=attempt.message, **attempt.model_dump(exclude={"message"}))
            for attempt in attempts
        ]
    if not record.attempts or not record.status.is_terminal:
        return []
    return [
        StepAttemptOut(
            number=record.attempts,
            is_counted=True,
            status=record.status,
            started_at=record.started_at,
            completed_at=record.completed_at,
            host=record.host,
            exit_code=record.exit_code,
            error_message=record.error_message,
        ),
    ]


def _stored_progress(record: StepRecord) -> StepProgress | None:
    return StepProgress.model_validate(record.progress) if record.progress else None


_ACTIVITY_STATUS: Final[Mapping[StepStatus, str]] = {
    StepStatus.COMPLETED: "Complete",
    StepStatus.COMPLETED_WITH_WARNING: "CompleteWithWarning",
    StepStatus.COMPLETED_WITH_ERROR: "CompleteWithError",
    StepStatus.FAILED: "FailedWithError",
    StepStatus.CANCELLED: "Cancelled",
}
"""JIM's words for the state of an activity; what has not ended is `InProgress` there."""


_TASK_ORDER: Final = (
    StepStatus.FAILED,
    StepStatus.COMPLETED_WITH_ERROR,
    StepStatus.CANCELLED,
    StepStatus.CANCELLING,
    StepStatus.COMPLETED_WITH_WARNING,
    StepStatus.COMPLETED,
    StepStatus.PROCESSING,
    StepStatus.QUEUED,
    StepStatus.WAITING,
    StepStatus.PENDING,
)
"""The order in which a group shows the states of its steps."""


def _status_name(status: StepStatus) -> str:
    return status.value.replace(" with ", "With")


def _group_status(statuses: Sequence[StepStatus]) -> StepStatus:
    """Returns the state of a group: the worst that happened, then what still happens."""
    present = set(statuses)
    for status in (
        StepStatus.FAILED,
        StepStatus.COMPLETED_WITH_ERROR,
        StepStatus.CANCELLING,
        StepStatus.PROCESSING,
        StepStatus.CANCELLED,
    ):
        if status in present:
            return status
    complete = {StepStatus.COMPLETED, StepStatus.COMPLETED_WITH_WARNING}
    if present <= complete:
        with_warning = StepStatus.COMPLETED_WITH_WARNING in present
        return StepStatus.COMPLETED_WITH_WARNING if with_warning else StepStatus.COMPLETED
    if present & complete:
        return StepStatus.PROCESSING
    return min(present, key=_TASK_ORDER.index)


def _progress(current: int, records: Sequence[StepRecord], steps: Sequence[ExecutionStepOut]) -> Progress:
    groups: list[ProgressStep] = []
    members: Any
    for group, members in groupby(zip(records, steps, strict=True), key=lambda pair: pair[0].group):
        shown = [step for _, step in members]
        statuses = [step.status for step in shown]
        groups.append(
            ProgressStep(
                step_index=group,
                name=shown[0].name if len(shown) == 1 else f"{len(shown)} in parallel",
                status=_status_name(_group_status(statuses)),
                task_statuses=[_status_name(status) for status in sorted(statuses, key=_TASK_ORDER.index)],
                is_parallel=len(shown) > 1,
            ),
        )
    return Progress(
        current_step_number=current + 1 if groups else None,
        total_steps=len(groups),
        steps=groups,
    )
