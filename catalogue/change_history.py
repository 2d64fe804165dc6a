"""The change history of schedules: every change is a version, which outlives the schedule."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Column, String, Table, Text, UniqueConstraint, cast
from sqlalchemy.orm import defer
from sqlmodel import Field, SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from catalogue.columns import UtcDateTime, enum_column, json_column, utc_now
from catalogue.executions import InitiatorType
from catalogue.filters import Columns, Order, conditions, ordering


class ChangeOperation(StrEnum):
    """What was done to a schedule."""

    CREATE = "Create"
    UPDATE = "Update"
    ENABLE = "Enable"
    DISABLE = "Disable"
    DELETE = "Delete"


class ScheduleVersion(SQLModel, table=True):
    """One change of a schedule, and the schedule as the change left it."""

    __tablename__ = "schedule_version"
    __table_args__ = (UniqueConstraint("schedule_id", "version"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    schedule_id: UUID
    """No foreign key: history stays when the schedule is deleted."""
    version: int
    """From 1 for each schedule, without gaps."""
    operation: ChangeOperation = Field(sa_type=enum_column(ChangeOperation))
    changed_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    initiated_by_type: InitiatorType = Field(sa_type=enum_column(InitiatorType))
    initiated_by_id: str | None = Field(default=None, max_length=64)
    initiated_by_name: str | None = Field(default=None, max_length=200)
    reason: str | None = Field(default=None, max_length=2000)
    summary: str = Field(sa_column=Column(Text, nullable=False))
    # The large ones come last: SQLite reads a row from its beginning, and stops at the last column that is asked for.
    secrets: dict[str, Any] = Field(default_factory=dict, sa_column=Column(json_column(), nullable=False))
    """Fingerprints of the secrets, by place: they tell whether one changed, and nothing else."""
    snapshot: dict[str, Any] = Field(default_factory=dict, sa_column=Column(json_column(), nullable=False))
    """The schedule as the API showed it, secrets masked. That of a deletion is what was deleted."""


async def latest_version(session: AsyncSession, schedule_id: UUID) -> int:
    """Returns the number of a schedule's latest version; 0 where it has none."""
    query = select(func.max(ScheduleVersion.version)).where(ScheduleVersion.schedule_id == schedule_id)
    return (await session.exec(query)).one() or 0


async def get_versions(session: AsyncSession, schedule_id: UUID, versions: Sequence[int]) -> dict[int, ScheduleVersion]:
    """Returns those of these versions of a schedule that exist, by number, with their snapshots."""
    query = select(ScheduleVersion).where(
        ScheduleVersion.schedule_id == schedule_id,
        col(ScheduleVersion.version).in_(versions),
    )
    return {row.version: row for row in (await session.exec(query)).all()}


_LARGE: Final[tuple[Any, ...]] = (ScheduleVersion.secrets, ScheduleVersion.snapshot)
_VERSIONS: Final[Table] = ScheduleVersion.__table__  # type: ignore[attr-defined]

_COLUMNS: Final[Columns] = {
    "version": _VERSIONS.c.version,
    "when": _VERSIONS.c.changed_at,
    "operation": cast(_VERSIONS.c.operation, String),
    "initiatedbytype": cast(_VERSIONS.c.initiated_by_type, String),
    "initiatedbyname": _VERSIONS.c.initiated_by_name,
    "reason": _VERSIONS.c.reason,
    "summary": _VERSIONS.c.summary,
}


async def list_versions(
    session: AsyncSession,
    schedule_id: UUID,
    *,
    order: Order,
    filters: Sequence[str],
    offset: int,
    limit: int,
) -> tuple[Sequence[ScheduleVersion], int]:
    """Returns one page of a schedule's versions, without their snapshots, and how many match.

    Args:
        session: A session that reads.
        schedule_id: The schedule, which may be deleted.
        order: What to sort by: version where it names nothing that a version shows.
        filters: `property:operator:value` each; all must hold.
        offset: Rows to leave out.
        limit: Rows to return at most.
    """
    where = [_VERSIONS.c.schedule_id == schedule_id, *conditions(_COLUMNS, filters)]
    total = (await session.exec(select(func.count()).select_from(ScheduleVersion).where(*where))).one()
    query = (
        select(ScheduleVersion)
        .options(*(defer(column, raiseload=True) for column in _LARGE))
        .where(*where)
        .order_by(*ordering(_COLUMNS, order, _VERSIONS.c.version))
        .offset(offset)
        .limit(limit)
    )
    return (await session.exec(query)).all(), total
