"""Lists of executions, and how many there are."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, union_all
from sqlmodel import col, func, select

from catalogue.executions import Execution
from catalogue.paging import Stretch, empty_last, read_page
from catalogue.tally import ALL_SCHEDULES, ExecutionTally
from contracts.execution import ExecutionStatus

_SORT_COLUMNS: Final = {
    "startedat": Execution.started_at,
    "started": Execution.started_at,
    "completedat": Execution.completed_at,
    "completed": Execution.completed_at,
}


def count_executions(connection: Connection, schedule_id: UUID | None) -> dict[ExecutionStatus, int]:
    """Returns how many executions there are by status, of one schedule or of all; a status without any is left out."""
    tallied = select(ExecutionTally.status, ExecutionTally.executions).where(
        ExecutionTally.schedule_id == (schedule_id or ALL_SCHEDULES),
    )
    others = select(Execution.status, func.count()).where(~col(Execution.tallied)).group_by(col(Execution.status))
    if schedule_id is not None:
        others = others.where(Execution.schedule_id == schedule_id)
    counts: dict[ExecutionStatus, int] = {}
    for name, count in connection.execute(union_all(tallied, others)):
        status = ExecutionStatus(name)
        counts[status] = counts.get(status, 0) + count
    return counts


def list_executions(
    connection: Connection,
    *,
    schedule_id: UUID | None,
    statuses: Sequence[ExecutionStatus],
    sort_by: str | None,
    descending: bool,
    offset: int,
    limit: int,
) -> tuple[Sequence[Execution], int]:
    """Returns one page of the executions, and how many match.

    Args:
        connection: A connection that reads.
        schedule_id: Only those of one schedule.
        statuses: Only those in one of these statuses; empty for all.
        sort_by: A field's name in any letter case; what is unknown sorts by `queued_at`. Ties go by id.
        descending: Largest first. Executions without a value stand last either way.
        offset: Rows to leave out.
        limit: Rows to return at most.
    """
    counts = count_executions(connection, schedule_id)
    where: list[ColumnElement[bool]] = []
    if schedule_id is not None:
        where.append(col(Execution.schedule_id) == schedule_id)
    if statuses:
        where.append(col(Execution.status).in_(statuses))
        counts = {status: count for status, count in counts.items() if status in statuses}
    total = sum(counts.values())
    name = (sort_by or "").lower()
    if name == "status":
        of_schedule = where[: schedule_id is not None]
        stretches = [
            Stretch([*of_schedule, col(Execution.status) == status], counts[status])
            for status in sorted(counts, reverse=descending)
        ]
    elif name in _SORT_COLUMNS:
        column = col(_SORT_COLUMNS[name])
        empty = select(func.count()).select_from(Execution).where(*where, column.is_(None))
        filled = total - connection.execute(empty).scalar_one()
        stretches = empty_last(where, column, filled, total, descending=descending)
    else:
        stretches = [Stretch(where, total, col(Execution.queued_at), descending)]
    page = read_page(connection, Execution, stretches, offset=offset, limit=limit)
    return page, total
