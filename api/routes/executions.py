"""`/api/v1/schedule-executions`."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Response, status
from fastapi.responses import PlainTextResponse, StreamingResponse

from api.auth import CallerDep, authenticate
from api.bodies import JsonRoute
from api.context import ContextDep
from api.models.base import Page, member
from api.models.executions import ExecutionDetailOut, ExecutionOut
from api.models.schedules import RunStarted
from api.paging import PagingDep
from api.services import detail, executions, output
from contracts.execution import ExecutionStatus

if TYPE_CHECKING:
    StatusIn = ExecutionStatus
else:
    StatusIn = member(ExecutionStatus)

ExecutionId = Annotated[UUID, Path(description="Id of the execution.")]

router = APIRouter(
    prefix="/api/v1/schedule-executions",
    tags=["Schedule executions"],
    route_class=JsonRoute,
    dependencies=[Depends(authenticate)],
)


@router.get("")
async def list_executions(
    context: ContextDep,
    paging: PagingDep,
    schedule_id: Annotated[UUID | None, Query(alias="scheduleId", description="Only those of this schedule.")] = None,
    status: Annotated[
        list[StatusIn] | None, Query(description="Only those with this status; repeat it for several.")
    ] = None,
    sort_by: Annotated[
        str | None,
        Query(
            alias="sortBy",
            description="What to sort by; `queuedAt` where it is none of these.",
            json_schema_extra={"enum": ["queuedAt", "startedAt", "completedAt", "status"]},
        ),
    ] = None,
    sort_descending: Annotated[  # noqa: FBT002 - a query parameter
        bool,
        Query(alias="sortDescending", description="The largest first."),
    ] = True,
) -> Page[ExecutionOut]:
    """Lists executions, the latest first unless sorted otherwise."""
    return await executions.show_executions(
        context,
        schedule_id=schedule_id,
        statuses=status or [],
        sort_by=sort_by,
        descending=sort_descending,
        page=paging.page,
        page_size=paging.page_size,
    )


@router.get("/active")
async def list_active_executions(context: ContextDep) -> list[ExecutionOut]:
    """Lists what has not ended, oldest first."""
    return await executions.show_active_executions(context)


@router.get("/{execution_id:uuid}")
async def get_execution(context: ContextDep, execution_id: ExecutionId) -> ExecutionDetailOut:
    """Returns an execution with its steps and progress."""
    return await detail.show_execution(context, execution_id)


@router.get(
    "/{execution_id:uuid}/steps/{step_id:uuid}/output",
    response_class=PlainTextResponse,
    responses={
        status.HTTP_200_OK: {"description": "What the step printed, in UTF-8. Lines of Rota's own are `[Rota: ...]`."}
    },
)
async def get_step_output(
    context: ContextDep,
    execution_id: ExecutionId,
    step_id: Annotated[UUID, Path(description="Id of the step in the execution: `steps[].id`.")],
    attempt: Annotated[int | None, Query(ge=1, description="Number of one attempt; all of them by default.")] = None,
    follow: Annotated[  # noqa: FBT002 - a query parameter
        bool,
        Query(
            description="Wait for what the step prints, until it has ended. After 15 s of silence a NUL is sent, which "
            "no output contains."
        ),
    ] = False,
) -> StreamingResponse:
    """Returns what a step printed, as far as it is kept, or follows it while it runs."""
    parts = await output.show_output(context, execution_id, step_id, attempt=attempt, follow=follow)
    # What stands between must pass it on as it comes.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(parts, media_type="text/plain; charset=utf-8", headers=headers)


@router.post(
    "/{execution_id:uuid}/cancel",
    responses={status.HTTP_202_ACCEPTED: {"model": ExecutionOut, "description": "The worker needs longer to end it."}},
)
async def cancel_execution(context: ContextDep, execution_id: ExecutionId, response: Response) -> ExecutionOut:
    """Cancels an execution and everything that it started."""
    execution, ended = await executions.cancel_execution(context, execution_id)
    if not ended:
        response.status_code = status.HTTP_202_ACCEPTED
    return execution


@router.post(
    "/{execution_id:uuid}/pause",
    responses={
        status.HTTP_202_ACCEPTED: {
            "model": ExecutionOut,
            "description": "It holds when the group that runs has ended.",
        },
    },
)
async def pause_execution(context: ContextDep, execution_id: ExecutionId, response: Response) -> ExecutionOut:
    """Holds an execution before its next step group; steps that run are left to end. Refused while the last one runs."""
    execution, held = await executions.pause_execution(context, execution_id)
    if not held:
        response.status_code = status.HTTP_202_ACCEPTED
    return execution


@router.post(
    "/{execution_id:uuid}/resume",
    responses={status.HTTP_202_ACCEPTED: {"model": ExecutionOut, "description": "It goes on when a worker is there."}},
)
async def resume_execution(context: ContextDep, execution_id: ExecutionId, response: Response) -> ExecutionOut:
    """Lets a paused execution go on."""
    execution, goes_on = await executions.resume_execution(context, execution_id)
    if not goes_on:
        response.status_code = status.HTTP_202_ACCEPTED
    return execution


@router.post("/{execution_id:uuid}/retry", status_code=status.HTTP_202_ACCEPTED)
async def retry_execution(context: ContextDep, execution_id: ExecutionId, caller: CallerDep) -> RunStarted:
    """Starts an execution that takes up a failed or cancelled one: step groups that had completed are reused.

    Refused while a retry of it is active, and after one has completed.
    """
    return await executions.retry_execution(context, execution_id, caller)
