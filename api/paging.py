"""Paging as JIM's clients expect it."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Query

from api.errors import ValidationFailed

MAX_PAGE_SIZE: Final = 100
_DEFAULT_PAGE_SIZE: Final = 20

# What lies past the end is empty however far: the first row of a page must only be a number that databases take.
_MAX_PAGE: Final = (2**63 - 1) // MAX_PAGE_SIZE


@dataclass(frozen=True)
class Paging:
    """Which page of a list is wanted."""

    page: int
    page_size: int


def _paging(
    page: Annotated[int, Query(description="From 1; less is 1.")] = 1,
    page_size: Annotated[int, Query(alias="pageSize", description="1-100; more is 100.")] = _DEFAULT_PAGE_SIZE,
) -> Paging:
    if page_size < 1:
        raise ValidationFailed.of_fields({"pageSize": ["pageSize must be a positive number (Parameter 'pageSize')"]})
    return Paging(min(max(page, 1), _MAX_PAGE), min(page_size, MAX_PAGE_SIZE))


PagingDep = Annotated[Paging, Depends(_paging)]
