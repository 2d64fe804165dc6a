"""`/api/v1/schedules`."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Response, status

from api.auth import CallerDep, authenticate, only_asks
from api.bodies import JsonRoute
from api.context import ContextDep
from api.models.base import DryRun, Instant, Page
from api.models.schedules import (
    NextRuns,
    Preview,
    PreviewRequest,
    RunStarted,
    ScheduleChange,
    ScheduleCreate,
    ScheduleDetailOut,
    ScheduleOut,
)
from api.paging import PagingDep
from api.services import executions, schedules
from api.services.change_history import Author

ScheduleId = Annotated[UUID, Path(description="Id of the schedule.")]

router = APIRouter(
    prefix="/api/v1/schedules",
    tags=["Schedules"],
    route_class=JsonRoute,
    dependencies=[Depends(authenticate)],
)


IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="ETag of the schedule that the change is meant for, as read before, with its quotes; another version "
        "there is a 412.",
    ),
]


async def _author(
    caller: CallerDep,
    change_reason: Annotated[
        str | None,
        Query(
            alias="changeReason",
            max_length=2000,
            description="Why; kept in the change history.",
            examples=["Approved in CHG-1042"],
        ),
    ] = None,
) -> Author:
    return Author(caller, change_reason)


AuthorDep = Annotated[Author, Depends(_author)]


@router.get("")
async def list_schedules(
    context: ContextDep,
    paging: PagingDep,
    search: Annotated[str | None, Query(description="Text in the name or the description, in any letter case.")] = None,
    sort_by: Annotated[
        str | None,
        Query(
            alias="sortBy",
            description="What to sort by; `created` where it is none of these.",
            json_schema_extra={"enum": ["name", "isEnabled", "lastRunTime", "nextRunTime", "created"]},
        ),
    ] = None,
    sort_descending: Annotated[  # noqa: FBT002 - a query parameter
        bool,
        Query(alias="sortDescending", description="The largest first."),
    ] = False,
) -> Page[ScheduleOut]:
    """Lists schedules, each with its latest execution."""
    return await schedules.show_schedules(
        context,
        search=search,
        sort_by=sort_by,
        descending=sort_descending,
        page=paging.page,
        page_size=paging.page_size,
    )


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={status.HTTP_200_OK: {"model": ScheduleDetailOut, "description": "What a dry run would have created."}},
)
async def create_schedule(
    context: ContextDep,
    body: ScheduleCreate,
    caller: CallerDep,
    response: Response,
    dry_run: DryRun = False,  # noqa: FBT002 - a query parameter
) -> ScheduleDetailOut:
    """Creates a schedule. A dry run answers 200, with an id that means nothing."""
    created, etag = await schedules.create_schedule(context, body, caller, dry_run=dry_run)
    if dry_run:
        response.status_code = status.HTTP_200_OK
    else:
        response.headers["Location"] = f"{router.prefix}/{created.id}"
        response.headers["ETag"] = etag
    return created


@router.post("/preview")
@only_asks
async def preview_timetable(body: PreviewRequest) -> Preview:
    """Says what a timetable means and when it would run; nothing is stored."""
    return schedules.preview_timetable(body)


@router.get("/{schedule_id:uuid}/next-runs")
async def list_next_runs(
    context: ContextDep,
    schedule_id: ScheduleId,
    count: Annotated[int, Query(ge=1, le=1000, description="How many times are wanted.")] = 10,
    after: Annotated[
        Instant | None,
        Query(alias="from", description="Times after this one; now by default.", examples=["2027-03-27T00:00:00Z"]),
    ] = None,
) -> NextRuns:
    """Lists the next times at which the trigger fires, before jitter."""
    return await schedules.show_next_runs(context, schedule_id, count, after)


@router.get("/{schedule_id:uuid}")
async def get_schedule(context: ContextDep, schedule_id: ScheduleId, response: Response) -> ScheduleDetailOut:
    """Returns a schedule with its steps. Its `ETag` changes with what clients write, not with runs."""
    shown, response.headers["ETag"] = await schedules.show_schedule(context, schedule_id)
    return shown


@router.put("/{schedule_id:uuid}")
async def update_schedule(
    context: ContextDep,
    schedule_id: ScheduleId,
    body: ScheduleChange,
    caller: CallerDep,
    response: Response,
    if_match: IfMatch = None,
    dry_run: DryRun = False,  # noqa: FBT002 - a query parameter
) -> ScheduleDetailOut:
    """Changes a schedule. What is left out keeps its value; `steps`, when present, is the complete new list.

    A dry run answers the `ETag` that the schedule would have, too: that of what is stored where nothing would change.
    """
    changed, response.headers["ETag"] = await schedules.update_schedule(
        context, schedule_id, body, caller, if_match=if_match, dry_run=dry_run
    )
    return changed


@router.delete("/{schedule_id:uuid}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_schedule(
    context: ContextDep,
    schedule_id: ScheduleId,
    author: AuthorDep,
    if_match: IfMatch = None,
) -> None:
    """Deletes a schedule. A running execution runs on; history stays."""
    await schedules.delete_schedule(context, schedule_id, author, if_match=if_match)


@router.post("/{schedule_id:uuid}/enable")
async def enable_schedule(
    context: ContextDep,
    schedule_id: ScheduleId,
    author: AuthorDep,
    response: Response,
    if_match: IfMatch = None,
) -> ScheduleOut:
    """Lets the trigger fire."""
    enabled, response.headers["ETag"] = await schedules.set_enabled(
        context, schedule_id, author, enabled=True, if_match=if_match
    )
    return enabled


@router.post("/{schedule_id:uuid}/disable")
async def disable_schedule(
    context: ContextDep,
    schedule_id: ScheduleId,
    author: AuthorDep,
    response: Response,
    if_match: IfMatch = None,
) -> ScheduleOut:
    """Keeps the trigger from firing. A running execution runs on."""
    disabled, response.headers["ETag"] = await schedules.set_enabled(
        context, schedule_id, author, enabled=False, if_match=if_match
    )
    return disabled


@router.post("/{schedule_id:uuid}/run", status_code=status.HTTP_202_ACCEPTED)
async def run_schedule(context: ContextDep, schedule_id: ScheduleId, caller: CallerDep) -> RunStarted:
    """Starts an execution now."""
    return await executions.run_schedule(context, schedule_id, caller)
