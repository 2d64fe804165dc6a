"""Executions and the records of their steps: the snapshot that runs, and how it went."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Index,
    Insert,
    Table,
    Text,
    Uuid,
    bindparam,
    case,
    exists,
    false,
    insert,
    literal,
    or_,
    text,
)
from sqlmodel import Field, SQLModel, col, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from catalogue.columns import UtcDateTime, enum_column, json_column, rows_of, utc_now
from catalogue.plan import step_groups
from catalogue.schedules import ExecutionMode, Schedule, ScheduleStep
from catalogue.tally import change_tally
from contracts.execution import (
    ACTIVE_STATUSES,
    AttemptedStep,
    ExecutionStatus,
    FinishedStep,
    OpenRequest,
    StepAttempt,
    StepOutcome,
    StepProgress,
    StepSpec,
    StepStatus,
    TriggerType,
)

CLOCKS_APART: Final = timedelta(minutes=5)
"""How far the clocks of two hosts may be apart."""

_SLICE_STEPS: Final = 200
_SLICE_BYTES: Final = 256 * 1024
"""A slice of the plan travels through Temporal's history: well under the 2 MB that one payload may have."""

_TALLIED_AT_ONCE: Final = 500
"""On SQLite nobody else writes meanwhile."""


class InitiatorType(StrEnum):
    """Who started an execution."""

    API_KEY = "ApiKey"
    SYSTEM = "System"


class Execution(SQLModel, table=True):
    """One execution of a schedule. It outlives the schedule and Temporal's retention."""

    __tablename__ = "execution"
    # What a list is sorted by, ties by id, behind what it is filtered by: see catalogue/execution_lists.py. The status
    # at the end lets a scan leave rows out without looking at them.
    __table_args__ = (
        Index("ix_execution_queued", "queued_at", "id", "status"),
        Index("ix_execution_started", "started_at", "id", "status"),
        Index("ix_execution_completed", "completed_at", "id", "status"),
        Index("ix_execution_status", "status", "id"),
        Index("ix_execution_status_queued", "status", "queued_at", "id"),
        Index("ix_execution_status_started", "status", "started_at", "id"),
        Index("ix_execution_status_completed", "status", "completed_at", "id"),
        Index("ix_execution_schedule_queued", "schedule_id", "queued_at", "id", "status"),
        Index("ix_execution_schedule_started", "schedule_id", "started_at", "id", "status"),
        Index("ix_execution_schedule_completed", "schedule_id", "completed_at", "id", "status"),
        Index("ix_execution_schedule_status", "schedule_id", "status", "id"),
        Index(
            "ix_execution_untallied",
            "schedule_id",
            "status",
            postgresql_where=text("NOT tallied"),
            sqlite_where=text("tallied = 0"),
        ),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    schedule_id: UUID
    """No foreign key: history stays when the schedule is deleted."""
    schedule_name: str = Field(max_length=200)
    status: ExecutionStatus = Field(default=ExecutionStatus.QUEUED, sa_type=enum_column(ExecutionStatus))
    trigger_type: TriggerType = Field(sa_type=enum_column(TriggerType))
    current_group: int = 0
    """Ordinal of the step group that was begun last, from 0."""
    total_groups: int
    total_steps: int
    queued_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    completed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    initiated_by_type: InitiatorType = Field(sa_type=enum_column(InitiatorType))
    initiated_by_id: str | None = Field(default=None, max_length=64)
    initiated_by_name: str | None = Field(default=None, max_length=200)
    error_message: str | None = Field(default=None, sa_column=Column(Text))
    workflow_id: str = Field(max_length=400)
    retry_of: UUID | None = None
    """The execution that this one takes up where it had stopped."""
    tallied: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """Whether it is counted in the tally (`catalogue.tally`); else it is counted by itself."""


class StepRecord(SQLModel, table=True):
    """One step of an execution: its part of the snapshot, and how it went."""

    __tablename__ = "step_record"
    __table_args__ = (Index("ix_step_record_plan", "execution_id", "position", unique=True),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    execution_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("execution.id", ondelete="CASCADE"), nullable=False),
    )
    position: int
    """Place in the plan, from 0."""
    group: int = Field(sa_column_kwargs={"name": "step_group"})
    """Ordinal of the step group, from 0."""
    step_index: int
    name: str | None = Field(default=None, max_length=200)
    display_name: str = Field(max_length=500)
    execution_mode: ExecutionMode = Field(sa_type=enum_column(ExecutionMode))
    step_type: str = Field(max_length=100)
    continue_on_failure: bool = False
    timeout_seconds: int | None = None
    max_attempts: int = 1
    worker_pool: str | None = Field(default=None, max_length=100)
    schedule_to_start_seconds: int | None = None
    config: dict[str, Any] = Field(default_factory=dict, sa_column=Column(json_column(), nullable=False))
    resolved: dict[str, Any] = Field(default_factory=dict, sa_column=Column(json_column(), nullable=False))

    status: StepStatus = Field(default=StepStatus.WAITING, sa_type=enum_column(StepStatus))
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    completed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error_message: str | None = Field(default=None, sa_column=Column(Text))
    exit_code: int | None = None
    attempts: int = 0
    """How many attempts count against `max_attempts`, of those that have ended."""
    attempt_history: list[dict[str, Any]] | None = Field(default=None, sa_column=Column(json_column()))
    """Each attempt as a `contracts.execution.StepAttempt`; None where the record itself tells of the only one."""
    host: str | None = Field(default=None, max_length=255)
    processes_ended: int = 0
    output_tail: str = Field(default="", sa_column=Column(Text, nullable=False))
    output_bytes: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    """How many bytes the last attempt printed; 0 where nobody knows."""
    output_note: str | None = Field(default=None, max_length=500)
    """Why not all is kept that the last attempt printed; None where there is no reason but its size."""
    output_of: UUID | None = None
    """The record whose stored output this one shows: that of another execution, whose outcome was reused."""
    progress: dict[str, Any] | None = Field(default=None, sa_column=Column(json_column()))
    activity_id: str | None = Field(default=None, max_length=64)
    activity_status: str | None = Field(default=None, max_length=64)


