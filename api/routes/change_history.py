"""`/api/v1/schedules/{id}/change-history`."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query

from api.auth import authenticate
from api.bodies import JsonRoute
from api.context import ContextDep
from api.models.base import Page
from api.models.change_history import ConfigurationDiff, ScheduleVersionDetailOut, ScheduleVersionOut
from api.paging import NewestFirstDep
from api.routes.schedules import ScheduleId
from api.services import change_history

# The column holds no larger number.
_MAX_VERSION: Final = 2**31 - 1

router = APIRouter(
    prefix="/api/v1/schedules/{schedule_id:uuid}/change-history",
    tags=["Schedule change history"],
    route_class=JsonRoute,
    dependencies=[Depends(authenticate)],
)


@router.get("")
async def list_schedule_versions(
    context: ContextDep,
    schedule_id: ScheduleId,
    listing: NewestFirstDep,
) -> Page[ScheduleVersionOut]:
    """Lists the changes of a schedule, deleted or not, the latest first unless asked otherwise."""
    return await change_history.show_history(context, schedule_id, listing)


@router.get("/compare")
async def compare_schedule_versions(
    context: ContextDep,
    schedule_id: ScheduleId,
    from_version: Annotated[int, Query(alias="fromVersion", ge=1, le=_MAX_VERSION, description="The one before.")],
    to_version: Annotated[int, Query(alias="toVersion", ge=1, le=_MAX_VERSION, description="The one after.")],
) -> ConfigurationDiff:
    """Compares two versions of a schedule. After a deletion there is nothing left to compare with."""
    return await change_history.compare_versions(context, schedule_id, from_version, to_version)


@router.get("/{version:number}")
async def get_schedule_version(
    context: ContextDep,
    schedule_id: ScheduleId,
    version: Annotated[int, Path(ge=1, le=_MAX_VERSION, description="Number of the version, from 1.")],
) -> ScheduleVersionDetailOut:
    """Returns a change of a schedule: the schedule after it, and what it made different."""
    return await change_history.show_version(context, schedule_id, version)
