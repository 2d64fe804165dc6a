"""Paging as JIM's clients expect it."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Query

from api.errors import ValidationFailed

MAX_PAGE_SIZE: Final = 100
_DEFAULT_PAGE_SIZE: Final = 20
_MAX_PAGE: Final = 10_000_000


@dataclass(frozen=True)
class Paging:
    """Which page of a list is wanted."""

    page: int
    page_size: int


def _paging(
    page: Annotated[int, Query(le=_MAX_PAGE, description="From 1; less is 1.")] = 1,
    page_size: Annotated[int, Query(alias="pageSize", description="1-100; more is 100.")] = _DEFAULT_PAGE_SIZE,
) -> Paging:
    if page_size < 1:
        raise ValidationFailed.of_fields({"pageSize": ["pageSize must be a positive number (Parameter 'pageSize')"]})
    return Paging(max(page, 1), min(page_size, MAX_PAGE_SIZE))


PagingDep = Annotated[Paging, Depends(_paging)]