_EXECUTIONS: Final[Table] = Execution.__table__  # type: ignore[attr-defined]
_RECORDS: Final[Table] = StepRecord.__table__  # type: ignore[attr-defined]
_SCHEDULES: Final[Table] = Schedule.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class PreparedStep:
    """What a step's type adds to its snapshot."""

    display_name: str | None
    timeout_seconds: int | None
    resolved: Mapping[str, Any]


PrepareStep = Callable[[ScheduleStep], Awaitable[PreparedStep]]
"""Asks the step's type what its snapshot needs."""


@dataclass(frozen=True)
class Initiator:
    """Who or what started an execution."""

    type: InitiatorType
    id: str | None
    name: str


@dataclass(frozen=True)
class Snapshot:
    """The steps of a schedule as an execution of it runs them."""

    total_groups: int
    records: Sequence[dict[str, Any]]
    """The values of their records, in the order of the plan."""


@cache
def _fresh_record() -> dict[str, Any]:
    """Returns the values of a record that nothing has been said of: instances of the model take four times as long."""
    return {name: field.get_default() for name, field in StepRecord.model_fields.items() if not field.is_required()}


async def take_snapshot(steps: Sequence[ScheduleStep], execution_id: UUID, prepare: PrepareStep) -> Snapshot:
    """Returns what an execution of these steps will run."""
    groups = step_groups(steps)
    records: list[dict[str, Any]] = []
    for group, members in enumerate(groups):
        for step in members:
            prepared = await prepare(step)
            records.append(
                _fresh_record()
                | {
                    "id": uuid4(),
                    "execution_id": execution_id,
                    "position": len(records),
                    "step_group": group,
                    "step_index": step.step_index,
                    "name": step.name,
                    "display_name": (step.name or prepared.display_name or f"Step {group + 1}")[:500],
                    "execution_mode": step.execution_mode,
                    "step_type": step.step_type,
                    "continue_on_failure": step.continue_on_failure,
                    "timeout_seconds": prepared.timeout_seconds,
                    "max_attempts": step.max_attempts,
                    "worker_pool": step.worker_pool,
                    "schedule_to_start_seconds": step.schedule_to_start_seconds,
                    "config": step.config,
                    "resolved": dict(prepared.resolved),
                }
            )
    return Snapshot(len(groups), records)


