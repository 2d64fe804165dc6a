"""Connected systems and their run profiles: what a RunProfile step runs."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Integer,
    String,
    Table,
    UniqueConstraint,
    cast,
    literal,
    text,
)
from sqlmodel import Field, SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from catalogue.columns import UtcDateTime, json_column, utc_now
from catalogue.filters import Columns, Order, conditions, ordering
from catalogue.schedules import Schedule, ScheduleStep, some_at_once

MAX_ID: Final = 2**31 - 1
"""What a column of ids holds on PostgreSQL. A step may name a larger one: nothing has it."""

MAX_IMPORTED_ID: Final = 1_000_000_000
"""The highest id with which something may come: ids count on from there, and must not run out."""


class ConnectedSystem(SQLModel, table=True):
    """A system that run profiles work on, and the connector that drives it."""

    __tablename__ = "connected_system"
    __table_args__ = {"sqlite_autoincrement": True}

    id: int | None = Field(default=None, primary_key=True)
    """Counted from 1; never given twice."""
    name: str = Field(max_length=200, unique=True)
    description: str | None = Field(default=None, max_length=1000)
    connector_name: str = Field(max_length=100)
    settings: dict[str, Any] = Field(default_factory=dict, sa_column=Column(json_column(), nullable=False))
    """The connector's own fields, by attribute name, secrets sealed."""
    created: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class RunProfile(SQLModel, table=True):
    """One kind of run of a connected system."""

    __tablename__ = "run_profile"
    __table_args__ = (UniqueConstraint("connected_system_id", "name"), {"sqlite_autoincrement": True})

    id: int | None = Field(default=None, primary_key=True)
    connected_system_id: int = Field(
        sa_column=Column(Integer, ForeignKey("connected_system.id", ondelete="CASCADE"), nullable=False, index=True),
    )
    name: str = Field(max_length=200)
    run_type: str = Field(max_length=32)
    settings: dict[str, Any] = Field(default_factory=dict, sa_column=Column(json_column(), nullable=False))
    created: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


_TABLE: Final[Table] = ConnectedSystem.__table__  # type: ignore[attr-defined]
_PROFILES: Final[Table] = RunProfile.__table__  # type: ignore[attr-defined]

_LIST_COLUMNS: Final[Columns] = {
    name.replace("_", ""): _TABLE.c[name] for name in ("id", "name", "description", "created", "connector_name")
}


async def list_connected_systems(
    session: AsyncSession,
    *,
    constants: Mapping[str, str | int],
    order: Order,
    filters: Sequence[str],
    offset: int,
    limit: int,
) -> tuple[Sequence[ConnectedSystem], int]:
    """Returns one page of the connected systems, and how many pass the filters.

    Args:
        session: A session that reads.
        constants: Properties that are the same for all, by JSON name: they can be filtered by, too.
        order: What they are sorted by; by default their ids.
        filters: As `catalogue.filters.conditions` reads them.
        offset: Rows to leave out.
        limit: Rows to return at most.
    """
    columns = {**_LIST_COLUMNS, **{name.lower(): literal(value) for name, value in constants.items()}}
    where = conditions(columns, filters)
    total = (await session.exec(select(func.count()).select_from(ConnectedSystem).where(*where))).one()
    by = ordering(_LIST_COLUMNS, order, _TABLE.c.id)
    page = select(ConnectedSystem).where(*where).order_by(*by).offset(offset).limit(limit)
    return (await session.exec(page)).all(), total


async def get_connected_system(
    session: AsyncSession,
    system_id: int,
    *,
    lock: bool = False,
) -> ConnectedSystem | None:
    """Returns a connected system; `lock` keeps other writers waiting until the transaction ends."""
    if system_id > MAX_ID:
        return None
    return await session.get(ConnectedSystem, system_id, with_for_update=lock or None)


async def lock_all_ids(session: AsyncSession) -> None:
    """Keeps others from adding connected systems and run profiles until the transaction ends."""
    connection = await session.connection()
    # A transaction that writes to SQLite has the database to itself.
    if connection.dialect.name == "postgresql":
        await connection.execute(text("LOCK TABLE connected_system, run_profile IN SHARE ROW EXCLUSIVE MODE"))


