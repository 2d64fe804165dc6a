"""How requests are read and responses written."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Generic, Self, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from api.misspelt import Sent, names_of

GUID_EXAMPLE: Final = "a GUID such as b2c3d4e5-f6a7-8901-bcde-f12345678901"
INSTANT_EXAMPLE: Final = "a time with its offset such as 2027-03-28T01:00:00Z"

_GUID_LENGTH = 36
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


def _describe_request(schema: dict[str, Any], model: type["RequestModel"]) -> None:
    if model.openapi_examples:
        schema["examples"] = list(model.openapi_examples)


class RequestModel(BaseModel):
    """Base of what the API is sent.

    Property names are matched in any letter case, unknown ones are kept apart, and nothing is coerced but what the types
    of this module say. A field's docstring is its description in OpenAPI.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        strict=True,
        extra="ignore",
        use_attribute_docstrings=True,
        json_schema_extra=_describe_request,
    )

    openapi_examples: ClassVar[Sequence[Mapping[str, object]]] = ()
    """Whole requests for OpenAPI: each is one that the API accepts."""

    _unknown: tuple[str, ...] = PrivateAttr(default=())

    @property
    def unknown(self) -> Sequence[str]:
        """Names that were sent and that no field has: they count for nothing."""
        return self._unknown

    @model_validator(mode="wrap")
    @classmethod
    def _any_letter_case(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            return handler(data)
        names = names_of(cls)
        unknown = tuple(key for key in data if key.lower() not in names)
        read = handler(Sent({names.get(key.lower(), key): value for key, value in data.items()}, unknown))
        read._unknown = unknown  # noqa: SLF001 - its own
        return read


def _describe_response(schema: dict[str, Any], model: type["ResponseModel"]) -> None:
    if model.written_as is None:
        return
    example = dict(model.written_as.openapi_examples[0])
    for name, field in model.model_fields.items():
        shown = schema["properties"][field.alias or name]
        written = model.written_as.model_fields.get(name)
        if field.examples:
            example[field.alias or name] = field.examples[0]
        if written is None:
            shown["readOnly"] = True
        else:
            said = {"description": written.description, "examples": written.examples}
            shown.update({key: value for key, value in said.items() if value and key not in shown})
    schema["examples"] = [example]


class ResponseModel(BaseModel):
    """Base of what the API answers: camelCase, nothing left out. A field's docstring is its description in OpenAPI."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        from_attributes=True,
        json_schema_serialization_defaults_required=True,
        use_attribute_docstrings=True,
        json_schema_extra=_describe_response,
    )

    written_as: ClassVar[type[RequestModel] | None] = None
    """The request that sets it. A field that both have is described there; any other is read-only."""


def is_blank(value: object) -> bool:
    """Whether a value says nothing: None, or text of white space only."""
    return value is None or (isinstance(value, str) and not value.strip())


def example_of(model: type[BaseModel]) -> dict[str, Any] | None:
    """Returns a settings model's example by JSON name, from those of its fields; None where a required one has none."""
    fields = model.model_fields.items()
    if any(field.is_required() and not field.examples for _, field in fields):
        return None
    return {field.alias or name: field.examples[0] for name, field in fields if field.examples}


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
    return Annotated[kind, BeforeValidator(_member_of(kind))]


def _instant(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
        if instant is not None and instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        # The first and the last day that can be written may lie outside in UTC.
        pass
    raise PydanticCustomError("instant", f"must be {INSTANT_EXAMPLE}")


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
    """What is on the page."""
    total_count: int = Field(examples=[1])
    """How many there are on all pages."""
    page: int = Field(examples=[1])
    """Which page it is, from 1."""
    page_size: int = Field(examples=[20])
    """How many a page holds at most."""
    total_pages: int = Field(examples=[1])
    """How many pages there are; 0 where nothing is found."""
    has_next_page: bool
    """Whether a page follows."""
    has_previous_page: bool
    """Whether a page goes before."""

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