def open_execution(
    connection: Connection,
    schedule: Schedule,
    snapshot: Snapshot,
    *,
    execution_id: UUID,
    trigger: TriggerType,
    initiator: Initiator,
    workflow_id: str,
) -> Execution | None:
    """Writes the record of a new execution (`Queued`) with its steps; None where the schedule is gone."""
    execution = Execution(
        id=execution_id,
        schedule_id=schedule.id,
        schedule_name=schedule.name,
        trigger_type=trigger,
        total_groups=snapshot.total_groups,
        total_steps=len(snapshot.records),
        initiated_by_type=initiator.type,
        initiated_by_id=initiator.id,
        initiated_by_name=initiator.name,
        workflow_id=workflow_id,
    )
    if not _add_execution(connection, execution):
        return None
    if snapshot.records:
        # Not as one statement of many values, which is made anew for each number of them.
        connection.execute(insert(_RECORDS), snapshot.records)
    return execution


_NOTE_RUN: Final = (
    update(_SCHEDULES)
    .where(_SCHEDULES.c.id == bindparam("schedule_id"))
    .values(last_run_time=bindparam("queued_at"), last_execution_id=bindparam("execution_id"))
)


def _add_execution(connection: Connection, execution: Execution) -> bool:
    """Writes the record of an execution, and notes it with its schedule; returns False where that is gone."""
    run = {
        "schedule_id": execution.schedule_id,
        "queued_at": execution.queued_at,
        "execution_id": execution.id,
    }
    if connection.execute(_NOTE_RUN, run).rowcount != 1:
        return False
    connection.execute(insert(_EXECUTIONS), execution.model_dump())
    return True


_SNAPSHOT_COLUMNS: Final = (
    "position",
    "step_group",
    "step_index",
    "name",
    "display_name",
    "execution_mode",
    "step_type",
    "continue_on_failure",
    "timeout_seconds",
    "max_attempts",
    "worker_pool",
    "schedule_to_start_seconds",
    "config",
    "resolved",
)
_OUTCOME_COLUMNS: Final = (
    "status",
    "started_at",
    "completed_at",
    "error_message",
    "exit_code",
    "attempts",
    "attempt_history",
    "host",
    "processes_ended",
    "output_tail",
    "output_bytes",
    "output_note",
    "progress",
    "activity_id",
    "activity_status",
)


@dataclass(frozen=True)
class TakenUp:
    """How far an execution had come that another takes up."""

    position: int
    """The first step to run: how many steps are reused."""
    group: int
    """The group in which that step stands."""
    had_failures: bool
    """Whether a reused step had failed, and was set to continue."""


async def take_up_execution(
    session: AsyncSession,
    before: Execution,
    *,
    execution_id: UUID,
    initiator: Initiator,
    workflow_id: str,
) -> tuple[Execution, TakenUp]:
    """Writes the record of a new execution that goes on where another had stopped, from the other's snapshot.

    The groups before the first one that did not complete keep their outcomes; that one and those behind it run.

    Returns:
        The new execution (`Queued`), and where it begins.
    """
    stood = (
        select(StepRecord.id, StepRecord.group, StepRecord.status, StepRecord.continue_on_failure)
        .where(StepRecord.execution_id == before.id)
        .order_by(col(StepRecord.position))
    )
    records = [
        (record_id, group, StepStatus(status), may_fail)
        for record_id, group, status, may_fail in (await session.exec(stood)).all()
    ]
    first = min(
        (group for _, group, status, may_fail in records if not _is_complete(status, may_fail=may_fail)),
        default=before.total_groups,
    )
    reused = [record for record in records if record[1] < first]
    taken_up = TakenUp(len(reused), first, any(status.is_failure for _, _, status, _ in reused))
    execution = Execution(
        id=execution_id,
        schedule_id=before.schedule_id,
        schedule_name=before.schedule_name,
        trigger_type=TriggerType.MANUAL,
        total_groups=before.total_groups,
        total_steps=before.total_steps,
        initiated_by_type=initiator.type,
        initiated_by_id=initiator.id,
        initiated_by_name=initiator.name,
        workflow_id=workflow_id,
        retry_of=before.id,
    )
    connection = await session.connection()
    await connection.run_sync(_add_execution, execution)
    for statement, members in (
        (_copy_records(_SNAPSHOT_COLUMNS + _OUTCOME_COLUMNS, before.id), reused),
        (_copy_records(_SNAPSHOT_COLUMNS, before.id), records[len(reused) :]),
    ):
        copies = [{"old_id": record[0], "new_id": uuid4(), "new_execution_id": execution_id} for record in members]
        if copies:
            await connection.execute(statement, copies)
    return execution, taken_up


