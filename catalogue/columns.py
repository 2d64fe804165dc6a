"""Column types that read the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import JSON, CursorResult, DateTime, Dialect, Enum, inspect
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator
from sqlmodel import SQLModel

Row = TypeVar("Row", bound=SQLModel)

# Constraints with names can be changed by a later migration, on SQLite too.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware, in UTC, on both databases (SQLite keeps no zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Converts to UTC; an instant without a zone is a defect of the caller."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"an instant needs a zone: {value!r}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - fixed
        """Gives the zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def enum_column(kind: type[StrEnum]) -> Enum:
    """A column that stores an enumeration's values as text: a new member needs no migration."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=False,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )


def json_column() -> Any:
    """A column of JSON; JSONB on PostgreSQL."""
    return JSON().with_variant(JSONB(), "postgresql")


@cache
def _attributes(model: type[SQLModel]) -> dict[str, str]:
    """Returns the attributes of a table's model by the names of their columns."""
    return {attribute.columns[0].name: attribute.key for attribute in inspect(model).column_attrs}


def rows_of(model: type[Row], result: CursorResult[Any]) -> list[Row]:
    """Returns what a Core statement found as instances of a table's model, which belong to no session.

    Beyond what the statement takes, they take half the time that a session's do: nothing watches for their changes. By
    `model_construct` they take as long as those: it looks through the fields for defaults and aliases.
    """
    names = [_attributes(model)[column] for column in result.keys()]  # noqa: SIM118 - no mapping
    rows = []
    for values in result.all():
        row = model.__new__(model)
        vars(row).update(zip(names, values, strict=True))
        rows.append(row)
    return rows


def utc_now() -> datetime:
    """The present instant, aware, in UTC, to the microsecond (what both databases keep)."""
    return datetime.now(UTC)
