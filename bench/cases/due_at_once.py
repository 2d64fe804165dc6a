"""F: many schedules due in the same minute."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeVar

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
)

from bench import floor
from bench.case import FLOOR, Case, Extent, say
from bench.report import Measure, Target
from bench.runs import BenchError, checked, executable
from bench.stack import Stack, find_program
from contracts.names import SCHEDULE_EXECUTION
from runtime.embedded import DYNAMIC_CONFIG

_SCHEDULES: Final = 1_000
_AT_ONCE: Final = 8
"""So many are created, or looked at, at a time."""
_TRIAL: Final = 16
"""So many are created and deleted before, to foresee how long it takes to create them all."""
_MARGIN_SECONDS: Final = 10.0
_END_SECONDS: Final = 600.0
_LOOK_SECONDS: Final = 1.0
"""Between two counts of what has ended: more often they would load the server that is measured."""

# The server's own limit of what its schedules start in a namespace (its common/dynamicconfig/constants.go).
_STARTS_A_SECOND: Final = float(DYNAMIC_CONFIG.get("worker.schedulerNamespaceStartWorkflowRPS", "30"))

_NO_STEP: Final = "bare workflow without a step"

_MINUTE: Final = timedelta(minutes=1)

Item = TypeVar("Item")


class _Side(Protocol):
    """Schedules of one kind."""

    workflow_type: str

    async def create(self, due: datetime) -> None:
        """Creates one that starts its work at a minute, of every day."""

    async def check(self, count: int) -> None:
        """Checks that the work of all was done."""

    async def delete(self) -> None:
        """Deletes all."""


class _Floor:
    """Temporal Schedules that start the floor's workflow."""

    workflow_type = floor.WORKFLOW

    def __init__(self, temporal: Client, request: floor.FloorRequest) -> None:
        self._temporal = temporal
        self._request = request
        self._ids: list[str] = []

    async def create(self, due: datetime) -> None:
        name = f"bench-due/{uuid.uuid4()}"
        action = ScheduleActionStartWorkflow(floor.WORKFLOW, self._request, id=name, task_queue=floor.TASK_QUEUE)
        times = ScheduleCalendarSpec(hour=[ScheduleRange(due.hour)], minute=[ScheduleRange(due.minute)])
        await self._temporal.create_schedule(
            name,
            Schedule(
                action=action,
                spec=ScheduleSpec(calendars=[times]),
                policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL),
            ),
        )
        self._ids.append(name)

    async def check(self, count: int) -> None:
        """Has nothing more to check: a workflow that completed ran its program, which exited with 0."""

    async def delete(self) -> None:
        await _each(self._ids, lambda name: self._temporal.get_schedule_handle(name).delete())
        self._ids.clear()


class _Rota:
    """Cron schedules of Rota's."""

    workflow_type = SCHEDULE_EXECUTION

    def __init__(self, stack: Stack, program: str) -> None:
        self._rota = stack.rota
        self._program = program
        self._ids: list[str] = []

    async def create(self, due: datetime) -> None:
        schedule = await self._rota.create_schedule(
            [executable(self._program)],
            triggerType="Cron",
            cronExpression=f"{due.minute} {due.hour} * * *",
            isEnabled=True,
        )
        self._ids.append(schedule.id)

    async def check(self, count: int) -> None:
        async def check_one(schedule_id: str) -> None:
            url = f"/api/v1/schedule-executions?scheduleId={schedule_id}"
            executions = checked(await self._rota.http.get(url)).json()["items"]
            if [execution["initiatedByName"] for execution in executions] != ["Scheduler"]:
                raise BenchError(f"schedule {schedule_id} has {len(executions)} executions in place of one by cron")
            await self._rota.checked_execution(executions[0]["id"], steps=1)

        await _each(self._ids, check_one)
        if len(self._ids) != count:
            raise BenchError(f"{len(self._ids)} schedules in place of {count}")

    async def delete(self) -> None:
        async def delete_one(schedule_id: str) -> None:
            checked(await self._rota.http.delete(f"/api/v1/schedules/{schedule_id}"))

        await _each(self._ids, delete_one)
        self._ids.clear()