@dataclass(frozen=True)
class Retry:
    """An execution that takes up another."""

    id: UUID
    retry_of: UUID
    status: ExecutionStatus


async def list_retries(session: AsyncSession, execution: Execution) -> list[Retry]:
    """Returns every retry of the run that an execution is or takes up, itself among them where it is one."""
    first = execution
    while first.retry_of is not None and (before := await get_execution(session, first.retry_of)) is not None:
        first = before
    # A retry is queued after what it takes up, by the clock of another host: of the many executions of a schedule these
    # are few.
    query = (
        select(Execution.id, Execution.retry_of, Execution.status)
        .where(
            Execution.schedule_id == first.schedule_id,
            col(Execution.queued_at) >= first.queued_at - CLOCKS_APART,
            col(Execution.retry_of).is_not(None),
        )
        .order_by(col(Execution.queued_at))
    )
    found = (await session.exec(query)).all()
    # What the first one takes up may be deleted.
    family = {first.id, first.retry_of}
    while more := {retry_id for retry_id, retry_of, _ in found if retry_of in family} - family:
        family |= more
    return [
        Retry(retry_id, retry_of, ExecutionStatus(status))
        for retry_id, retry_of, status in found
        if retry_of is not None and retry_id in family
    ]


def _is_complete(status: StepStatus, *, may_fail: bool) -> bool:
    """Whether a step ran to an end that let its execution go on; one that was cancelled did not run to its end."""
    return status.is_terminal and (not status.is_failure or (may_fail and status is not StepStatus.CANCELLED))


def _copy_records(columns: Sequence[str], reused_from: UUID) -> Insert:
    """Returns the statement that copies one record of a step into another execution, its output left in the database."""
    fresh = {
        "status": literal(StepStatus.WAITING, _RECORDS.c.status.type),
        "attempts": literal(0),
        "processes_ended": literal(0),
        "output_tail": literal(""),
        "output_bytes": literal(0),
    }
    note = f"Reused from execution {reused_from}."
    values: dict[str, ColumnElement[Any]] = {
        "id": bindparam("new_id", type_=Uuid()),
        "execution_id": bindparam("new_execution_id", type_=Uuid()),
        **fresh,
        **{name: _RECORDS.c[name] for name in columns},
    }
    if "output_tail" in columns:
        values["output_of"] = func.coalesce(_RECORDS.c.output_of, _RECORDS.c.id)
    if "error_message" in columns:
        said = _RECORDS.c.error_message
        values["error_message"] = case(
            # Reused before: it names the execution in which the step ran.
            (_RECORDS.c.output_of.is_not(None), said),
            (said.is_(None), note),
            else_=literal(f"{note} ") + said,
        )
    source = select(*values.values()).where(_RECORDS.c.id == bindparam("old_id", type_=Uuid()))
    return insert(_RECORDS).from_select(list(values), source)


def unopened_execution(request: OpenRequest, schedule_name: str, initiator: Initiator) -> Execution:
    """Returns the record of a fire whose snapshot could not be taken: an execution without steps."""
    return Execution(
        id=request.execution_id,
        schedule_id=request.schedule_id,
        schedule_name=schedule_name,
        trigger_type=request.trigger,
        total_groups=0,
        total_steps=0,
        initiated_by_type=initiator.type,
        initiated_by_id=initiator.id,
        initiated_by_name=initiator.name,
        workflow_id=request.workflow_id,
    )


