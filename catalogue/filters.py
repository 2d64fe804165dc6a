"""Sorting and filtering as JIM's lists take them: by any property that an item shows."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Integer, String, literal
from sqlmodel import AutoString

Columns = Mapping[str, ColumnElement[Any]]
"""What may be sorted and filtered by: the JSON name of each property in lower case, and its column."""

_FILTER: Final = re.compile(r"([^:]+):([^:]+):(.*)", re.DOTALL)
_WHOLE_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")

_Condition = Callable[[ColumnElement[Any], Any], ColumnElement[bool]]

# `ne` holds for what has no value, too.
_EQUALITY: Final[dict[str, _Condition]] = {
    "eq": lambda column, value: column == value,
    "ne": lambda column, value: column.is_distinct_from(value),
}
_ON_TEXT: Final[dict[str, _Condition]] = _EQUALITY | {
    "contains": lambda column, value: column.icontains(value, autoescape=True),
    "startswith": lambda column, value: column.istartswith(value, autoescape=True),
    "endswith": lambda column, value: column.iendswith(value, autoescape=True),
}
_ON_NUMBERS: Final[dict[str, _Condition]] = _EQUALITY | {
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
}


@dataclass(frozen=True)
class Order:
    """What a list is sorted by."""

    sort_by: str | None = None
    """A property's JSON name in any letter case; what is unknown sorts by the list's own order."""
    descending: bool = False


def conditions(columns: Columns, filters: Sequence[str]) -> list[ColumnElement[bool]]:
    """Returns what a row must meet to pass every filter.

    Args:
        columns: The properties that can be filtered by.
        filters: `property:operator:value` each. On text `eq` and `ne` compare exactly, `contains`, `startswith` and
            `endswith` in any letter case; on whole numbers there are `eq`, `ne`, `gt`, `gte`, `lt` and `lte`. As in
            JIM, a filter that is malformed or names no property is ignored.
    """
    found = (_condition(columns, text) for text in filters)
    return [condition for condition in found if condition is not None]


def _condition(columns: Columns, text: str) -> ColumnElement[bool] | None:
    match = _FILTER.fullmatch(text)
    column = columns.get(match[1].strip().lower()) if match else None
    if match is None or column is None:
        return None
    operator, value = match[2].strip().lower(), match[3]
    if isinstance(column.type, Integer):
        condition = _ON_NUMBERS.get(operator)
        # A number that the column could not hold is still one to compare with.
        is_number = _WHOLE_NUMBER.fullmatch(value.strip())
        return condition(column, literal(int(value), BigInteger)) if condition and is_number else None
    condition = _ON_TEXT.get(operator) if isinstance(column.type, String | AutoString) else None
    return condition(column, value) if condition else None


def ordering(columns: Columns, order: Order, default: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """Returns what to order a list by: what was asked for, rows without a value last, then the list's own order."""
    column = columns.get((order.sort_by or "").strip().lower())
    if column is None:
        column = default
    wanted = column.desc() if order.descending else column.asc()
    return [wanted.nulls_last(), default]
