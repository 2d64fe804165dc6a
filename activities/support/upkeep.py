"""The upkeep's activities: triggers as the catalogue says, and no record left open that nothing runs."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHistoryEventFilterType
from temporalio.service import RPCError, RPCStatusCode

from activities.support.continuity import clear_turns
from catalogue.columns import utc_now
from catalogue.engine import Catalogue
from catalogue.executions import (
    Execution,
    close_execution,
    held_back_workflow,
    list_active_executions,
    tally_ended,
)
from catalogue.schedules import get_schedule, list_cron_schedules
from catalogue.triggers import desired_trigger, lost_fire_time, next_run_time
from contracts.execution import ExecutionStatus, TriggerType
from contracts.names import KEEP_EXECUTIONS, KEEP_TRIGGERS, PROCEED
from contracts.upkeep import ExecutionsKept, TriggersKept
from runtime.temporal import register_search_attributes
from runtime.triggers import (
    CALL_TIMEOUT,
    apply_trigger,
    is_as_desired,
    make_up_for,
    remove_trigger,
    unknown_triggers,
)
from timetable import TimetableError

_logger = logging.getLogger(__name__)

_SETTLED: Final = timedelta(seconds=30)
"""What is younger may still be on its way: a record whose workflow is being started, a schedule not yet committed."""

_PAGE: Final = 200

_UNREACHED: Final = "Not started, or ended in the last seconds: the execution's workflow is gone and cannot tell."


_OF_ONE: Final = frozenset(
    {
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.FAILED_PRECONDITION,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.INVALID_ARGUMENT,
        RPCStatusCode.NOT_FOUND,
        RPCStatusCode.UNKNOWN,
    }
)
"""What the server may answer for one schedule or workflow while it serves the others."""


@contextmanager
def _by_itself(kept: TriggersKept | ExecutionsKept, what: str) -> Iterator[None]:
    """Keeps what is wrong with one from hindering the others; what hinders all of them ends the pass."""
    try:
        yield
    except (RPCError, TimetableError) as error:
        if isinstance(error, RPCError) and error.status not in _OF_ONE:
            raise
        kept.failed += 1
        _logger.error("%s cannot be looked after: %s", what, error)  # noqa: TRY400 - the place tells nothing more


class Upkeep:
    """Repairs what a hand in the Web UI, a wiped server or an outage has left between catalogue and Temporal."""

    def __init__(self, catalogue: Catalogue, client: Client, task_queue: str) -> None:
        """Compares this catalogue with this namespace, as far as it is this task queue's."""
        self._catalogue = catalogue
        self._client = client
        self._task_queue = task_queue

    @property
    def activities(self) -> list[Callable[..., Any]]:
        """What the worker registers."""
        return [self.keep_triggers, self.keep_executions]

    @activity.defn(name=KEEP_TRIGGERS)
    async def keep_triggers(self) -> TriggersKept:
        """Brings every Temporal Schedule to what the catalogue says, and takes away those that it does not know."""
        await register_search_attributes(self._client)
        kept = TriggersKept()
        known: set[UUID] = set()
        after: UUID | None = None
        while True:
            async with self._catalogue.read() as session:
                page = await list_cron_schedules(session, after=after, limit=_PAGE)
            for schedule in page:
                activity.heartbeat()
                known.add(schedule.id)
                kept.checked += 1
                with _by_itself(kept, f"schedule {schedule.id}"):
                    trigger = desired_trigger(schedule, utc_now())
                    stale = schedule.next_run_time != next_run_time(schedule, utc_now())
                    if stale or (trigger and not await is_as_desired(self._client, trigger, self._task_queue)):
                        await self._repair(schedule.id, kept)
            if len(page) < _PAGE:
                break
            after = page[-1].id
        async for schedule_id in unknown_triggers(self._client, self._task_queue, known, older_than=_SETTLED):
            activity.heartbeat()
            kept.removed += await self._remove_unknown(schedule_id)
        return kept

    async def _repair(self, schedule_id: UUID, kept: TriggersKept) -> None:
        """Repairs one schedule's trigger, its row locked: a change that is under way comes first."""
        async with self._catalogue.write() as session:
            schedule = await get_schedule(session, schedule_id, lock=True)
            now = utc_now()
            trigger = desired_trigger(schedule, now) if schedule else None
            if schedule is None or trigger is None:
                return
            lost = lost_fire_time(schedule, now)
            schedule.next_run_time = next_run_time(schedule, now)
            session.add(schedule)
            if await is_as_desired(self._client, trigger, self._task_queue):
                return
            await apply_trigger(self._client, trigger, self._task_queue)
            kept.repaired += 1
            _logger.warning("schedule %s: its Temporal Schedule was not as the catalogue says; repaired", schedule_id)
            if lost is not None:
                await make_up_for(self._client, trigger, lost)
                kept.made_up += 1
                _logger.warning("schedule %s: it did not fire for %s; made up for", schedule_id, lost)

    async def _remove_unknown(self, schedule_id: UUID) -> bool:
        async with self._catalogue.read() as session:
            schedule = await get_schedule(session, schedule_id)
        if schedule is not None and schedule.trigger_type is TriggerType.CRON:
            return False
        await remove_trigger(self._client, schedule_id)
        _logger.warning("schedule %s: no cron schedule of the catalogue; its Temporal Schedule is removed", schedule_id)
        return True

    @activity.defn(name=KEEP_EXECUTIONS)
    async def keep_executions(self) -> ExecutionsKept:
        """Closes the records of executions whose workflow was terminated, failed, timed out, or never was.

        Those that have ended are counted into the tally; the turns that their steps had left behind are ended.
        """
        kept = ExecutionsKept()
        active = await self._catalogue.read_short(list_active_executions)
        for execution in active:
            activity.heartbeat()
            kept.checked += 1
            with _by_itself(kept, f"execution {execution.id}"):
                fate = await self._fate(execution)
                if fate is not None:
                    kept.closed += await self._close(execution, *fate)
        while tallied := await self._tally():
            activity.heartbeat()
            kept.tallied += tallied
        kept.turns_ended = await clear_turns(self._client, older_than=_SETTLED)
        return kept

    async def _tally(self) -> int:
        async with self._catalogue.write() as session:
            return await tally_ended(session)

    async def _fate(self, execution: Execution) -> tuple[ExecutionStatus, str] | None:
        """Returns how a record must be closed; None for one whose workflow runs."""
        handle = self._client.get_workflow_handle(execution.workflow_id)
        try:
            description = await handle.describe(rpc_timeout=CALL_TIMEOUT)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            if utc_now() - execution.queued_at < _SETTLED:
                return None
            return ExecutionStatus.FAILED, "Its workflow was never started, or the Temporal server knows it no more."
        match description.status:
            case WorkflowExecutionStatus.RUNNING | WorkflowExecutionStatus.CONTINUED_AS_NEW:
                return None
            case WorkflowExecutionStatus.TERMINATED:
                return ExecutionStatus.CANCELLED, await self._termination(execution.workflow_id)
            case WorkflowExecutionStatus.CANCELED:
                return ExecutionStatus.CANCELLED, "Its workflow was cancelled."
            case WorkflowExecutionStatus.TIMED_OUT:
                return ExecutionStatus.FAILED, "Its workflow timed out."
            case _:
                return ExecutionStatus.FAILED, "Its workflow ended without closing the record."

    async def _termination(self, workflow_id: str) -> str:
        """Returns a sentence that says who terminated a workflow, and why."""
        events = self._client.get_workflow_handle(workflow_id).fetch_history_events(
            event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT,
        )
        async for event in events:
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
                details = event.workflow_execution_terminated_event_attributes
                said = f": {details.reason}" if details.reason else "."
                return f"Its workflow was terminated by {details.identity or 'an unknown client'}{said}"
        return "Its workflow was terminated."

    async def _close(self, execution: Execution, status: ExecutionStatus, message: str) -> bool:
        def close(connection: Connection) -> tuple[bool, str | None]:
            closed = close_execution(connection, execution.id, status, message, unreached_message=_UNREACHED)
            return closed, held_back_workflow(connection, execution.schedule_id)

        closed, waiting = await self._catalogue.write_short(close)
        if not closed:
            return False
        _logger.warning("execution %s of schedule %s closed: %s", execution.id, execution.schedule_id, message)
        if waiting is not None:
            try:
                await self._client.get_workflow_handle(waiting).signal(PROCEED, rpc_timeout=CALL_TIMEOUT)
            except RPCError as error:
                # Gone too: its own record is closed next.
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
        return True