async def withdraw_execution(session: AsyncSession, execution_id: UUID) -> bool:
    """Takes back a record whose workflow could not be started; False where a worker has begun it after all."""
    execution = await session.get_one(Execution, execution_id)
    is_queued = _EXECUTIONS.c.status == ExecutionStatus.QUEUED
    if not await delete_executions(session, _EXECUTIONS.c.id == execution_id, is_queued):
        return False
    schedule = await session.get(Schedule, execution.schedule_id)
    if schedule is not None and schedule.last_execution_id == execution_id:
        before = (
            select(Execution)
            .where(Execution.schedule_id == execution.schedule_id)
            .order_by(col(Execution.queued_at).desc())
            .limit(1)
        )
        latest = (await session.exec(before)).first()
        schedule.last_run_time = latest.queued_at if latest else None
        schedule.last_execution_id = latest.id if latest else None
        session.add(schedule)
    return True


async def get_execution(session: AsyncSession, execution_id: UUID) -> Execution | None:
    """Returns an execution."""
    return await session.get(Execution, execution_id)


_ONE_EXECUTION: Final = _EXECUTIONS.select().where(_EXECUTIONS.c.id == bindparam("execution_id"))


def read_execution(connection: Connection, execution_id: UUID) -> Execution | None:
    """Returns an execution to look at; `get_execution` returns one to change."""
    found = rows_of(Execution, connection.execute(_ONE_EXECUTION, {"execution_id": execution_id}))
    return found[0] if found else None


_RECORDS_OF_ONE: Final = (
    _RECORDS.select().where(_RECORDS.c.execution_id == bindparam("execution_id")).order_by(_RECORDS.c.position)
)


def get_step_records(connection: Connection, execution_id: UUID) -> Sequence[StepRecord]:
    """Returns the records of an execution's steps, in the order of the plan."""
    return rows_of(StepRecord, connection.execute(_RECORDS_OF_ONE, {"execution_id": execution_id}))


async def get_step_record(session: AsyncSession, execution_id: UUID, record_id: UUID) -> StepRecord | None:
    """Returns the record of a step of an execution."""
    record = await session.get(StepRecord, record_id)
    return record if record is not None and record.execution_id == execution_id else None


def groups_of(connection: Connection, record_ids: Sequence[UUID]) -> Sequence[int]:
    """Returns the ordinals of the step groups in which these steps stand."""
    query = select(_RECORDS.c.step_group).where(_RECORDS.c.id.in_(record_ids)).distinct()
    return connection.execute(query).scalars().all()


@dataclass(frozen=True)
class StepState:
    """How far a step has come."""

    status: StepStatus
    ended_attempts: int
    """How many attempts have ended of those that others follow."""


async def step_states(session: AsyncSession, record_ids: Iterable[UUID]) -> dict[UUID, StepState]:
    """Returns how far those steps have come whose records exist."""
    query = select(StepRecord.id, StepRecord.status, StepRecord.attempt_history).where(
        col(StepRecord.id).in_(list(record_ids))
    )
    rows = (await session.exec(query)).all()
    return {record_id: StepState(StepStatus(status), len(history or [])) for record_id, status, history in rows}


def is_held_back(execution: Execution) -> bool:
    """Whether an execution is a cron fire that waits until no other execution of its schedule is active."""
    return execution.trigger_type is TriggerType.CRON and execution.status is ExecutionStatus.QUEUED


_HELD_BACK: Final = (
    select(_EXECUTIONS.c.workflow_id)
    .where(
        _EXECUTIONS.c.schedule_id == bindparam("schedule_id"),
        _EXECUTIONS.c.trigger_type == TriggerType.CRON,
        _EXECUTIONS.c.status == ExecutionStatus.QUEUED,
    )
    .limit(1)
)


def held_back_workflow(connection: Connection, schedule_id: UUID) -> str | None:
    """Returns the workflow of the schedule's cron fire that waits for its turn."""
    workflow_id: str | None = connection.execute(_HELD_BACK, {"schedule_id": schedule_id}).scalar()
    return workflow_id


def has_active_execution(connection: Connection, schedule_id: UUID, *, but: UUID | None = None) -> bool:
    """Whether an execution of the schedule, however triggered, has not ended; `but` is not counted."""
    query = (
        select(_EXECUTIONS.c.id)
        .where(
            _EXECUTIONS.c.schedule_id == schedule_id,
            _EXECUTIONS.c.status.in_(ACTIVE_STATUSES),
            _EXECUTIONS.c.id != but,
        )
        .limit(1)
    )
    return connection.execute(query).first() is not None


