"""How a workflow keeps its record in the catalogue: short local activities, each safe to repeat."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as SQLAlchemyTimeoutError
from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.support.snapshot import prepare_steps
from catalogue.columns import utc_now
from catalogue.connected_systems import CatalogueLookup
from catalogue.engine import Catalogue
from catalogue.executions import (
    Execution,
    Initiator,
    InitiatorType,
    begin_execution,
    begin_steps,
    close_execution,
    finish_steps,
    get_execution,
    has_active_execution,
    has_fired,
    held_back_execution,
    is_held_back,
    open_execution,
    read_plan,
    record_attempts,
    set_paused,
    unopened_execution,
)
from catalogue.output import store_tails
from catalogue.schedules import Schedule, get_schedule
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

_CLOCKS_APART: Final = timedelta(minutes=5)
"""How far a worker's clock may be behind the server's."""

SCHEDULER: Final = Initiator(InitiatorType.SYSTEM, None, "Scheduler")


class Recorder:
    """The local activities that read and write the record of an execution."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Keeps the records in this catalogue."""
        self._catalogue = catalogue

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
                return await self._open(request)
        except ApplicationError as error:
            async with self._catalogue.write() as session:
                await self._record_unopened(session, request, error.message)
            raise

    async def _record_unopened(self, session: AsyncSession, request: OpenRequest, message: str) -> None:
        """Leaves a record of an execution that cannot be opened: nobody would hear of it otherwise."""
        if await get_execution(session, request.execution_id) is None:
            schedule = await get_schedule(session, request.schedule_id)
            name = schedule.name if schedule else str(request.schedule_id)
            session.add(unopened_execution(request, name, SCHEDULER))
            await session.flush()
        await close_execution(session, request.execution_id, ExecutionStatus.FAILED, message)

    async def _open(self, request: OpenRequest) -> Opened:
        async with self._catalogue.write() as session:
            execution = await get_execution(session, request.execution_id)
            if execution is None:
                opened = await self._open_fired(session, request)
                if isinstance(opened, Opened):
                    return opened
                execution = opened
            if await self._must_wait(session, execution):
                return Opened(decision="wait", message="Waiting until the execution before has ended.")
            if not await begin_execution(session, execution.id):
                return Opened(decision="ended", message=f"The execution is {execution.status} already.")
            return Opened(
                decision="run",
                total_steps=execution.total_steps,
                total_groups=execution.total_groups,
                plan=await read_plan(session, execution.id, request.position),
            )

    async def _must_wait(self, session: AsyncSession, execution: Execution) -> bool:
        """Whether it is a fire of `BufferOne` that another execution still holds back."""
        if not is_held_back(execution):
            return False
        schedule = await get_schedule(session, execution.schedule_id)
        if schedule is not None and schedule.overlap_policy is OverlapPolicy.ALLOW_ALL:
            return False
        return await has_active_execution(session, execution.schedule_id, but=execution.id)

    async def _open_fired(self, session: AsyncSession, request: OpenRequest) -> Opened | Execution:
        """Opens the record of a cron fire, whose workflow is the first to know of it."""
        schedule = await get_schedule(session, request.schedule_id, lock=True)
        if request.trigger is TriggerType.MANUAL:
            return Opened(decision="ended", message="The run was withdrawn: its caller was told that it did not start.")
        if schedule is None:
            return Opened(decision="ended", message="The schedule was deleted.")
        if schedule.trigger_type is not TriggerType.CRON or not schedule.is_enabled:
            return Opened(decision="ended", message="The schedule is disabled.")
        # The server's clock, by which it fired, may be ahead of this one.
        schedule.next_run_time = next_run_time(schedule, max(utc_now(), request.fire_time or utc_now()))
        session.add(schedule)
        if await _has_fired(session, request):
            return Opened(decision="ended", message="It has fired for this time already.")
        if later := _later_fire(schedule, request):
            return Opened(
                decision="missed", message=f"Missed: the later fire of {later:%Y-%m-%d %H:%M}Z takes its place."
            )
        if schedule.overlap_policy is not OverlapPolicy.ALLOW_ALL and await has_active_execution(session, schedule.id):
            waits = schedule.overlap_policy is OverlapPolicy.BUFFER_ONE
            if not waits or await held_back_execution(session, schedule.id) is not None:
                return _skipped(schedule, request)
        return await open_execution(
            session,
            schedule,
            execution_id=request.execution_id,
            trigger=request.trigger,
            initiator=SCHEDULER,
            workflow_id=request.workflow_id,
            prepare=prepare_steps(CatalogueLookup(session)),
        )

    @activity.defn(name=RECORD_PROGRESS)
    async def record(self, request: ProgressRequest) -> PlanSlice:
        """Writes what ended and what begins; answers with the next slice of the plan where it was asked for."""

        def write(connection: Connection) -> None:
            record_attempts(connection, request.attempted)
            store_tails(connection, request.attempted)
            finish_steps(connection, request.finished)
            if request.current_group is not None:
                begin_steps(connection, request.execution_id, request.started, request.current_group)
            if request.paused is not None:
                set_paused(connection, request.execution_id, paused=request.paused)

        with _once_only("recorded"):
            await self._catalogue.write_short(write)
            if request.read_from is None:
                return PlanSlice()
            async with self._catalogue.read() as session:
                return PlanSlice(plan=await read_plan(session, request.execution_id, request.read_from))

    @activity.defn(name=CLOSE_EXECUTION)
    async def close(self, request: CloseRequest) -> Closed:
        """Writes what ended last and closes the record; answers which fire had waited for that."""
        with _once_only("closed"):
            return await self._close(request)

    async def _close(self, request: CloseRequest) -> Closed:
        async with self._catalogue.write() as session:
            await (await session.connection()).run_sync(finish_steps, request.finished)
            await close_execution(
                session,
                request.execution_id,
                request.status,
                request.message,
                unreached_message=request.unreached_message,
            )
            execution = await get_execution(session, request.execution_id)
            waiting = await held_back_execution(session, execution.schedule_id) if execution else None
            return Closed(waiting_workflow_id=waiting.workflow_id if waiting else None)


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


async def _has_fired(session: AsyncSession, request: OpenRequest) -> bool:
    """Whether another workflow of the same id, and so of the same time, has run: a time comes once, whatever repeats it."""
    if request.fire_time is None:
        return False
    return await has_fired(session, request.schedule_id, request.workflow_id, request.fire_time - _CLOCKS_APART)


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


def _skipped(schedule: Schedule, request: OpenRequest) -> Opened:
    fire_time = request.fire_time or utc_now()
    if schedule.last_skipped_time != fire_time:
        # Not so where this activity was tried before.
        schedule.skipped_count += 1
        schedule.last_skipped_time = fire_time
    message = f"Skipped: an execution of {schedule.name!r} is active."
    _logger.info("schedule %s: fire of %s skipped, an execution is active", schedule.id, schedule.last_skipped_time)
    return Opened(decision="skip", message=message)
