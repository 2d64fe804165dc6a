"""Temporal Schedules that fire the executions of cron schedules."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from contracts.calendars import CalendarSet
from contracts.execution import ExecutionRequest, TriggerType
from contracts.ids import cron_workflow_id, trigger_id
from contracts.names import (
    SCHEDULE_EXECUTION,
    SEARCH_EXECUTION_ID,
    SEARCH_SCHEDULE_ID,
    SEARCH_SCHEDULE_NAME,
    SEARCH_TRIGGER,
)
from runtime.schedule_spec import schedule_spec

CALL_TIMEOUT: Final = timedelta(seconds=5)
"""Limit of one call to Temporal made while a client waits."""


@dataclass(frozen=True)
class Trigger:
    """What a Temporal Schedule shall be."""

    schedule_id: UUID
    schedule_name: str
    is_enabled: bool
    calendars: CalendarSet
    catch_up_window: timedelta


def search_attributes(
    *,
    schedule_id: UUID,
    schedule_name: str,
    trigger: TriggerType,
    execution_id: UUID | None = None,
) -> TypedSearchAttributes:
    """Returns the search attributes with which an execution's workflow starts."""
    pairs = [
        SearchAttributePair(SearchAttributeKey.for_keyword(SEARCH_SCHEDULE_ID), str(schedule_id)),
        SearchAttributePair(SearchAttributeKey.for_keyword(SEARCH_SCHEDULE_NAME), schedule_name),
        SearchAttributePair(SearchAttributeKey.for_keyword(SEARCH_TRIGGER), str(trigger)),
    ]
    if execution_id is not None:
        pairs.append(SearchAttributePair(SearchAttributeKey.for_keyword(SEARCH_EXECUTION_ID), str(execution_id)))
    return TypedSearchAttributes(pairs)


def _schedule(trigger: Trigger, task_queue: str) -> Schedule:
    action = ScheduleActionStartWorkflow(
        SCHEDULE_EXECUTION,
        ExecutionRequest(
            schedule_id=trigger.schedule_id,
            schedule_name=trigger.schedule_name,
            trigger=TriggerType.CRON,
        ),
        id=cron_workflow_id(trigger.schedule_name, trigger.schedule_id),
        task_queue=task_queue,
        static_summary=trigger.schedule_name,
        typed_search_attributes=search_attributes(
            schedule_id=trigger.schedule_id,
            schedule_name=trigger.schedule_name,
            trigger=TriggerType.CRON,
        ),
    )
    return Schedule(
        action=action,
        spec=schedule_spec(trigger.calendars),
        # Temporal's own overlap policies do not see manual runs: the workflow decides, where it opens its record.
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL, catchup_window=trigger.catch_up_window),
        state=ScheduleState(
            paused=not trigger.is_enabled,
            note=f"{trigger.schedule_name}: {'enabled' if trigger.is_enabled else 'disabled'} in Rota, which keeps "
            "this schedule as its catalogue says. Change it there.",
        ),
    )


async def apply_trigger(client: Client, trigger: Trigger, task_queue: str) -> None:
    """Creates or replaces the Temporal Schedule of a cron schedule.

    Raises:
        temporalio.service.RPCError: Temporal cannot be reached.
    """
    schedule = _schedule(trigger, task_queue)
    try:
        await client.create_schedule(trigger_id(trigger.schedule_id), schedule, rpc_timeout=CALL_TIMEOUT)
    except ScheduleAlreadyRunningError:

        def replaced(_: ScheduleUpdateInput) -> ScheduleUpdate:
            return ScheduleUpdate(schedule)

        handle = client.get_schedule_handle(trigger_id(trigger.schedule_id))
        await handle.update(replaced, rpc_timeout=CALL_TIMEOUT)


async def remove_trigger(client: Client, schedule_id: UUID) -> None:
    """Removes the Temporal Schedule of a schedule, if there is one.

    Raises:
        temporalio.service.RPCError: Temporal cannot be reached.
    """
    try:
        await client.get_schedule_handle(trigger_id(schedule_id)).delete(rpc_timeout=CALL_TIMEOUT)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
