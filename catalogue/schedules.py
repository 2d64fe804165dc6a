"""Schedules and their steps, as users define them."""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Index,
    Table,
    Text,
    Uuid,
    bindparam,
    case,
    event,
    false,
    insert,
    update,
)
from sqlalchemy.orm import Mapper
from sqlmodel import Field, SQLModel, col, delete, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from catalogue.columns import UtcDateTime, enum_column, json_column, rows_of, utc_now
from catalogue.paging import Stretch, empty_last, read_page
from contracts.execution import DEFAULT_CATCH_UP_SECONDS, OverlapPolicy, TriggerType
from timetable import IntervalUnit, PatternType

_IDS_AT_ONCE: Final = 1000

_FEW: Final = 300
"""As many finds of a search are read at once; their ids cost less than another look at every text."""

_SEARCH_LENGTH: Final = 5000
"""No name and description are as long together; SQLite refuses a pattern of ten times that."""


class ExecutionMode(StrEnum):
    """How a step stands to the one before it."""

    SEQUENTIAL = "Sequential"
    PARALLEL_WITH_PREVIOUS = "ParallelWithPrevious"


class Schedule(SQLModel, table=True):
    """A schedule: what triggers it, and how it stands. Its steps are rows of their own."""

    __tablename__ = "schedule"
    # What a list is sorted by, ties by id.
    __table_args__ = (
        Index("ix_schedule_name", "name", "id"),
        Index("ix_schedule_created", "created", "id"),
        Index("ix_schedule_last_run_time", "last_run_time", "id"),
        Index("ix_schedule_next_run_time", "next_run_time", "id"),
        Index("ix_schedule_is_enabled", "is_enabled", "id"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    name: str = Field(max_length=200, unique=True)
    description: str | None = Field(default=None, max_length=1000)
    trigger_type: TriggerType = Field(default=TriggerType.MANUAL, sa_type=enum_column(TriggerType))
    pattern_type: PatternType = Field(default=PatternType.SPECIFIC_TIMES, sa_type=enum_column(PatternType))
    cron_expression: str | None = Field(default=None, max_length=2000)
    days_of_week: str | None = Field(default=None, max_length=50)
    run_times: str | None = Field(default=None, max_length=200)
    interval_value: int | None = None
    interval_unit: IntervalUnit | None = Field(default=None, sa_type=enum_column(IntervalUnit))
    interval_window_start: str | None = Field(default=None, max_length=10)
    interval_window_end: str | None = Field(default=None, max_length=10)
    time_zone: str = Field(default="UTC", max_length=64)
    overlap_policy: OverlapPolicy = Field(default=OverlapPolicy.SKIP, sa_type=enum_column(OverlapPolicy))
    catch_up_window_seconds: int = DEFAULT_CATCH_UP_SECONDS
    jitter_seconds: int = 0
    start_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    end_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    is_enabled: bool = False
    created: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    last_updated: datetime | None = Field(default=None, sa_type=UtcDateTime)

    last_run_time: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """The last start, however triggered."""
    next_run_time: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When Temporal fires next; None when disabled or manual."""
    last_skipped_time: datetime | None = Field(default=None, sa_type=UtcDateTime)
    skipped_count: int = 0
    """Cron fires that the overlap policy dropped."""
    last_execution_id: UUID | None = None
    search_text: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    """What `search` looks into, kept by `search_text`; also in `ScheduleText`."""


def search_text(name: str, description: str | None) -> str:
    """Returns what is stored of a schedule's name and description to be searched in any letter case.

    To fold a hundred thousand of them anew for each search takes three times as long. It is not left to the database:
    SQLite folds the letters of English alone, PostgreSQL those that its locale knows.
    """
    return f"{name}\n{description or ''}".casefold()


@event.listens_for(Schedule, "before_insert")
@event.listens_for(Schedule, "before_update")
def _keep_search_text(_: Mapper[Schedule], __: Connection, schedule: Schedule) -> None:
    schedule.search_text = search_text(schedule.name, schedule.description)


class ScheduleText(SQLModel, table=True):
    """A schedule's `search_text` once more, in rows with nothing else to read past. A trigger of the database keeps it.

    To look through all of them takes less than half of what it takes in `schedule`, whose rows are four times as long and
    lie as every start of a schedule has left them.
    """

    __tablename__ = "schedule_text"

    schedule_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("schedule.id", ondelete="CASCADE"), primary_key=True),
    )
    text: str = Field(sa_column=Column(Text, nullable=False))


class ScheduleStep(SQLModel, table=True):
    """One step of a schedule."""

    __tablename__ = "schedule_step"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    schedule_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("schedule.id", ondelete="CASCADE"), nullable=False, index=True),
    )
    position: int
    """Place in the list that the client sent, from 0."""
    step_index: int = 0
    name: str | None = Field(default=None, max_length=200)
    execution_mode: ExecutionMode = Field(default=ExecutionMode.SEQUENTIAL, sa_type=enum_column(ExecutionMode))
    step_type: str = Field(max_length=100)
    continue_on_failure: bool = False
    timeout_seconds: int | None = None
    max_attempts: int = 1
    worker_pool: str | None = Field(default=None, max_length=100)
    """The pool whose workers alone may run it."""
    schedule_to_start_seconds: int | None = None
    """How long it may wait for a worker."""
    config: dict[str, Any] = Field(default_factory=dict, sa_column=Column(json_column(), nullable=False))
    """The step type's own fields, by attribute name, secrets sealed."""


async def get_schedule(session: AsyncSession, schedule_id: UUID, *, lock: bool = False) -> Schedule | None:
    """Returns a schedule; `lock` keeps other writers waiting until the transaction ends."""
    return await session.get(Schedule, schedule_id, with_for_update=lock or None)


async def find_schedule_by_name(session: AsyncSession, name: str) -> Schedule | None:
    """Returns the schedule with exactly this name."""
    return (await session.exec(select(Schedule).where(Schedule.name == name))).one_or_none()


_SCHEDULES: Final[Table] = Schedule.__table__  # type: ignore[attr-defined]
_STEPS: Final[Table] = ScheduleStep.__table__  # type: ignore[attr-defined]

_ONE_SCHEDULE: Final = _SCHEDULES.select().where(_SCHEDULES.c.id == bindparam("schedule_id"))
_STEPS_OF_ONE: Final = (
    _STEPS.select()
    .where(_STEPS.c.schedule_id == bindparam("schedule_id"))
    .order_by(_STEPS.c.step_index, _STEPS.c.position)
)


def read_schedule(connection: Connection, schedule_id: UUID, *, lock: bool = False) -> Schedule | None:
    """Returns a schedule to look at; `get_schedule` returns one to change.

    `lock` keeps other writers waiting until the transaction ends.
    """
    query = _ONE_SCHEDULE.with_for_update() if lock else _ONE_SCHEDULE
    found = rows_of(Schedule, connection.execute(query, {"schedule_id": schedule_id}))
    return found[0] if found else None


_NOTE_NEXT_RUN: Final = (
    update(_SCHEDULES)
    .where(_SCHEDULES.c.id == bindparam("schedule_id"))
    .values(next_run_time=bindparam("upcoming", type_=_SCHEDULES.c.next_run_time.type))
)
_NOTE_SKIP: Final = (
    update(_SCHEDULES)
    .where(_SCHEDULES.c.id == bindparam("schedule_id"))
    .values(
        skipped_count=_SCHEDULES.c.skipped_count + 1,
        last_skipped_time=bindparam("fire_time", type_=_SCHEDULES.c.last_skipped_time.type),
    )
)


def note_next_run(connection: Connection, schedule_id: UUID, upcoming: datetime | None) -> None:
    """Writes when a schedule runs next."""
    connection.execute(_NOTE_NEXT_RUN, {"schedule_id": schedule_id, "upcoming": upcoming})


def note_skip(connection: Connection, schedule_id: UUID, fire_time: datetime) -> None:
    """Counts a fire that was skipped."""
    connection.execute(_NOTE_SKIP, {"schedule_id": schedule_id, "fire_time": fire_time})


def get_steps(connection: Connection, schedule_id: UUID) -> list[ScheduleStep]:
    """Returns a schedule's steps in the order in which they run."""
    return rows_of(ScheduleStep, connection.execute(_STEPS_OF_ONE, {"schedule_id": schedule_id}))


Id = TypeVar("Id", int, UUID)


def some_at_once(ids: Sequence[Id]) -> Iterator[Sequence[Id]]:
    """Yields ids in portions that one statement may name."""
    for start in range(0, len(ids), _IDS_AT_ONCE):
        yield ids[start : start + _IDS_AT_ONCE]


async def replace_steps(
    session: AsyncSession,
    steps: Sequence[ScheduleStep],
    stored: AbstractSet[UUID],
) -> None:
    """Makes these a schedule's steps, whole: what is not among them is deleted, what is stored is updated.

    Args:
        session: A session that writes.
        steps: The schedule's steps from now on.
        stored: Ids of the steps that it has now.
    """
    gone = stored - {step.id for step in steps}
    for ids in some_at_once(list(gone)):
        await session.exec(delete(ScheduleStep).where(col(ScheduleStep.id).in_(ids)))
    connection = await session.connection()
    changed = [step.model_dump() for step in steps if step.id in stored]
    if changed:
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in changed[0] if name != "id"}
        rows = [{f"new_{name}": value for name, value in row.items()} for row in changed]
        await connection.execute(update(_STEPS).where(_STEPS.c.id == bindparam("new_id")).values(**values), rows)
    added = [step.model_dump() for step in steps if step.id not in stored]
    if added:
        await connection.execute(insert(_STEPS), added)


async def delete_steps(session: AsyncSession, schedule_id: UUID) -> None:
    """Deletes a schedule's steps."""
    await session.exec(delete(ScheduleStep).where(col(ScheduleStep.schedule_id) == schedule_id))


def count_steps(connection: Connection, schedule_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Returns how many steps each schedule has; one without steps is left out."""
    query = (
        select(ScheduleStep.schedule_id, func.count())
        .where(col(ScheduleStep.schedule_id).in_(schedule_ids))
        .group_by(col(ScheduleStep.schedule_id))
    )
    return dict(iter(connection.execute(query)))


async def schedule_of_steps(session: AsyncSession, step_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Returns to which schedule each of these steps belongs; an unknown step is left out."""
    owners: dict[UUID, UUID] = {}
    for ids in some_at_once(step_ids):
        query = select(ScheduleStep.id, ScheduleStep.schedule_id).where(col(ScheduleStep.id).in_(ids))
        owners |= dict((await session.exec(query)).all())
    return owners


_SORT_COLUMNS: Final = {
    "name": _SCHEDULES.c.name,
    "lastruntime": _SCHEDULES.c.last_run_time,
    "lastrun": _SCHEDULES.c.last_run_time,
    "nextruntime": _SCHEDULES.c.next_run_time,
    "nextrun": _SCHEDULES.c.next_run_time,
}
_ENABLED_NAMES: Final = frozenset({"isenabled", "enabled", "status"})


def list_schedules(
    connection: Connection,
    *,
    search: str | None,
    sort_by: str | None,
    descending: bool,
    offset: int,
    limit: int,
) -> tuple[Sequence[Schedule], int]:
    """Returns one page of the schedules, and how many match.

    Args:
        connection: A connection that reads.
        search: Text that the name or the description contains, in any letter case.
        sort_by: A field's name in any letter case; what is unknown sorts by creation. Ties go by id.
        descending: Largest first. Schedules without a value stand last either way.
        offset: Rows to leave out.
        limit: Rows to return at most.
    """
    where, total = _find(connection, search) if search else ([], None)
    name = (sort_by or "").lower()
    by_state = name in _ENABLED_NAMES
    column = _SORT_COLUMNS.get(name, _SCHEDULES.c.created)
    is_enabled = col(Schedule.is_enabled)
    is_first = (is_enabled if descending else ~is_enabled) if by_state else column.is_not(None)

    def page(first: int, rows: int) -> Sequence[Schedule]:
        if by_state:
            stretches = [Stretch([*where, is_first], first), Stretch([*where, ~is_first], rows - first)]
        else:
            stretches = empty_last(where, column, first, rows, descending=descending)
        return read_page(connection, Schedule, stretches, offset=offset, limit=limit)

    all_first = not by_state and not column.nullable
    if total is None:
        in_first = func.count() if all_first else func.count(case((is_first, 1)))
        total, first = connection.execute(select(func.count(), in_first).select_from(Schedule)).one()
        return page(first, total), total
    if offset >= total:
        return [], total
    # To count how many of what a search finds are in the first stretch takes a look at every schedule. A page of the first
    # half is read from that stretch as if all were: where it comes full, it is the right one.
    if all_first or offset + limit <= total // 2:
        rows = page(total, total)
        if all_first or len(rows) == limit:
            return rows, total
    first = connection.execute(select(func.count()).select_from(Schedule).where(*where, is_first)).scalar_one()
    return page(first, total), total


def _find(connection: Connection, search: str) -> tuple[list[ColumnElement[bool]], int]:
    """Returns what holds of the schedules whose name or description contains a text, and how many they are.

    Where they are few, what holds is their ids: the texts are read once, not once to count and once more for the page.
    """
    if len(search) > _SEARCH_LENGTH:
        return [false()], 0
    escaped = re.sub(r"([%_/])", r"/\1", search.casefold())
    contains = col(ScheduleText.text).like(f"%{escaped}%", escape="/")
    ids = connection.execute(select(ScheduleText.schedule_id).where(contains).limit(_FEW + 1)).scalars().all()
    if len(ids) <= _FEW:
        return [col(Schedule.id).in_(ids)], len(ids)
    total = connection.execute(select(func.count()).select_from(ScheduleText).where(contains)).scalar_one()
    # A page walks an index of `schedule`, and looks into the rows that it comes by.
    return [col(Schedule.search_text).like(f"%{escaped}%", escape="/")], total


async def list_cron_schedules(session: AsyncSession, *, after: UUID | None, limit: int) -> Sequence[Schedule]:
    """Returns the cron schedules that follow an id, in the order of ids."""
    query = select(Schedule).where(Schedule.trigger_type == TriggerType.CRON).order_by(col(Schedule.id)).limit(limit)
    if after is not None:
        query = query.where(col(Schedule.id) > after)
    return (await session.exec(query)).all()
