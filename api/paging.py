"""Paging as JIM's clients expect it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Query

from api.errors import ValidationFailed
from api.models.base import member
from catalogue.filters import Order

MAX_PAGE_SIZE: Final = 100
_DEFAULT_PAGE_SIZE: Final = 20
_DEFAULT_LISTING_SIZE: Final = 25

# What lies past the end is empty however far: the first row of a page must only be a number that databases take.
_MAX_PAGE: Final = (2**63 - 1) // MAX_PAGE_SIZE

_Page = Annotated[int, Query(description="From 1; less is 1.", json_schema_extra={"minimum": 1})]
_PageSize = Annotated[
    int,
    Query(
        alias="pageSize",
        description=f"1-{MAX_PAGE_SIZE}; more is {MAX_PAGE_SIZE}.",
        json_schema_extra={"minimum": 1, "maximum": MAX_PAGE_SIZE},
    ),
]


@dataclass(frozen=True)
class Paging:
    """Which page of a list is wanted."""

    page: int
    page_size: int

    @property
    def offset(self) -> int:
        """How many items come before the page."""
        return (self.page - 1) * self.page_size


@dataclass(frozen=True)
class Listing(Paging):
    """Which page of which items is wanted, and in which order."""

    order: Order
    filters: tuple[str, ...]


class SortDirection(StrEnum):
    """Smallest or largest first."""

    ASCENDING = "asc"
    DESCENDING = "desc"


if TYPE_CHECKING:
    SortDirectionIn = SortDirection
else:
    SortDirectionIn = member(SortDirection)


async def _paging(page: _Page = 1, page_size: _PageSize = _DEFAULT_PAGE_SIZE) -> Paging:
    if page_size < 1:
        raise ValidationFailed.of_fields({"pageSize": ["pageSize must be a positive number (Parameter 'pageSize')"]})
    return Paging(min(max(page, 1), _MAX_PAGE), min(page_size, MAX_PAGE_SIZE))


def _listing(direction: SortDirection) -> Callable[..., Awaitable[Listing]]:
    """Returns what reads the page of one of JIM's lists from the query, sorted in this direction unless it says otherwise."""

    async def listing(
        page: _Page = 1,
        page_size: _PageSize = _DEFAULT_LISTING_SIZE,
        sort_by: Annotated[
            str | None,
            Query(
                alias="sortBy",
                description="A property of the items; one that they have not is ignored.",
                examples=["name"],
            ),
        ] = None,
        sort_direction: Annotated[
            SortDirectionIn,
            Query(alias="sortDirection", description="Smallest or largest first."),
        ] = direction,
        filters: Annotated[
            list[str] | None,
            Query(
                alias="filter",
                description="`property:operator:value`; repeated, all must hold. Operators on text: eq, ne, contains, "
                "startswith, endswith; on numbers: eq, ne, gt, gte, lt, lte. What is malformed is ignored.",
                examples=[["name:contains:HR"]],
            ),
        ] = None,
    ) -> Listing:
        paging = await _paging(page, page_size)
        order = Order(sort_by, sort_direction is SortDirection.DESCENDING)
        return Listing(paging.page, paging.page_size, order, tuple(filters or ()))

    return listing


PagingDep = Annotated[Paging, Depends(_paging)]
"""The page of schedules and executions."""

ListingDep = Annotated[Listing, Depends(_listing(SortDirection.ASCENDING))]
"""The page of JIM's other lists, which sort and filter by any property."""

NewestFirstDep = Annotated[Listing, Depends(_listing(SortDirection.DESCENDING))]
"""The page of such a list whose own order begins with the latest."""
