"""Executions: started, shown with what runs right now, cancelled."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import Connection
from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from activities.support.snapshot import prepare_steps
from api.context import Context
from api.errors import Conflict, NotFound, ServiceUnavailable, ValidationFailed
from api.models.base import Page
from api.models.executions import (
    ExecutionOut,
)
from api.models.schedules import RunStarted
from api.services.detail import execution_fields, found_execution
from api.services.live import (
    live_execution,
)
from api.services.schedules import found_schedule
from catalogue.api_keys import ApiKey
from catalogue.connected_systems import CatalogueLookup
from catalogue.execution_lists import list_executions
from catalogue.executions import (
    Execution,
    Initiator,
    InitiatorType,
    Retry,
    close_execution,
    get_execution,
    groups_of,
    list_active_executions,
    list_retries,
    open_execution,
    take_snapshot,
    take_up_execution,
    withdraw_execution,
)
from catalogue.schedules import Schedule, ScheduleStep, get_schedule, get_steps, read_schedule
from contracts.execution import (
    Carried,
    ExecutionRequest,
    ExecutionStatus,
    TriggerType,
)
from contracts.ids import SUMMARY_BYTES, manual_workflow_id, shortened
from contracts.names import PAUSE, RESUME, SCHEDULE_EXECUTION
from runtime.temporal import is_temporal_away
from runtime.triggers import CALL_TIMEOUT, search_attributes

_logger = logging.getLogger(__name__)

CANCEL_WAIT_SECONDS: Final = 10
"""How long a cancel waits for the processes to be gone."""


_SIGNAL_LOOKS: Final = 10
_SIGNAL_PAUSE_SECONDS: Final = 0.05
"""What a worker can do at once is seen within half a second; the answer to a pause or resume waits no longer."""

_RETRIABLE: Final = frozenset({ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})

_CANCELLED_BY_USER: Final = "Cancelled by user"


async def run_schedule(context: Context, schedule_id: UUID, caller: ApiKey) -> RunStarted:
    """Starts an execution of a schedule, whether it is enabled or active or not."""
    execution_id = uuid4()

    def read(connection: Connection) -> tuple[Schedule, Sequence[ScheduleStep]]:
        return found_schedule(read_schedule(connection, schedule_id), schedule_id), get_steps(connection, schedule_id)

    schedule, steps = await context.catalogue.read_short(read)
    if not steps:
        raise ValidationFailed("Cannot run a schedule with no steps")
    async with context.catalogue.read() as session:
        # Most step types look up nothing: then this goes without a connection.
        snapshot = await take_snapshot(steps, execution_id, prepare_steps(CatalogueLookup(session)))
    opening = partial(
        open_execution,
        schedule=schedule,
        snapshot=snapshot,
        execution_id=execution_id,
        trigger=TriggerType.MANUAL,
        initiator=Initiator(InitiatorType.API_KEY, str(caller.id), caller.name),
        workflow_id=manual_workflow_id(schedule.name, execution_id),
    )
    execution = await context.catalogue.write_short(opening)
    if execution is None:
        raise NotFound(f"Schedule not found: {schedule_id}")
    await _start(context, execution, None)
    return RunStarted(execution_id=execution_id, message=f"Schedule '{schedule.name}' started successfully")


async def _start(context: Context, execution: Execution, carried: Carried | None) -> None:
    """Starts the workflow of an execution whose record is written, or takes the record back.

    Raises:
        ServiceUnavailable: It could not be started; nothing of it is left.
    """
    name = execution.schedule_name
    try:
        await context.temporal.start_workflow(
            SCHEDULE_EXECUTION,
            ExecutionRequest(
                schedule_id=execution.schedule_id,
                schedule_name=name,
                trigger=TriggerType.MANUAL,
                execution_id=execution.id,
                carried=carried,
            ),
            id=execution.workflow_id,
            task_queue=context.task_queue,
            static_summary=shortened(name, SUMMARY_BYTES),
            search_attributes=search_attributes(
                schedule_id=execution.schedule_id,
                schedule_name=name,
                trigger=TriggerType.MANUAL,
                execution_id=execution.id,
            ),
            rpc_timeout=CALL_TIMEOUT,
        )
    except (RPCError, RuntimeError) as error:
        _logger.warning("schedule %s could not be started: %s", execution.schedule_id, error)
        # The answer alone may have been lost: what a worker has begun by now is a run like any other. Should one begin
        # later, it finds the record withdrawn and runs nothing.
        async with context.catalogue.write() as session:
            withdrawn = await withdraw_execution(session, execution.id)
        if withdrawn:
            why = "cannot be reached" if is_temporal_away(error) else f"refuses the start ({error})"
            raise ServiceUnavailable(f"Temporal {why}; the schedule was not started.") from None


async def retry_execution(context: Context, execution_id: UUID, caller: ApiKey) -> RunStarted:
    """Starts an execution that takes up a failed or cancelled one where it had stopped.

    It runs the other's snapshot, not the schedule as it is today; groups that had completed keep their outcomes.

    Raises:
        Conflict: A retry of the same run is active or has completed: steps would run beside it, or once more.
    """
    retry_id = uuid4()
    async with context.catalogue.write() as session:
        before = await _find_execution(session, execution_id)
        if before.status not in _RETRIABLE:
            raise ValidationFailed(f"Cannot retry execution with status: {before.status}")
        if await get_schedule(session, before.schedule_id, lock=True) is None:
            raise ValidationFailed("Cannot retry an execution whose schedule was deleted")
        if not before.total_steps:
            raise ValidationFailed("Cannot retry an execution with no steps")
        _check_not_taken_up(before, await list_retries(session, before))
        execution, taken_up = await take_up_execution(
            session,
            before,
            execution_id=retry_id,
            initiator=Initiator(InitiatorType.API_KEY, str(caller.id), caller.name),
            workflow_id=manual_workflow_id(before.schedule_name, retry_id),
        )
    await _start(
        context,
        execution,
        Carried(
            position=taken_up.position,
            # The group before: the execution stands between two groups.
            group=taken_up.group - 1,
            total_steps=execution.total_steps,
            total_groups=execution.total_groups,
            had_failures=taken_up.had_failures,
        ),
    )
    reused = f"{taken_up.group} of {execution.total_groups} step groups are reused from execution {before.id}"
    return RunStarted(execution_id=retry_id, message=f"Schedule '{execution.schedule_name}' goes on: {reused}")


def _check_not_taken_up(before: Execution, retries: Sequence[Retry]) -> None:
    for retry in retries:
        if retry.status not in _RETRIABLE:
            raise Conflict(f"Cannot retry execution: its retry {retry.id} has the status {retry.status}")
    taken_up = {retry.retry_of for retry in retries}
    if before.id in taken_up:
        latest = next(retry.id for retry in reversed(retries) if retry.id not in taken_up)
        raise Conflict(f"Cannot retry execution: its retry {latest} has taken it up; retry that one")


async def _find_execution(session: AsyncSession, execution_id: UUID) -> Execution:
    return found_execution(await get_execution(session, execution_id), execution_id)


def _check_not_ended(execution: Execution, verb: str) -> None:
    if execution.status.is_terminal:
        raise ValidationFailed(f"Cannot {verb} execution with status: {execution.status}")


async def _is_in_last_group(context: Context, execution: Execution) -> bool:
    """Whether the last step group runs, or has run: nothing comes before which a pause could hold."""
    running = await live_execution(context.temporal, execution.workflow_id)
    steps = list(running.steps) if running else []
    groups = await context.catalogue.read_short(partial(groups_of, record_ids=steps)) if steps else []
    current = max([execution.current_group, *groups])
    return execution.status is ExecutionStatus.IN_PROGRESS and current + 1 >= execution.total_groups


async def cancel_execution(context: Context, execution_id: UUID) -> tuple[ExecutionOut, bool]:
    """Cancels an execution and waits until it is gone.

    Returns:
        The execution, and whether it has ended: a worker may need longer than the wait.
    """
    async with context.catalogue.write() as session:
        execution = await _find_execution(session, execution_id)
        _check_not_ended(execution, "cancel")
        # One that no worker has begun is closed here: its workflow, should it begin now, finds the record closed.
        unbegun = await (await session.connection()).run_sync(
            close_execution,
            execution_id,
            ExecutionStatus.CANCELLED,
            _CANCELLED_BY_USER,
            unreached_message="Not started: the execution was cancelled.",
            only_from=frozenset({ExecutionStatus.QUEUED}),
        )
    handle = context.temporal.get_workflow_handle(execution.workflow_id)
    try:
        if unbegun:
            await handle.terminate(reason="Cancelled before a worker had begun it", rpc_timeout=CALL_TIMEOUT)
        else:
            await handle.cancel(rpc_timeout=CALL_TIMEOUT)
            async with asyncio.timeout(CANCEL_WAIT_SECONDS):
                await handle.result()
    except (TimeoutError, WorkflowFailureError):
        pass
    except RPCError as error:
        # Gone, or never there: the record says how it stands, and the upkeep sets right what nothing runs any more.
        if error.status is not RPCStatusCode.NOT_FOUND and not unbegun:
            raise
    async with context.catalogue.read() as session:
        execution = await _find_execution(session, execution_id)
    return execution_fields(execution), execution.status.is_terminal


async def pause_execution(context: Context, execution_id: UUID) -> tuple[ExecutionOut, bool]:
    """Holds an execution when the step group that runs has ended.

    Returns:
        The execution, and whether it is held already.

    Raises:
        Conflict: Its last step group runs: there is nothing left before which it could be held.
    """
    return await _signal(context, execution_id, PAUSE, "pause", lambda status: status is ExecutionStatus.PAUSED)


async def resume_execution(context: Context, execution_id: UUID) -> tuple[ExecutionOut, bool]:
    """Lets a held execution go on, or takes back a pause that it has not reached.

    Returns:
        The execution, and whether it goes on already.
    """
    return await _signal(context, execution_id, RESUME, "resume", lambda status: status is not ExecutionStatus.PAUSED)


async def _signal(
    context: Context,
    execution_id: UUID,
    signal: str,
    verb: str,
    done: Callable[[ExecutionStatus], bool],
) -> tuple[ExecutionOut, bool]:
    """Signals an execution's workflow and gives it a moment to carry it out."""
    async with context.catalogue.read() as session:
        execution = await _find_execution(session, execution_id)
    _check_not_ended(execution, verb)
    if signal == PAUSE and await _is_in_last_group(context, execution):
        raise Conflict("Cannot pause execution: its last step group runs, and a pause holds before the next; cancel it")
    handle = context.temporal.get_workflow_handle(execution.workflow_id)
    try:
        await handle.signal(signal, rpc_timeout=CALL_TIMEOUT)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        # It may have ended just now: its record is closed first.
        async with context.catalogue.read() as session:
            _check_not_ended(await _find_execution(session, execution_id), verb)
        raise Conflict(
            f"Cannot {verb} the execution: nothing runs it any more, its record is about to be closed."
        ) from None
    for _ in range(_SIGNAL_LOOKS):
        async with context.catalogue.read() as session:
            execution = await _find_execution(session, execution_id)
        if execution.status.is_terminal or done(execution.status):
            break
        await asyncio.sleep(_SIGNAL_PAUSE_SECONDS)  # a worker carries it out, and writes it to the record
    return execution_fields(execution), done(execution.status)


async def show_executions(
    context: Context,
    *,
    schedule_id: UUID | None,
    statuses: Sequence[ExecutionStatus],
    sort_by: str | None,
    descending: bool,
    page: int,
    page_size: int,
) -> Page[ExecutionOut]:
    """Returns one page of the executions."""
    read = partial(
        list_executions,
        schedule_id=schedule_id,
        statuses=statuses,
        sort_by=sort_by,
        descending=descending,
        offset=(page - 1) * page_size,
        limit=page_size,
    )
    executions, total = await context.catalogue.read_short(read)
    return Page[ExecutionOut].of([execution_fields(execution) for execution in executions], total, page, page_size)


async def show_active_executions(context: Context) -> list[ExecutionOut]:
    """Returns every execution that has not ended, oldest first."""
    return [execution_fields(execution) for execution in await context.catalogue.read_short(list_active_executions)]