@dataclass(frozen=True)
class _Fired:
    """When the work of a minute began and ended, in seconds after the minute."""

    last_start: float
    last_end: float


async def _measure(stack: Stack, extent: Extent) -> list[Measure]:
    """Measures 1,000 schedules that are all due in one minute, each of one step of `true`: first the floor's, then Rota's.

    Before them come as many whose workflow runs no step: what the server itself can start. Rota's are cron schedules, made
    through the API. Starts and ends are those that the server notes of the workflows. The limit is 1.2 times what the
    server's own limit of starts a second takes for so many.
    """
    count = extent.size(_SCHEDULES, quick=5)
    true = find_program("true")
    temporal = stack.floor.temporal
    floors = {
        _NO_STEP: await _fired(temporal, _NO_STEP, _Floor(temporal, floor.FloorRequest([true], steps=0)), count),
        FLOOR: await _fired(temporal, FLOOR, _Floor(temporal, floor.FloorRequest([true], steps=1)), count),
    }
    rota = await _fired(stack.rota.temporal, "Rota", _Rota(stack, true), count)
    limit = Target("maximum", "at most", 1.2 * count / _STARTS_A_SECOND)
    return [
        measure
        for name, fired in floors.items()
        for measure in (
            Measure(
                "last start after the minute",
                "s",
                (rota.last_start,),
                name,
                (fired.last_start,),
                limit if name == FLOOR else None,
            ),
            Measure("last end after the minute", "s", (rota.last_end,), name, (fired.last_end,)),
        )
    ]


async def _fired(temporal: Client, name: str, side: _Side, count: int) -> _Fired:
    """Creates schedules of one side, waits for their minute and for the end of their work, and deletes them."""
    try:
        began = time.monotonic()
        trial = min(count, _TRIAL)
        await _create(side, trial, datetime.now(UTC) + timedelta(hours=12))
        await side.delete()
        # Half as much again: what is there already may slow down what comes.
        foreseen = timedelta(seconds=1.5 * count * (time.monotonic() - began) / trial + _MARGIN_SECONDS)
        due = (datetime.now(UTC) + foreseen).replace(second=0, microsecond=0) + _MINUTE
        await _create(side, count, due)
        left = (due - datetime.now(UTC)).total_seconds()
        if left < 0:
            raise BenchError(f"{count} schedules of {name} were not there in time for their minute: try again")
        say(f"  {name}: {count} schedules are there, due in {left:.0f} s")
        await asyncio.sleep(left)  # nothing can have fired before
        fired = await _seen(
            temporal, f"WorkflowType = '{side.workflow_type}' AND StartTime >= '{due.isoformat()}'", due, count
        )
        await side.check(count)
    finally:
        await side.delete()
    say(f"  {name}: last start after {fired.last_start:.1f} s, last end after {fired.last_end:.1f} s")
    return fired


async def _create(side: _Side, count: int, due: datetime) -> None:
    await _each(range(count), lambda _: side.create(due))


async def _seen(temporal: Client, query: str, due: datetime, count: int) -> _Fired:
    """Waits until so many workflows have completed."""
    completed = f"{query} AND ExecutionStatus = 'Completed'"
    began = time.monotonic()
    while (ended := (await temporal.count_workflows(completed)).count) < count:
        if time.monotonic() - began > _END_SECONDS:
            started = (await temporal.count_workflows(query)).count
            raise BenchError(f"of {count} schedules due {started} started and {ended} ended in {_END_SECONDS:.0f} s")
        await asyncio.sleep(_LOOK_SECONDS)  # a count of workflows cannot be waited for
    times = [(found.start_time, found.close_time) async for found in temporal.list_workflows(completed)]
    if len(times) != count:
        raise BenchError(f"{len(times)} workflows ran in place of {count}")
    return _Fired(
        max((started - due).total_seconds() for started, _ in times),
        max((ended - due).total_seconds() for _, ended in times if ended),
    )


async def _each(items: Iterable[Item], work: Callable[[Item], Awaitable[None]]) -> None:
    """Does something with each, some at a time."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def take_turn(item: Item) -> None:
        async with turns:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(take_turn(item))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


CASE: Final = Case("F", f"{_SCHEDULES:,} schedules due in one minute", _measure)
