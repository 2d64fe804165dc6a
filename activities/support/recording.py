"""How a workflow keeps its record in the catalogue: short local activities, each safe to repeat."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import Any, Final, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as SQLAlchemyTimeoutError
from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.support.pace import Pace
from activities.support.snapshot import prepare_steps
from catalogue.columns import utc_now
from catalogue.connected_systems import CatalogueLookup
from catalogue.engine import Catalogue
from catalogue.executions import (
    CLOCKS_APART,
    Initiator,
    InitiatorType,
    Snapshot,
    begin_execution,
    begin_steps,
    close_execution,
    finish_steps,
    get_execution,
    has_active_execution,
    has_fired,
    held_back_workflow,
    is_held_back,
    open_execution,
    reach_group,
    read_execution,
    read_plan,
    record_attempts,
    set_paused,
    take_snapshot,
    unopened_execution,
)
from catalogue.output import store_tails
from catalogue.schedules import (
    Schedule,
    ScheduleStep,
    get_schedule,
    get_steps,
    note_next_run,
    note_skip,
    read_schedule,
)
from catalogue.triggers import next_run_time, timetable_of
from contracts.execution import (
    Closed,
    CloseRequest,
    ExecutionStatus,
    Opened,
    OpenRequest,
    OverlapPolicy,
    PlanSlice,
    ProgressRequest,
    TriggerType,
)
from contracts.names import CLOSE_EXECUTION, EXECUTION_FAILED, OPEN_EXECUTION, RECORD_PROGRESS

_logger = logging.getLogger(__name__)

SCHEDULER: Final = Initiator(InitiatorType.SYSTEM, None, "Scheduler")


class Recorder:
    """The local activities that read and write the record of an execution."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Keeps the records in this catalogue."""
        self._catalogue = catalogue
        self._pace = Pace()

    @property
    def activities(self) -> list[Callable[..., Any]]:
        """What the worker registers."""
        return [self.open, self.record, self.close]

    @activity.defn(name=OPEN_EXECUTION)
    async def open(self, request: OpenRequest) -> Opened:
        """Opens the record, or says why the execution does not run; answers with the first slice of the plan.

        Raises:
            ApplicationError: It cannot be opened, however often it is tried; the record says so too.
        """
        try:
            with _once_only("opened"):
                opened = await self._open(request)
        except ApplicationError as error:
            async with self._catalogue.write() as session:
                await self._record_unopened(session, request, error.message)
            raise
        if opened.decision == "run":
            opened.hold_back_seconds = self._pace.hold_back_seconds(request.execution_id)
        return opened

    async def _record_unopened(self, session: AsyncSession, request: OpenRequest, message: str) -> None:
        """Leaves a record of an execution that cannot be opened: nobody would hear of it otherwise."""
        if await get_execution(session, request.execution_id) is None:
            schedule = await get_schedule(session, request.schedule_id)
            name = schedule.name if schedule else str(request.schedule_id)
            session.add(unopened_execution(request, name, SCHEDULER))
            await session.flush()
        connection = await session.connection()
        await connection.run_sync(close_execution, request.execution_id, ExecutionStatus.FAILED, message)

    async def _open(self, request: OpenRequest) -> Opened:
        fire: _Fire | None = None
        while True:
            opened = await self._catalogue.write_short(partial(_begin_or_fire, request=request, fire=fire))
            if isinstance(opened, Opened):
                return opened
            async with self._catalogue.read() as session:
                # Most step types look up nothing: then this goes without a connection.
                prepare = prepare_steps(CatalogueLookup(session))
                snapshot = await take_snapshot(opened.steps, request.execution_id, prepare)
            fire = _Fire(opened.changed_at, snapshot)

    @activity.defn(name=RECORD_PROGRESS)
    async def record(self, request: ProgressRequest) -> PlanSlice:
        """Writes what ended and what begins; answers with the next slice of the plan where it was asked for."""
        with _once_only("recorded"):
            recorded = await self._catalogue.write_short(partial(_record, request=request))
        recorded.hold_back_seconds = self._pace.hold_back_seconds(request.execution_id)
        return recorded

    @activity.defn(name=CLOSE_EXECUTION)
    async def close(self, request: CloseRequest) -> Closed:
        """Writes what ended last and closes the record; answers which fire had waited for that."""
        with _once_only("closed"):
            closed = await self._catalogue.write_short(partial(_close, request=request))
        self._pace.end(request.execution_id)
        return closed


