"""Pages of long lists, the last as fast as the first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, SQLColumnExpression
from sqlmodel import col, select

from catalogue.columns import Row, rows_of


@dataclass(frozen=True)
class Stretch:
    """A part of a list: the rows of which some conditions hold, in the order of one column and an index.

    A list is one stretch or several, one after the other: what one index cannot sort as wanted, such as rows without a
    value last in both directions, it can in parts.
    """

    where: Sequence[SQLColumnExpression[bool]]
    rows: int
    """How many there are, exactly, in the transaction that reads the page."""
    by: SQLColumnExpression[Any] | None = None
    """Column to sort by; None for id alone. Ties go by id, ascending either way."""
    descending: bool = False


def empty_last(
    where: Sequence[SQLColumnExpression[bool]],
    by: SQLColumnExpression[Any],
    filled: int,
    total: int,
    *,
    descending: bool,
) -> list[Stretch]:
    """Returns a list sorted by a column, with the rows that have no value there last in both directions.

    Args:
        where: What holds of all rows.
        by: The column.
        filled: How many rows have a value there.
        total: How many rows there are.
        descending: Largest first.
    """
    return [
        Stretch([*where, by.is_not(None)], filled, by, descending),
        Stretch([*where, by.is_(None)], total - filled, by),
    ]


def read_page(
    connection: Connection,
    model: type[Row],
    stretches: Sequence[Stretch],
    *,
    offset: int,
    limit: int,
) -> list[Row]:
    """Returns one page of a list.

    Args:
        connection: A connection that reads.
        model: What is listed; it has an `id`.
        stretches: The list, whole.
        offset: Rows to leave out.
        limit: Rows to return at most.
    """
    page: list[Row] = []
    for stretch in stretches:
        count = min(limit - len(page), stretch.rows - offset)
        if count > 0:
            page += _read(connection, model, stretch, offset, count)
        offset = max(offset - stretch.rows, 0)
    return page


def _read(connection: Connection, model: type[Row], stretch: Stretch, offset: int, count: int) -> list[Row]:
    id_: SQLColumnExpression[UUID] = col(model.id)  # type: ignore[attr-defined]
    from_the_end = offset > stretch.rows // 2
    if from_the_end:
        offset = stretch.rows - offset - count
    order = [id_.desc() if from_the_end else id_.asc()]
    if stretch.by is not None:
        order.insert(0, stretch.by.desc() if stretch.descending is not from_the_end else stretch.by.asc())
    # The index is walked for ids alone: rows are read of those that are shown, not of those that are left out.
    shown = select(id_).where(*stretch.where).order_by(*order).offset(offset).limit(count).subquery()
    rows = rows_of(model, connection.execute(select(model).join(shown, id_ == shown.c.id).order_by(*order)))
    return rows[::-1] if from_the_end else rows
