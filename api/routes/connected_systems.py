"""`/api/v1/synchronisation/connected-systems` and their run profiles."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Response, status

from api.auth import authenticate
from api.bodies import JsonRoute
from api.context import ContextDep
from api.models.base import DryRun, Page
from api.models.connected_systems import (
    ConnectedSystemChange,
    ConnectedSystemCreate,
    ConnectedSystemOut,
    RunProfileChange,
    RunProfileCreate,
    RunProfileOut,
    SystemsImport,
    SystemsImported,
)
from api.paging import ListingDep
from api.services import connected_systems, system_import
from catalogue.connected_systems import MAX_ID

_IDS: Final = {"minimum": 1, "maximum": MAX_ID}
SystemId = Annotated[int, Path(description="Id of the connected system.", json_schema_extra=_IDS)]
ProfileId = Annotated[int, Path(description="Id of the run profile.", json_schema_extra=_IDS)]

router = APIRouter(
    prefix="/api/v1/synchronisation/connected-systems",
    tags=["Connected systems"],
    route_class=JsonRoute,
    dependencies=[Depends(authenticate)],
)


@router.get("")
async def list_connected_systems(context: ContextDep, listing: ListingDep) -> Page[ConnectedSystemOut]:
    """Lists connected systems, by id unless asked otherwise."""
    return await connected_systems.show_systems(context, listing)


@router.post("", status_code=status.HTTP_201_CREATED)
async def create_connected_system(
    context: ContextDep,
    body: ConnectedSystemCreate,
    response: Response,
) -> ConnectedSystemOut:
    """Creates a connected system."""
    created = await connected_systems.create_system(context, body)
    response.headers["Location"] = f"{router.prefix}/{created.id}"
    return created


@router.post("/import")
async def import_connected_systems(
    context: ContextDep,
    body: SystemsImport,
    dry_run: DryRun = False,  # noqa: FBT002 - a query parameter
) -> SystemsImported:
    """Takes connected systems and run profiles over under the ids that they have elsewhere: all, or none."""
    return await system_import.import_systems(context, body, dry_run=dry_run)


@router.get("/{system_id:number}")
async def get_connected_system(context: ContextDep, system_id: SystemId) -> ConnectedSystemOut:
    """Returns a connected system."""
    return await connected_systems.show_system(context, system_id)


@router.put("/{system_id:number}")
async def update_connected_system(
    context: ContextDep,
    system_id: SystemId,
    body: ConnectedSystemChange,
    dry_run: DryRun = False,  # noqa: FBT002 - a query parameter
) -> ConnectedSystemOut:
    """Changes a connected system. What is left out keeps its value."""
    return await connected_systems.update_system(context, system_id, body, dry_run=dry_run)


@router.delete("/{system_id:number}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_connected_system(context: ContextDep, system_id: SystemId) -> None:
    """Deletes a connected system that no schedule uses, with its run profiles."""
    await connected_systems.delete_system(context, system_id)


@router.get("/{system_id:number}/run-profiles")
async def list_run_profiles(context: ContextDep, system_id: SystemId) -> list[RunProfileOut]:
    """Lists the run profiles of a connected system by id."""
    return await connected_systems.show_profiles(context, system_id)


@router.post("/{system_id:number}/run-profiles", status_code=status.HTTP_201_CREATED)
async def create_run_profile(
    context: ContextDep,
    system_id: SystemId,
    body: RunProfileCreate,
    response: Response,
) -> RunProfileOut:
    """Creates a run profile."""
    created = await connected_systems.create_profile(context, system_id, body)
    response.headers["Location"] = f"{router.prefix}/{system_id}/run-profiles/{created.id}"
    return created


@router.get("/{system_id:number}/run-profiles/{profile_id:number}")
async def get_run_profile(context: ContextDep, system_id: SystemId, profile_id: ProfileId) -> RunProfileOut:
    """Returns a run profile."""
    return await connected_systems.show_profile(context, system_id, profile_id)


@router.put("/{system_id:number}/run-profiles/{profile_id:number}")
async def update_run_profile(
    context: ContextDep,
    system_id: SystemId,
    profile_id: ProfileId,
    body: RunProfileChange,
    dry_run: DryRun = False,  # noqa: FBT002 - a query parameter
) -> RunProfileOut:
    """Changes a run profile. What is left out keeps its value."""
    return await connected_systems.update_profile(context, system_id, profile_id, body, dry_run=dry_run)


@router.delete("/{system_id:number}/run-profiles/{profile_id:number}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_run_profile(context: ContextDep, system_id: SystemId, profile_id: ProfileId) -> None:
    """Deletes a run profile that no schedule uses."""
    await connected_systems.delete_profile(context, system_id, profile_id)
