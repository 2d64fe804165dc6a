"""Temporal Schedules that fire the executions of cron schedules."""

from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from temporalio.client import (
    Client,
    Schedule,
    ScheduleAction,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleBackfill,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from contracts.calendars import CalendarSet
from contracts.execution import ExecutionRequest, TriggerType
from contracts.ids import (
    SEARCH_ATTRIBUTE_BYTES,
    SUMMARY_BYTES,
    cron_workflow_id,
    schedule_of_trigger,
    shortened,
    trigger_id,
    upkeep_id,
)
from contracts.names import (
    SCHEDULE_EXECUTION,
    SEARCH_EXECUTION_ID,
    SEARCH_SCHEDULE_ID,
    SEARCH_SCHEDULE_NAME,
    SEARCH_TRIGGER,
    UPKEEP,
)
from runtime.schedule_spec import schedule_spec

CALL_TIMEOUT: Final = timedelta(seconds=5)
"""Limit of one call to Temporal made while a client waits."""


_UPKEEP_LIMIT: Final = timedelta(hours=1)
"""A pass over very many schedules takes its time; one that hangs must not keep the next from starting for ever."""

_SHORTEST_CATCH_UP: Final = timedelta(seconds=10)


@dataclass(frozen=True)
class Trigger:
    """What a Temporal Schedule shall be."""

    schedule_id: UUID
    schedule_name: str
    is_enabled: bool
    calendars: CalendarSet
    catch_up_window: timedelta
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter: timedelta = timedelta(0)


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
        SearchAttributePair(
            SearchAttributeKey.for_keyword(SEARCH_SCHEDULE_NAME),
            shortened(schedule_name, SEARCH_ATTRIBUTE_BYTES),
        ),
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
        static_summary=shortened(trigger.schedule_name, SUMMARY_BYTES),
        typed_search_attributes=search_attributes(
            schedule_id=trigger.schedule_id,
            schedule_name=trigger.schedule_name,
            trigger=TriggerType.CRON,
        ),
    )
    return Schedule(
        action=action,
        spec=schedule_spec(
            trigger.calendars,
            start_at=trigger.start_at,
            end_at=trigger.end_at,
            jitter=trigger.jitter or None,
        ),
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


async def make_up_for(client: Client, trigger: Trigger, fire_time: datetime) -> None:
    """Lets a Temporal Schedule fire for a time in the past; nothing happens where the workflow of that fire still runs.

    Raises:
        temporalio.service.RPCError: Temporal cannot be reached.
    """
    # The range is of times with their jitter.
    backfill = ScheduleBackfill(fire_time, fire_time + trigger.jitter, ScheduleOverlapPolicy.ALLOW_ALL)
    await client.get_schedule_handle(trigger_id(trigger.schedule_id)).backfill(backfill, rpc_timeout=CALL_TIMEOUT)


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


async def is_as_desired(client: Client, trigger: Trigger, task_queue: str) -> bool:
    """Whether the Temporal Schedule of a cron schedule is there and fires as it should.

    Raises:
        temporalio.service.RPCError: Temporal cannot be reached.
    """
    try:
        found = await client.get_schedule_handle(trigger_id(trigger.schedule_id)).describe(rpc_timeout=CALL_TIMEOUT)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return False
        raise
    desired = _schedule(trigger, task_queue)
    return _essence(found.schedule) == _essence(desired) and await _has_same_input(client, found.schedule, desired)


async def _has_same_input(client: Client, found: Schedule, desired: Schedule) -> bool:
    """Whether a schedule as the server has it starts its workflow with the same input as another that was made here."""
    actions = (found.action, desired.action)
    there, here = (action.args if isinstance(action, ScheduleActionStartWorkflow) else () for action in actions)
    try:
        # Read, not compared as it is written: another version writes the same in another way.
        return await client.data_converter.decode(list(there), [ExecutionRequest] * len(there)) == list(here)
    except (ValueError, KeyError, RuntimeError):  # what somebody else has put there
        return False


def _essence(schedule: Schedule) -> tuple[object, ...]:
    """Returns what makes a schedule fire as it does, in a form that survives the server's own way of writing it."""
    spec = schedule.spec
    return (
        _action_essence(schedule.action),
        frozenset(map(_calendar_essence, spec.calendars)),
        frozenset(map(_calendar_essence, spec.skip)),
        frozenset((interval.every, interval.offset or timedelta(0)) for interval in spec.intervals),
        spec.time_zone_name or "UTC",
        spec.start_at,
        spec.end_at,
        spec.jitter or timedelta(0),
        schedule.policy.overlap,
        schedule.policy.catchup_window,
        schedule.policy.pause_on_failure,
        schedule.state.paused,
        schedule.state.limited_actions,
    )


def _action_essence(action: ScheduleAction) -> tuple[object, ...]:
    if not isinstance(action, ScheduleActionStartWorkflow):
        return (action,)
    return (
        action.workflow,
        action.id,
        action.task_queue,
        action.execution_timeout,
        action.run_timeout,
        action.task_timeout,
        action.retry_policy,
        frozenset((pair.key.name, pair.value) for pair in action.typed_search_attributes),
    )


def _calendar_essence(calendar: ScheduleCalendarSpec) -> tuple[frozenset[int], ...]:
    fields = (
        calendar.second,
        calendar.minute,
        calendar.hour,
        calendar.day_of_month,
        calendar.month,
        calendar.day_of_week,
        calendar.year,
    )
    return tuple(
        frozenset(
            value for part in ranges for value in range(part.start, max(part.end, part.start) + 1, part.step or 1)
        )
        for ranges in fields
    )


async def unknown_triggers(
    client: Client,
    task_queue: str,
    known: AbstractSet[UUID],
    *,
    older_than: timedelta,
) -> AsyncIterator[UUID]:
    """Yields the schedules that have a Temporal Schedule which starts workflows on this task queue, but for known ones.

    Args:
        client: The server and its namespace, which other installations may share.
        task_queue: This installation's own.
        known: Schedules that need no look.
        older_than: Leaves out what was created or changed more recently: its row may not be committed yet.
    """
    recent = datetime.now(UTC) - older_than
    async for listed in await client.list_schedules():
        schedule_id = schedule_of_trigger(listed.id)
        if schedule_id is None or schedule_id in known:
            continue
        try:
            found = await client.get_schedule_handle(listed.id).describe(rpc_timeout=CALL_TIMEOUT)
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                continue
            raise
        action = found.schedule.action
        changed = max(found.info.created_at, found.info.last_updated_at or found.info.created_at)
        if isinstance(action, ScheduleActionStartWorkflow) and action.task_queue == task_queue and changed < recent:
            yield schedule_id


async def ensure_upkeep(client: Client, task_queue: str, interval: timedelta) -> None:
    """Sees to it that the upkeep runs on a Temporal Schedule of its own, and at once where it did not.

    Raises:
        temporalio.service.RPCError: Temporal cannot be reached.
    """
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            UPKEEP,
            id=upkeep_id(task_queue),
            task_queue=task_queue,
            static_summary="Brings Temporal in line with the catalogue, and closes records that nothing runs",
            execution_timeout=_UPKEEP_LIMIT,
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=interval)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=_SHORTEST_CATCH_UP),
        state=ScheduleState(note="Kept by Rota's workers; ROTA_UPKEEP_SECONDS sets how often it runs."),
    )
    try:
        await client.create_schedule(
            upkeep_id(task_queue),
            schedule,
            trigger_immediately=True,
            rpc_timeout=CALL_TIMEOUT,
        )
    except ScheduleAlreadyRunningError:
        handle = client.get_schedule_handle(upkeep_id(task_queue))
        found = await handle.describe(rpc_timeout=CALL_TIMEOUT)
        if _essence(found.schedule) != _essence(schedule):
            await handle.update(lambda _: ScheduleUpdate(schedule), rpc_timeout=CALL_TIMEOUT)
