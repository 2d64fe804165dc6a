"""`/api/v1/health`: open to everyone, and `/api/v1/userinfo`."""

from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Final

from fastapi import APIRouter, Response, status
from sqlalchemy.exc import SQLAlchemyError
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.service import RPCError

from api.auth import CallerDep
from api.context import Context, ContextDep
from api.models.base import ResponseModel
from catalogue.api_keys import Role
from catalogue.columns import utc_now
from runtime.triggers import CALL_TIMEOUT

PRODUCT: Final = "Rota"

_POLL_TIMEOUT: Final = timedelta(seconds=75)
"""A worker asks for work at least once a minute; the server remembers one that is gone for some minutes more."""

router = APIRouter(prefix="/api/v1", tags=["Health"])


class Health(ResponseModel):
    """How the API stands."""

    status: str
    timestamp: datetime


class Ready(Health):
    """Whether requests can be served in full."""

    reason: str | None
    workers: int | None
    """Workers that ask for work; None where Temporal cannot say."""


class Version(ResponseModel):
    """What runs here."""

    product: str
    version: str


class UserInfo(ResponseModel):
    """Whose key this is."""

    authorised: bool
    is_administrator: bool
    name: str
    auth_method: str
    roles: list[str]


@router.get("/health")
async def health() -> Health:
    """Says that the API answers."""
    return Health(status="healthy", timestamp=utc_now())


@router.get("/health/live")
async def live() -> Health:
    """Says that the process runs."""
    return Health(status="alive", timestamp=utc_now())


@router.get("/health/ready", responses={status.HTTP_503_SERVICE_UNAVAILABLE: {"model": Ready}})
async def ready(context: ContextDep, response: Response) -> Ready:
    """Asks the catalogue and Temporal. That no worker polls is said, and is no failure of the API."""
    reason, workers = None, None
    try:
        await context.catalogue.ping()
    except SQLAlchemyError:
        reason = "the catalogue's database cannot be reached"
    try:
        workers = await _count_workers(context)
    except (RPCError, RuntimeError):
        reason = reason or "Temporal cannot be reached"
    if reason:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Ready(status="not_ready" if reason else "ready", timestamp=utc_now(), reason=reason, workers=workers)


async def _count_workers(context: Context) -> int:
    client = context.temporal
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=context.task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        ),
        timeout=CALL_TIMEOUT,
    )
    recent = utc_now() - _POLL_TIMEOUT
    return len({poller.identity for poller in answer.pollers if poller.last_access_time.ToDatetime(UTC) > recent})


@router.get("/health/version")
async def show_version() -> Version:
    """Names product and version."""
    return Version(product=PRODUCT, version=version("rota"))


@router.get("/userinfo")
async def userinfo(caller: CallerDep) -> UserInfo:
    """Says whose key came with the request, and what it may do."""
    return UserInfo(
        authorised=True,
        is_administrator=caller.role is Role.ADMINISTRATOR,
        name=caller.name,
        auth_method="ApiKey",
        roles=[caller.role],
    )