_FIRED: Final = (
    select(_EXECUTIONS.c.id)
    .where(
        _EXECUTIONS.c.schedule_id == bindparam("schedule_id"),
        _EXECUTIONS.c.queued_at >= bindparam("since", type_=_EXECUTIONS.c.queued_at.type),
        _EXECUTIONS.c.workflow_id == bindparam("workflow_id"),
    )
    .limit(1)
)


def has_fired(connection: Connection, schedule_id: UUID, workflow_id: str, since: datetime) -> bool:
    """Whether a workflow of this id has opened an execution of the schedule, at a time or later."""
    of_workflow = {"schedule_id": schedule_id, "workflow_id": workflow_id, "since": since}
    return connection.execute(_FIRED, of_workflow).first() is not None


_PLAN: Final = (
    _RECORDS.select()
    .with_only_columns(
        _RECORDS.c.id.label("step_id"),
        _RECORDS.c.position,
        _RECORDS.c.step_group.label("group"),
        _RECORDS.c.display_name.label("name"),
        _RECORDS.c.step_type,
        _RECORDS.c.continue_on_failure,
        _RECORDS.c.timeout_seconds,
        _RECORDS.c.max_attempts,
        _RECORDS.c.worker_pool,
        _RECORDS.c.schedule_to_start_seconds,
        _RECORDS.c.config,
        _RECORDS.c.resolved,
    )
    .where(_RECORDS.c.execution_id == bindparam("execution_id"), _RECORDS.c.position >= bindparam("from_position"))
    .order_by(_RECORDS.c.position)
    .limit(_SLICE_STEPS)
)


def read_plan(connection: Connection, execution_id: UUID, position: int) -> list[StepSpec]:
    """Returns the next slice of an execution's plan: some hundred steps, fewer where they are large, at least one."""
    plan: list[StepSpec] = []
    size = 0
    for row in connection.execute(_PLAN, {"execution_id": execution_id, "from_position": position}).mappings():
        spec = StepSpec.model_validate(dict(row))
        size += len(spec.model_dump_json())
        if plan and size > _SLICE_BYTES:
            break
        plan.append(spec)
    return plan


_BEGIN_EXECUTION: Final = (
    update(_EXECUTIONS)
    .where(_EXECUTIONS.c.id == bindparam("execution_id"), _EXECUTIONS.c.status.in_(ACTIVE_STATUSES))
    .values(
        status=ExecutionStatus.IN_PROGRESS,
        started_at=func.coalesce(_EXECUTIONS.c.started_at, bindparam("now", type_=_EXECUTIONS.c.started_at.type)),
    )
)


def begin_execution(connection: Connection, execution_id: UUID) -> bool:
    """Marks an execution as running; False where its record is closed already, or gone."""
    return connection.execute(_BEGIN_EXECUTION, {"execution_id": execution_id, "now": utc_now()}).rowcount == 1


_BEGIN_STEP: Final = (
    update(_RECORDS)
    .where(
        _RECORDS.c.id == bindparam("record_id"),
        # One value each: a list of values could not be executed for many rows at once.
        or_(_RECORDS.c.status == StepStatus.WAITING, _RECORDS.c.status == StepStatus.PENDING),
    )
    .values(status=StepStatus.PROCESSING)
)

# Groups come in order, attempts too, and a step ends once. A worker that was frozen may write, when it wakes, what
# another one has written in its place meanwhile: nothing then goes back.
_REACH_GROUP: Final = (
    update(_EXECUTIONS)
    .where(_EXECUTIONS.c.id == bindparam("execution_id"), _EXECUTIONS.c.current_group < bindparam("group"))
    .values(current_group=bindparam("group"))
)

_UNFINISHED: Final = (StepStatus.PENDING, StepStatus.WAITING, StepStatus.QUEUED, StepStatus.PROCESSING)

_FINISH_STEP: Final = (
    update(_RECORDS)
    .where(_RECORDS.c.id == bindparam("record_id"), or_(*(_RECORDS.c.status == status for status in _UNFINISHED)))
    .values({name: bindparam(f"new_{name}") for name in _OUTCOME_COLUMNS})
)