@dataclass(frozen=True)
class _Due:
    """The steps of a schedule whose fire is to run."""

    changed_at: datetime | None
    """`Schedule.last_updated`, which moves with all that a client changes."""
    steps: Sequence[ScheduleStep]


@dataclass(frozen=True)
class _Fire:
    """What a fire runs."""

    changed_at: datetime | None
    """As of which change of the schedule: see `_Due`."""
    snapshot: Snapshot


def _begin_or_fire(connection: Connection, request: OpenRequest, fire: _Fire | None) -> Opened | _Due:
    """Marks an execution as running; a cron fire, whose workflow is the first to know of it, is written before that.

    Returns:
        The answer; or, where a fire is to run of which there is no snapshot yet, or one of before a change, its steps.
    """
    if begun := _begin(connection, request):
        return begun
    if request.trigger is TriggerType.MANUAL:
        return Opened(decision="ended", message="The run was withdrawn: its caller was told that it did not start.")
    schedule = read_schedule(connection, request.schedule_id, lock=True)
    if schedule is None:
        return Opened(decision="ended", message="The schedule was deleted.")
    # Another try of the same, which had been given up, may have been here before the lock.
    if answer := _begin(connection, request) or _why_not_run(connection, schedule, request):
        return answer
    if fire is None or fire.changed_at != schedule.last_updated:
        return _Due(schedule.last_updated, get_steps(connection, schedule.id))
    return _fire(connection, schedule, request, fire.snapshot)


def _fire(connection: Connection, schedule: Schedule, request: OpenRequest, snapshot: Snapshot) -> Opened:
    open_execution(
        connection,
        schedule,
        snapshot,
        execution_id=request.execution_id,
        trigger=request.trigger,
        initiator=SCHEDULER,
        workflow_id=request.workflow_id,
    )
    # There is a record of it now.
    return cast("Opened", _begin(connection, request))


def _why_not_run(connection: Connection, schedule: Schedule, request: OpenRequest) -> Opened | None:
    """Returns why a cron fire does not run; None where it does."""
    if schedule.trigger_type is not TriggerType.CRON or not schedule.is_enabled:
        return Opened(decision="ended", message="The schedule is disabled.")
    # The server's clock, by which it fired, may be ahead of this one.
    upcoming = next_run_time(schedule, max(utc_now(), request.fire_time or utc_now()))
    note_next_run(connection, schedule.id, upcoming)
    if request.fire_time is not None and has_fired(
        # A time comes once, whatever repeats it: a workflow of the same id is one of the same time.
        connection,
        schedule.id,
        request.workflow_id,
        request.fire_time - CLOCKS_APART,
    ):
        return Opened(decision="ended", message="It has fired for this time already.")
    if later := _later_fire(schedule, request):
        return Opened(decision="missed", message=f"Missed: the later fire of {later:%Y-%m-%d %H:%M}Z takes its place.")
    if schedule.overlap_policy is OverlapPolicy.ALLOW_ALL or not has_active_execution(connection, schedule.id):
        return None
    waits = schedule.overlap_policy is OverlapPolicy.BUFFER_ONE
    if waits and held_back_workflow(connection, schedule.id) is None:
        return None
    return _skipped(connection, schedule, request)


