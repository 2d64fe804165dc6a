"""`/api/v1/health`: open to everyone, and `/api/v1/userinfo`."""

import asyncio
from datetime import datetime
from importlib.metadata import version
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Response, status
from pydantic import Field
from sqlalchemy.exc import SQLAlchemyError
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.service import RPCError

from api.auth import CallerDep
from api.context import ContextDep
from api.models.base import ResponseModel
from api.services.live import count_pollers
from catalogue.api_keys import Role
from catalogue.columns import utc_now
from catalogue.schema import schema_problem

PRODUCT: Final = "Rota"

_PATIENCE_SECONDS: Final = 3
"""How long the database may take for an answer. Those who ask for health seldom wait longer themselves."""

router = APIRouter(prefix="/api/v1", tags=["Health"])


class Health(ResponseModel):
    """How the API stands."""

    status: str = Field(examples=["healthy"])
    """One word: `healthy`, `alive`, `ready` or `not_ready`."""
    timestamp: datetime = Field(examples=["2027-03-28T01:00:00Z"])
    """When it was answered."""


class Ready(Health):
    """Whether requests can be served in full."""

    status: str = Field(examples=["ready"])
    """`ready` or `not_ready`."""
    reason: str | None
    """What cannot be reached, or that the catalogue has no schema or an older one; null where nothing is missing."""
    workers: int | None = Field(examples=[2])
    """Workers that ask for work; null where Temporal cannot say."""


class Version(ResponseModel):
    """What runs here."""

    product: str = Field(examples=[PRODUCT])
    """Name of the product."""
    version: str = Field(examples=[version("rota")])
    """Its version."""


class UserInfo(ResponseModel):
    """Whose key this is."""

    authorised: bool = Field(examples=[True])
    """Whether the key is valid: true in every answer."""
    is_administrator: bool = Field(examples=[True])
    """Whether it may change things."""
    name: str = Field(examples=["operations"])
    """Name of the key."""
    auth_method: str = Field(examples=["ApiKey"])
    """How the request was authenticated."""
    metaverse_object_id: UUID | None
    """As in JIM; null, as keys belong to nobody in a metaverse."""
    roles: list[str] = Field(examples=[["Administrator"]])
    """Roles of the key."""
    message: str | None
    """As in JIM, which says there why somebody is not authorised; null."""


@router.get("/health")
async def get_health() -> Health:
    """Says that the API answers. It asks neither the catalogue nor Temporal."""
    return Health(status="healthy", timestamp=utc_now())


@router.get("/health/live")
async def get_liveness() -> Health:
    """Says that the process runs."""
    return Health(status="alive", timestamp=utc_now())


@router.get("/health/ready", responses={status.HTTP_503_SERVICE_UNAVAILABLE: {"model": Ready}})
async def get_readiness(context: ContextDep, response: Response) -> Ready:
    """Asks the catalogue for its schema, and Temporal. That no worker polls is said, and is no failure of the API."""
    reason, workers = None, None
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            problem = await context.catalogue.read_short(schema_problem)
        reason = f"the catalogue {problem}: run `rota migrate`" if problem else None
    except (SQLAlchemyError, TimeoutError):
        reason = "the catalogue's database cannot be reached"
    try:
        workers = await count_pollers(context.temporal, context.task_queue, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW)
    except (RPCError, RuntimeError, TimeoutError):
        reason = reason or "Temporal cannot be reached"
    if reason:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Ready(status="not_ready" if reason else "ready", timestamp=utc_now(), reason=reason, workers=workers)


@router.get("/health/version")
async def get_version() -> Version:
    """Names product and version."""
    return Version(product=PRODUCT, version=version("rota"))


@router.get("/userinfo")
async def get_user_info(caller: CallerDep) -> UserInfo:
    """Says whose key came with the request, and what it may do."""
    return UserInfo(
        authorised=True,
        is_administrator=caller.role is Role.ADMINISTRATOR,
        name=caller.name,
        auth_method="ApiKey",
        metaverse_object_id=None,
        roles=[caller.role],
        message=None,
    )
