"""The tally: how many executions of each schedule have ended in which way.

Counting a million rows takes longer than a request may. What has ended changes no more but by being deleted, so it is
counted once: the upkeep adds it to the tally and marks the rows, in one transaction. What is not marked is counted row
by row, so that a number read in one transaction is exact whenever the upkeep last came. Nobody waits for a counter:
executions begin and end without touching one.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import Uuid, bindparam, text
from sqlmodel import Field, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from catalogue.columns import enum_column
from contracts.execution import ExecutionStatus

ALL_SCHEDULES: Final = UUID(int=0)
"""Stands for no schedule: its numbers are those of all of them together."""


class ExecutionTally(SQLModel, table=True):
    """How many of a schedule's executions have ended in one way, those marked as tallied."""

    __tablename__ = "execution_tally"

    schedule_id: UUID = Field(primary_key=True)
    """No foreign key: executions outlive their schedule."""
    status: ExecutionStatus = Field(primary_key=True, sa_type=enum_column(ExecutionStatus))
    executions: int


_ADD: Final = text(
    "INSERT INTO execution_tally (schedule_id, status, executions) VALUES (:schedule_id, :status, :executions) "
    "ON CONFLICT (schedule_id, status) DO UPDATE SET executions = execution_tally.executions + excluded.executions"
).bindparams(bindparam("schedule_id", type_=Uuid()))


async def change_tally(session: AsyncSession, changes: Mapping[tuple[UUID, ExecutionStatus], int]) -> None:
    """Adds to the numbers of schedules, by schedule and status, and to those of all schedules."""
    if not changes:
        return
    sums = dict(changes)
    for (_, status), count in changes.items():
        sums[ALL_SCHEDULES, status] = sums.get((ALL_SCHEDULES, status), 0) + count
    # In one order, so that two that change the tally wait for each other instead of both for ever.
    rows = [
        {"schedule_id": schedule_id, "status": status.value, "executions": count}
        for (schedule_id, status), count in sorted(sums.items())
    ]
    await (await session.connection()).execute(_ADD, rows)