def _begin(connection: Connection, request: OpenRequest) -> Opened | None:
    """Marks an execution as running, and its first steps; None where it has no record yet."""
    execution = read_execution(connection, request.execution_id)
    if execution is None:
        return None
    if is_held_back(execution):
        schedule = read_schedule(connection, execution.schedule_id)
        may_overlap = schedule is not None and schedule.overlap_policy is OverlapPolicy.ALLOW_ALL
        if not may_overlap and has_active_execution(connection, execution.schedule_id, but=execution.id):
            return Opened(decision="wait", message="Waiting until the execution before has ended.")
    if not begin_execution(connection, execution.id):
        return Opened(decision="ended", message=f"The execution is {execution.status} already.")
    plan = read_plan(connection, execution.id, request.position)
    together = takewhile(lambda step: step.group == plan[0].group, plan[: request.begin_at_most])
    begun = [step.step_id for step in together]
    if begun:
        begin_steps(connection, begun)
        if plan[0].group > execution.current_group:
            reach_group(connection, execution.id, plan[0].group)
    return Opened(
        decision="run",
        total_steps=execution.total_steps,
        total_groups=execution.total_groups,
        plan=plan,
        begun=len(begun),
    )


def _record(connection: Connection, request: ProgressRequest) -> PlanSlice:
    # An execution is paused, and goes on, before the first step of the group begins.
    if request.paused is not None:
        set_paused(connection, request.execution_id, paused=request.paused, before_group=request.before_group)
    # That a step began comes before how its first attempt ended.
    begin_steps(connection, request.started)
    if request.current_group is not None:
        reach_group(connection, request.execution_id, request.current_group)
    record_attempts(connection, request.attempted)
    store_tails(connection, request.attempted)
    finish_steps(connection, request.finished)
    if request.read_from is None:
        return PlanSlice()
    return PlanSlice(plan=read_plan(connection, request.execution_id, request.read_from))


def _close(connection: Connection, request: CloseRequest) -> Closed:
    if request.current_group is not None:
        reach_group(connection, request.execution_id, request.current_group)
    finish_steps(connection, request.finished)
    close_execution(
        connection,
        request.execution_id,
        request.status,
        request.message,
        unreached_message=request.unreached_message,
    )
    return Closed(waiting_workflow_id=held_back_workflow(connection, request.schedule_id))


@contextmanager
def _once_only(done: str) -> Iterator[None]:
    """Lets what may pass be tried again, and what cannot pass fail the workflow: retried for ever, nobody would see it.

    Raises:
        ApplicationError: A defect, or data that cannot be stored. Its text stays in this worker's log.
    """
    try:
        yield
    except Exception as error:
        may_pass = isinstance(error, OperationalError | InterfaceError | IntegrityError | SQLAlchemyTimeoutError)
        if may_pass or (isinstance(error, DBAPIError) and error.connection_invalidated):
            raise
        _logger.exception("an execution could not be %s", done)
        message = f"The execution could not be {done} ({type(error).__name__}); see the worker's log."
        raise ApplicationError(message, type=EXECUTION_FAILED, non_retryable=True) from None


def _later_fire(schedule: Schedule, request: OpenRequest) -> datetime | None:
    """Returns a later fire that was due when this one was started: of what was missed only the latest runs."""
    if request.fire_time is None or request.started_at is None:
        return None
    timetable = timetable_of(schedule)
    later = timetable.latest_time(request.fire_time, request.started_at)
    if later is not None and request.started_at < later + timedelta(seconds=schedule.jitter_seconds):
        # It may be still to come. What lies before it was due: jitter does not reach past the next time.
        later = timetable.latest_time(request.fire_time, later - timedelta(seconds=1))
    return later


def _skipped(connection: Connection, schedule: Schedule, request: OpenRequest) -> Opened:
    fire_time = request.fire_time or utc_now()
    # Not counted again where this activity was tried before.
    if schedule.last_skipped_time != fire_time:
        note_skip(connection, schedule.id, fire_time)
    message = f"Skipped: an execution of {schedule.name!r} is active."
    _logger.info("schedule %s: fire of %s skipped, an execution is active", schedule.id, fire_time)
    return Opened(decision="skip", message=message)