def begin_steps(connection: Connection, step_ids: Sequence[UUID]) -> None:
    """Marks steps as handed to workers."""
    if step_ids:
        connection.execute(_BEGIN_STEP, [{"record_id": step_id} for step_id in step_ids])


def reach_group(connection: Connection, execution_id: UUID, group: int) -> None:
    """Notes the group that was begun last."""
    connection.execute(_REACH_GROUP, {"execution_id": execution_id, "group": group})


def set_paused(connection: Connection, execution_id: UUID, *, paused: bool, before_group: int) -> None:
    """Marks a running execution as paused before a group, or as going on with it.

    One that has ended, or has begun a step of that group or a later one, stays as it is.
    """
    before, after = ExecutionStatus.IN_PROGRESS, ExecutionStatus.PAUSED
    if not paused:
        before, after = after, before
    begun = exists().where(
        _RECORDS.c.execution_id == execution_id,
        _RECORDS.c.step_group >= before_group,
        _RECORDS.c.status.not_in((StepStatus.WAITING, StepStatus.PENDING)),
    )
    here = (_EXECUTIONS.c.id == execution_id, _EXECUTIONS.c.status == before, ~begun)
    connection.execute(update(_EXECUTIONS).where(*here).values(status=after))


def finish_steps(connection: Connection, finished: Sequence[FinishedStep]) -> None:
    """Writes how steps ended; one that has ended stays as it is."""
    if finished:
        connection.execute(_FINISH_STEP, [_finish_values(step) for step in finished])


def note_outcome(record: StepRecord, outcome: StepOutcome) -> None:
    """Changes a record that was read to look at to what it will be when the outcome of its step is written."""
    values = _finish_values(FinishedStep(step_id=record.id, outcome=outcome))
    vars(record).update({name: values[f"new_{name}"] for name in _OUTCOME_COLUMNS})


def _finish_values(step: FinishedStep) -> dict[str, Any]:
    outcome = step.outcome
    return {
        "record_id": step.step_id,
        "new_status": outcome.status,
        "new_started_at": outcome.started_at,
        "new_completed_at": outcome.completed_at or utc_now(),
        "new_error_message": outcome.message,
        "new_exit_code": outcome.exit_code,
        "new_attempts": outcome.attempts,
        "new_attempt_history": _history(outcome.history),
        "new_host": outcome.host,
        "new_processes_ended": outcome.processes_ended,
        "new_output_tail": outcome.output_tail,
        "new_output_bytes": outcome.output_bytes,
        "new_output_note": outcome.output_note,
        "new_progress": _progress(outcome.progress),
        "new_activity_id": outcome.activity_id,
        "new_activity_status": outcome.activity_status,
    }


_RECORD_ATTEMPT: Final = (
    update(_RECORDS)
    .where(
        _RECORDS.c.id == bindparam("record_id"),
        or_(_RECORDS.c.status == StepStatus.PROCESSING, _RECORDS.c.status == StepStatus.QUEUED),
        # No more attempts are known than these.
        _RECORDS.c.attempt_history[bindparam("count", type_=JSON.JSONIntIndexType())].as_string().is_(None),
    )
    .values(
        {"status": StepStatus.QUEUED}
        | {
            name: bindparam(f"new_{name}")
            for name in ("started_at", "error_message", "attempts", "attempt_history", "host")
        },
    )
)


def record_attempts(connection: Connection, attempted: Sequence[AttemptedStep]) -> None:
    """Writes how attempts ended that others follow, where no more of them are known; the steps are Queued meanwhile."""
    if attempted:
        connection.execute(_RECORD_ATTEMPT, [_attempt_values(step) for step in attempted])


def _attempt_values(step: AttemptedStep) -> dict[str, Any]:
    last = step.history[-1]
    return {
        "record_id": step.step_id,
        "count": len(step.history),
        "new_started_at": step.history[0].started_at,
        "new_error_message": last.message,
        "new_attempts": step.attempts,
        "new_attempt_history": _history(step.history),
        "new_host": last.host,
    }


def _history(attempts: Sequence[StepAttempt]) -> list[dict[str, Any]] | None:
    return [attempt.model_dump(mode="json") for attempt in attempts] or None