async def count_on_from_highest_ids(session: AsyncSession) -> None:
    """Lets the next ids follow the highest that are there, for rows that came with theirs; needs `lock_all_ids`.

    A sequence of PostgreSQL knows only the ids that it gave itself. SQLite looks at those in the table, too.
    """
    if (await session.connection()).dialect.name != "postgresql":
        return
    for model in (ConnectedSystem, RunProfile):
        highest = (await session.exec(select(func.max(model.id)))).one()
        if highest is not None:
            sequence = func.pg_get_serial_sequence(model.__tablename__, "id")
            await session.exec(select(func.setval(sequence, func.greatest(func.nextval(sequence) - 1, highest))))


async def list_all(session: AsyncSession) -> tuple[Sequence[ConnectedSystem], Sequence[RunProfile]]:
    """Returns every connected system and every run profile, by id."""
    systems = (await session.exec(select(ConnectedSystem).order_by(col(ConnectedSystem.id)))).all()
    profiles = (await session.exec(select(RunProfile).order_by(col(RunProfile.id)))).all()
    return systems, profiles


async def list_run_profiles(session: AsyncSession, system_id: int) -> Sequence[RunProfile]:
    """Returns the run profiles of a connected system, by id."""
    query = select(RunProfile).where(RunProfile.connected_system_id == system_id).order_by(col(RunProfile.id))
    return (await session.exec(query)).all()


async def get_run_profile(session: AsyncSession, system_id: int, profile_id: int) -> RunProfile | None:
    """Returns a run profile, where it is one of that connected system."""
    profile = await session.get(RunProfile, profile_id) if profile_id <= MAX_ID else None
    return profile if profile is not None and profile.connected_system_id == system_id else None


def existing_profiles(connection: Connection, system_ids: Iterable[int]) -> dict[int, set[int]]:
    """Returns those of these connected systems that exist, each with the ids of its run profiles."""
    existing: dict[int, set[int]] = {}
    for ids in some_at_once([system_id for system_id in system_ids if system_id <= MAX_ID]):
        query = (
            select(_TABLE.c.id, _PROFILES.c.id)
            .outerjoin(_PROFILES, _PROFILES.c.connected_system_id == _TABLE.c.id)
            .where(_TABLE.c.id.in_(ids))
        )
        for system_id, profile_id in connection.execute(query):
            existing.setdefault(system_id, set()).add(profile_id)
    return existing


class CatalogueLookup:
    """What a step may look up when its snapshot is taken (`activities.support.step_type.Lookup`)."""

    def __init__(self, session: AsyncSession) -> None:
        """Looks up in the transaction of the snapshot."""
        self._session = session

    async def connected_system(self, system_id: int) -> dict[str, Any] | None:
        """Returns `name`, `connector_name` and sealed `settings` of a connected system, or None."""
        system = await get_connected_system(self._session, system_id)
        if system is None:
            return None
        return {"name": system.name, "connector_name": system.connector_name, "settings": system.settings}

    async def run_profile(self, system_id: int, profile_id: int) -> dict[str, Any] | None:
        """Returns `name`, `run_type` and sealed `settings` of a run profile of that system, or None."""
        profile = await get_run_profile(self._session, system_id, profile_id)
        if profile is None:
            return None
        return {"name": profile.name, "run_type": profile.run_type, "settings": profile.settings}


async def schedules_using(session: AsyncSession, system_id: int, profile_id: int | None = None) -> list[str]:
    """Returns the names of the schedules with a step that runs a profile of this system (or this profile), sorted."""
    query = (
        select(Schedule.name)
        .join(ScheduleStep, col(ScheduleStep.schedule_id) == col(Schedule.id))
        .where(_named_id("connected_system_id") == str(system_id))
        .distinct()
        .order_by(col(Schedule.name))
    )
    if profile_id is not None:
        query = query.where(_named_id("run_profile_id") == str(profile_id))
    return list((await session.exec(query)).all())


def _named_id(field: str) -> ColumnElement[str]:
    """Returns the id that a step names, as text: as a number, one stored too large would fail the query for all."""
    return cast(col(ScheduleStep.config)[field].as_string(), String)
