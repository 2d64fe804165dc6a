"""How requests are read and responses written."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Generic, Self, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

GUID_EXAMPLE: Final = "a GUID such as b2c3d4e5-f6a7-8901-bcde-f12345678901"
INSTANT_EXAMPLE: Final = "a time with its offset such as 2027-03-28T01:00:00Z"

_GUID_LENGTH = 36
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


class ResponseModel(BaseModel):
    """Base of what the API answers: camelCase, nothing left out."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class RequestModel(BaseModel):
    """Base of what the API is sent.

    Property names are matched in any letter case, unknown ones are ignored, and nothing is coerced but what the types
    of this module say.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, strict=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _any_letter_case(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        names = {(field.alias or name).lower(): field.alias or name for name, field in cls.model_fields.items()}
        return {names.get(key.lower(), key): value for key, value in data.items()}


def is_blank(value: object) -> bool:
    """Whether a value says nothing: None, or text of white space only."""
    return value is None or (isinstance(value, str) and not value.strip())


def _digits(value: Any) -> Any:
    return int(value) if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value) else value


DIGITS = BeforeValidator(_digits)
"""Lets a whole number be a string of digits too, as JIM's clients send them. Stands last in `Annotated`."""


def _guid(value: Any) -> Any:
    if isinstance(value, str) and len(value) == _GUID_LENGTH:
        try:
            return UUID(value)
        except ValueError:
            pass
    elif isinstance(value, UUID):
        return value
    raise PydanticCustomError("guid", f"must be {GUID_EXAMPLE}")


Guid = Annotated[UUID, BeforeValidator(_guid)]
"""An id in its 36-character form."""


def _member_of(kind: type[StrEnum]) -> Callable[[Any], Any]:
    members = {member.value.lower(): member for member in kind}

    def read(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        member = members.get(value.strip().lower()) if isinstance(value, str) else None
        if member is None:
            raise PydanticCustomError("member", "must be one of {names}", {"names": ", ".join(kind)})
        return member

    return read


def member(kind: type[StrEnum]) -> Any:
    """Returns the type of a field that takes an enumeration's names, in any letter case."""
    schema = {"type": "string", "enum": list(kind)}
    return Annotated[kind, BeforeValidator(_member_of(kind), json_schema_input_type=str), WithJsonSchema(schema)]


def _instant(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise PydanticCustomError("instant", f"must be {INSTANT_EXAMPLE}")
    return instant.astimezone(UTC)


Instant = Annotated[datetime, BeforeValidator(_instant)]
"""An instant: ISO 8601 with `Z` or an offset; kept in UTC."""


DryRun = Annotated[
    bool,
    Query(alias="dryRun", description="Check the request and answer what would be stored; nothing is changed."),
]
"""Whether a request is to be tried only."""


Item = TypeVar("Item")


class Page(ResponseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    total_count: int
    page: int
    page_size: int
    total_pages: int
    has_next_page: bool
    has_previous_page: bool

    @classmethod
    def of(cls, items: list[Item], total: int, page: int, page_size: int) -> Self:
        """Returns the page with what follows from its place."""
        pages = -(-total // page_size)
        return cls(
            items=items,
            total_count=total,
            page=page,
            page_size=page_size,
            total_pages=pages,
            has_next_page=page < pages,
            has_previous_page=page > 1,
        )