def _progress(progress: StepProgress | None) -> dict[str, Any] | None:
    return progress.model_dump() if progress else None


_CLOSE_EXECUTION: Final = (
    update(_EXECUTIONS)
    .where(
        _EXECUTIONS.c.id == bindparam("execution_id"),
        _EXECUTIONS.c.status.in_(bindparam("only_from", expanding=True)),
    )
    .values({name: bindparam(f"new_{name}") for name in ("status", "error_message", "completed_at")})
)
_CANCEL_REST: Final = (
    update(_RECORDS)
    .where(_RECORDS.c.execution_id == bindparam("closed_id"), _RECORDS.c.status.in_(_UNFINISHED))
    .values(
        status=StepStatus.CANCELLED,
        completed_at=bindparam("new_completed_at"),
        error_message=func.coalesce(_RECORDS.c.error_message, bindparam("unreached_message", type_=Text())),
    )
)


def close_execution(
    connection: Connection,
    execution_id: UUID,
    status: ExecutionStatus,
    message: str | None,
    *,
    unreached_message: str | None = None,
    only_from: frozenset[ExecutionStatus] = ACTIVE_STATUSES,
) -> bool:
    """Closes an execution's record; steps that have not ended become Cancelled.

    Args:
        connection: A connection that writes.
        execution_id: The execution.
        status: Its terminal status.
        message: Its error message.
        unreached_message: Why its unfinished steps ended.
        only_from: Statuses from which it may be closed.

    Returns:
        Whether it was this call that closed it.
    """
    now = utc_now()
    closing = {
        "execution_id": execution_id,
        "only_from": only_from,
        "new_status": status,
        "new_error_message": message,
        "new_completed_at": now,
    }
    if connection.execute(_CLOSE_EXECUTION, closing).rowcount != 1:
        return False
    rest = {"closed_id": execution_id, "new_completed_at": now, "unreached_message": unreached_message}
    connection.execute(_CANCEL_REST, rest)
    return True


def list_active_executions(connection: Connection) -> Sequence[Execution]:
    """Returns every execution that has not ended, oldest first."""
    query = select(Execution).where(col(Execution.status).in_(ACTIVE_STATUSES))
    # Sorted here: asked to, SQLite walks all that there ever were in the order of time.
    active = rows_of(Execution, connection.execute(query))
    return sorted(active, key=lambda execution: (execution.queued_at, execution.id))


def get_executions(connection: Connection, execution_ids: Sequence[UUID]) -> dict[UUID, Execution]:
    """Returns those of these executions that exist, by id."""
    query = select(Execution).where(col(Execution.id).in_(execution_ids))
    return {execution.id: execution for execution in rows_of(Execution, connection.execute(query))}


async def tally_ended(session: AsyncSession) -> int:
    """Counts some of the executions that have ended into the tally; returns how many, 0 where none is left.

    Their status changes no more, so that what is tallied stays right until they are deleted.
    """
    some = (
        select(_EXECUTIONS.c.id)
        .where(~_EXECUTIONS.c.tallied, _EXECUTIONS.c.status.not_in(ACTIVE_STATUSES))
        .limit(_TALLIED_AT_ONCE)
    )
    taken = (
        _EXECUTIONS.update()
        .where(_EXECUTIONS.c.id.in_(some), ~_EXECUTIONS.c.tallied)
        .values(tallied=True)
        .returning(_EXECUTIONS.c.schedule_id, _EXECUTIONS.c.status)
    )
    ended = Counter((row.schedule_id, row.status) for row in await (await session.connection()).execute(taken))
    await change_tally(session, ended)
    return ended.total()


async def delete_executions(session: AsyncSession, *where: ColumnElement[bool]) -> int:
    """Deletes the executions of which all of this holds, their steps too, and takes them out of the tally.

    Returns:
        How many there were.
    """
    deletion = (
        _EXECUTIONS.delete()
        .where(*where)
        .returning(_EXECUTIONS.c.schedule_id, _EXECUTIONS.c.status, _EXECUTIONS.c.tallied)
    )
    gone = (await (await session.connection()).execute(deletion)).all()
    tallied = Counter((row.schedule_id, row.status) for row in gone if row.tallied)
    await change_tally(session, {key: -count for key, count in tallied.items()})
    return len(gone)
