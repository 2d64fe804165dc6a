"""What is taken away when it is old enough: the output of executions, and executions as a whole. In small batches."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Table, Uuid, literal, tuple_
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from catalogue.columns import UtcDateTime
from catalogue.engine import Catalogue
from catalogue.executions import Execution, StepRecord, delete_executions
from catalogue.output import StepOutput

EXECUTIONS_AT_ONCE: Final = 50
STEPS_AT_ONCE: Final = 200
"""One transaction, in which others wait on SQLite: 200 steps have 13 MB of tails at most."""

_ONLY_ROW: Final = 1


class OutputMark(SQLModel, table=True):
    """How far the output of executions is removed, in the order in which they ended: one row, or none."""

    __tablename__ = "output_mark"

    id: int = Field(default=_ONLY_ROW, primary_key=True)
    completed_at: datetime = Field(sa_type=UtcDateTime)
    execution_id: UUID
    """Among those that ended at the same instant."""


_RECORDS: Final[Table] = StepRecord.__table__  # type: ignore[attr-defined]
_OUTPUT: Final[Table] = StepOutput.__table__  # type: ignore[attr-defined]


async def is_output_removed(session: AsyncSession, execution: Execution) -> bool:
    """Whether the output of an execution was removed because of its age."""
    if execution.completed_at is None:
        return False
    mark = await session.get(OutputMark, _ONLY_ROW)
    return mark is not None and (execution.completed_at, execution.id.hex) <= (mark.completed_at, mark.execution_id.hex)


async def remove_old_output(catalogue: Catalogue, ended_before: datetime) -> int:
    """Removes the output of some of the executions that ended before; returns of how many, 0 where none is left."""
    async with catalogue.read() as session:
        mark = await session.get(OutputMark, _ONLY_ROW)
        place = tuple_(col(Execution.completed_at), col(Execution.id))
        old = select(Execution.id, Execution.completed_at).where(col(Execution.completed_at) < ended_before)
        if mark is not None:
            known = tuple_(literal(mark.completed_at, UtcDateTime()), literal(mark.execution_id, Uuid()))
            old = old.where(place > known)
        some = (await session.exec(old.order_by(*place).limit(EXECUTIONS_AT_ONCE))).all()
    if not some:
        return 0
    await _remove_output(catalogue, [execution_id for execution_id, _ in some])
    execution_id, completed_at = some[-1]
    assert completed_at is not None  # noqa: S101 - one that has not ended did not end before
    async with catalogue.write() as session:
        await session.merge(OutputMark(completed_at=completed_at, execution_id=execution_id))
    return len(some)


async def delete_old_executions(catalogue: Catalogue, ended_before: datetime) -> int:
    """Deletes some of the executions that ended before, with all that belongs to them; returns how many."""
    async with catalogue.read() as session:
        old = select(Execution.id).where(col(Execution.completed_at) < ended_before)
        some = (await session.exec(old.order_by(col(Execution.completed_at)).limit(EXECUTIONS_AT_ONCE))).all()
    if not some:
        return 0
    # First in small batches what may be large: an execution itself goes as a whole or not at all.
    await _remove_output(catalogue, some)
    async with catalogue.write() as session:
        return await delete_executions(session, col(Execution.id).in_(some))


async def _remove_output(catalogue: Catalogue, execution_ids: Sequence[UUID]) -> None:
    async with catalogue.read() as session:
        steps = select(StepRecord.id).where(col(StepRecord.execution_id).in_(execution_ids))
        step_ids = (await session.exec(steps)).all()
    for start in range(0, len(step_ids), STEPS_AT_ONCE):
        some = step_ids[start : start + STEPS_AT_ONCE]
        async with catalogue.write() as session:
            connection = await session.connection()
            await connection.execute(_OUTPUT.delete().where(_OUTPUT.c.step_id.in_(some)))
            await connection.execute(
                _RECORDS.update().where(_RECORDS.c.id.in_(some), _RECORDS.c.output_tail != "").values(output_tail="")
            )
