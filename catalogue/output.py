"""What steps print, beyond the tail that their records keep: stored in pieces while they run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Integer,
    LargeBinary,
    Table,
    Uuid,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    or_,
    tuple_,
)
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from catalogue.executions import StepRecord
from contracts.execution import AttemptedStep


class StepOutput(SQLModel, table=True):
    """A piece of what one attempt of a step printed, in UTF-8. Pieces may overlap, and leave gaps."""

    __tablename__ = "step_output"

    step_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("step_record.id", ondelete="CASCADE"), primary_key=True),
    )
    attempt: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    """Number of the attempt, from 1."""
    start: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    """How many bytes the attempt had printed before this piece."""
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


@dataclass(frozen=True)
class Piece:
    """A piece of what one attempt of a step printed."""

    attempt: int
    start: int
    data: bytes


@dataclass(frozen=True)
class OutputChange:
    """What changes in the stored output of one attempt."""

    step_id: UUID
    attempt: int
    pieces: Sequence[tuple[int, bytes]]
    """New pieces, by where they start."""
    removed: Sequence[int] = ()
    """Where pieces start that go."""
    removed_from: int | None = None
    """All pieces that start here or later go, before the new ones come."""


_OUTPUT: Final[Table] = StepOutput.__table__  # type: ignore[attr-defined]
_RECORDS: Final[Table] = StepRecord.__table__  # type: ignore[attr-defined]

_OF_ATTEMPT: Final = and_(_OUTPUT.c.step_id == bindparam("of_step"), _OUTPUT.c.attempt == bindparam("of_attempt"))
_REMOVE_FROM: Final = delete(_OUTPUT).where(_OF_ATTEMPT, _OUTPUT.c.start >= bindparam("from_start"))
_REMOVE: Final = delete(_OUTPUT).where(_OF_ATTEMPT, _OUTPUT.c.start == bindparam("at_start"))

# A record may be gone by now: what its step goes on printing is then of interest to nobody, and no error.
_ADD: Final = insert(_OUTPUT).from_select(
    ["step_id", "attempt", "start", "data"],
    select(
        bindparam("of_step", type_=Uuid()),
        bindparam("of_attempt", type_=Integer()),
        bindparam("at_start", type_=BigInteger()),
        bindparam("data", type_=LargeBinary()),
    ).where(exists().where(_RECORDS.c.id == bindparam("of_step", type_=Uuid()))),
)


def store_output(connection: Connection, changes: Iterable[OutputChange]) -> None:
    """Stores what steps have printed meanwhile."""
    removed_from: list[dict[str, Any]] = []
    removed: list[dict[str, Any]] = []
    added: list[dict[str, Any]] = []
    for change in changes:
        attempt = {"of_step": change.step_id, "of_attempt": change.attempt}
        if change.removed_from is not None:
            removed_from.append({**attempt, "from_start": change.removed_from})
        removed += [{**attempt, "at_start": start} for start in change.removed]
        added += [{**attempt, "at_start": start, "data": data} for start, data in change.pieces]
    for statement, rows in ((_REMOVE_FROM, removed_from), (_REMOVE, removed), (_ADD, added)):
        if rows:
            connection.execute(statement, rows)


def store_tails(connection: Connection, attempted: Iterable[AttemptedStep]) -> None:
    """Stores the end of what attempts printed whose workers could not store it, and that others follow."""
    changes = []
    for step in attempted:
        last, tail = step.history[-1], step.output_tail.encode()
        if tail:
            start = max(last.output_bytes - len(tail), 0)
            changes.append(OutputChange(step.step_id, last.number, [(start, tail)], removed=[start]))
    store_output(connection, changes)


async def stored_attempts(session: AsyncSession, step_id: UUID) -> list[int]:
    """Returns the numbers of the attempts of which something is stored."""
    query = select(StepOutput.attempt).where(StepOutput.step_id == step_id).distinct()
    return sorted((await session.exec(query)).all())


async def read_output(session: AsyncSession, step_id: UUID, attempt: int) -> list[Piece]:
    """Returns what is stored of one attempt, in the order in which it was printed."""
    query = (
        select(StepOutput)
        .where(StepOutput.step_id == step_id, StepOutput.attempt == attempt)
        .order_by(col(StepOutput.start))
    )
    return [_piece(row) for row in (await session.exec(query)).all()]


async def read_output_after(session: AsyncSession, after: Mapping[UUID, tuple[int, int]]) -> dict[UUID, list[Piece]]:
    """Returns the pieces that came after those that are known, in order, by step.

    Args:
        session: A session that reads.
        after: Attempt and start of the last known piece of each step; `(0, 0)` for none.
    """
    place = tuple_(col(StepOutput.attempt), col(StepOutput.start))
    later = [and_(col(StepOutput.step_id) == step_id, place > known) for step_id, known in after.items()]
    query = (
        select(StepOutput)
        .where(or_(*later))
        .order_by(col(StepOutput.step_id), col(StepOutput.attempt), col(StepOutput.start))
    )
    pieces: dict[UUID, list[Piece]] = {}
    for row in (await session.exec(query)).all():
        pieces.setdefault(row.step_id, []).append(_piece(row))
    return pieces


def _piece(row: StepOutput) -> Piece:
    return Piece(row.attempt, row.start, row.data)
