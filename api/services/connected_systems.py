"""Connected systems and their run profiles: settings checked by their connector, secrets sealed and masked."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.connectors.connector import Connector
from activities.support.registry import all_connectors
from api.context import Context
from api.errors import Conflict, NotFound, ValidationFailed, field_messages, field_name
from api.misspelt import Sent, names_of, unknown_warnings
from api.models.base import Page, is_blank
from api.models.connected_systems import (
    ConnectedSystemChange,
    ConnectedSystemCreate,
    ConnectedSystemOut,
    RunProfileChange,
    RunProfileCreate,
    RunProfileOut,
    RunType,
)
from api.paging import Listing
from catalogue.connected_systems import (
    ConnectedSystem,
    RunProfile,
    get_connected_system,
    get_run_profile,
    list_connected_systems,
    list_run_profiles,
    schedules_using,
)
from runtime.secrets import MASK, SecretBox, mask_fields, open_fields, seal_fields, secret_fields

_SYSTEM_CONSTANTS: Final[Mapping[str, str | int]] = {
    "status": "Active",
    "objectCount": 0,
    "connectorsCount": 0,
    "pendingExportObjectsCount": 0,
    "connectorId": 0,
}
"""What JIM lists of a system and Rota has no source for. Zeros and not nulls: to JIM's clients they are numbers."""

_PROFILE_CONSTANTS: Final[Mapping[str, Any]] = {
    "pageSize": 0,
    "partitionName": None,
    "targetsDeselectedPartition": False,
    "filePath": None,
    "verifyImportContentHashes": False,
}
"""The same of a run profile."""


_NAMED_AT_MOST: Final = 10


def find_connector(name: str) -> Connector[Any, Any]:
    """Returns the connector of this name, in any letter case.

    Raises:
        ValidationFailed: There is none.
    """
    connector = next((c for known, c in all_connectors().items() if known.lower() == name.strip().lower()), None)
    if connector is None:
        message = f"Unknown connector: {name}. Known are {', '.join(all_connectors())}."
        raise ValidationFailed.of_fields({"connectorName": [message]})
    return connector


def read_settings(
    model: type[BaseModel],
    sent: Mapping[str, Any],
    stored: Mapping[str, Any],
    box: SecretBox,
) -> dict[str, Any]:
    """Returns a connector's settings, checked and sealed.

    A masked secret keeps the stored one where all else is as it was: with another address beside it, a secret would go
    to whoever answers there.

    Raises:
        ValidationFailed: They are wrong, or hold a masked secret that stands for nothing stored.
    """
    names = {(field.alias or name).lower(): name for name, field in model.model_fields.items()}
    values = Sent(
        {names[key.lower()]: value for key, value in sent.items() if key.lower() in names and not is_blank(value)},
        [key for key in sent if key.lower() not in names],
    )
    before = open_fields(model, stored, box)
    kept: set[str] = set()
    problems: dict[str, list[str]] = {}
    for name, marker in secret_fields(model).items():
        value = values.get(name)
        if not isinstance(value, str) or MASK not in value:
            continue
        if name in before and value == marker.mask(before[name]):
            values[name] = before[name]
            kept.add(name)
        else:
            message = "The field holds a masked secret that stands for nothing stored: write the secret out."
            problems[field_name(["settings", name])] = [message]
    try:
        after = model.model_validate(values).model_dump(mode="json", exclude_none=True)
    except ValidationError as error:
        raise ValidationFailed.of_fields(problems | field_messages(error.errors(), ("settings",))) from None
    if _differ(model, before, after):
        message = "The field holds a masked secret beside settings that have changed: write the secret out."
        problems |= {field_name(["settings", name]): [message] for name in sorted(kept)}
    if problems:
        raise ValidationFailed.of_fields(problems)
    return seal_fields(model, after, box)


def _differ(model: type[BaseModel], before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    fields = model.model_fields.items()
    return any(before.get(name, field.default) != after.get(name, field.default) for name, field in fields)


def _shown_settings(model: type[BaseModel] | None, stored: Mapping[str, Any], box: SecretBox) -> dict[str, Any]:
    """Returns all of a connector's settings by JSON name, secrets masked."""
    if model is None:
        return {}
    masked = mask_fields(model, stored, box)
    return {field.alias or name: masked.get(name) for name, field in model.model_fields.items()}


def _warnings(
    body: ConnectedSystemChange | RunProfileChange,
    shown: type[ConnectedSystemOut | RunProfileOut],
    settings_model: type[BaseModel] | None,
) -> list[str]:
    """Returns what is said of the fields of a request that nothing knows. What is shown may be sent back."""
    return [
        *unknown_warnings([("", name, "") for name in body.unknown], names_of(type(body), shown)),
        *unknown_warnings(
            [("settings.", name, "") for name in body.settings], names_of(settings_model) if settings_model else {}
        ),
    ]


def _show_system(system: ConnectedSystem, box: SecretBox, warnings: Sequence[str] = ()) -> ConnectedSystemOut:
    connector = all_connectors().get(system.connector_name)
    return ConnectedSystemOut.model_validate(
        {
            **system.model_dump(exclude={"settings"}),
            **_SYSTEM_CONSTANTS,
            "settings": _shown_settings(connector.settings_model if connector else None, system.settings, box),
            "warnings": list(warnings),
        },
    )


def _show_profile(
    profile: RunProfile,
    connector: Connector[Any, Any] | None,
    box: SecretBox,
    warnings: Sequence[str] = (),
) -> RunProfileOut:
    return RunProfileOut.model_validate(
        {
            **profile.model_dump(exclude={"settings", "run_type"}),
            **_PROFILE_CONSTANTS,
            "run_type": RunType(profile.run_type),
            "settings": _shown_settings(connector.run_profile_model if connector else None, profile.settings, box),
            "warnings": list(warnings),
        },
    )


async def _find_system(session: AsyncSession, system_id: int, *, lock: bool = False) -> ConnectedSystem:
    system = await get_connected_system(session, system_id, lock=lock) if system_id > 0 else None
    if system is None:
        raise NotFound(f"Connected system not found: {system_id}")
    return system


async def _find_profile(session: AsyncSession, system_id: int, profile_id: int) -> RunProfile:
    profile = await get_run_profile(session, system_id, profile_id) if profile_id > 0 else None
    if profile is None:
        raise NotFound(f"Run profile not found: {profile_id}")
    return profile


def _take_name(row: ConnectedSystem | RunProfile, body: ConnectedSystemChange | RunProfileChange) -> None:
    if "name" in body.model_fields_set:
        if not body.name.strip():
            raise ValidationFailed.of_fields({"name": ["The field name may not be empty."]})
        row.name = body.name


async def _flush(session: AsyncSession, row: ConnectedSystem | RunProfile, what: str) -> None:
    # Read now: after a failed flush the row would be read from the database anew.
    name = row.name
    session.add(row)
    try:
        await session.flush()
    except IntegrityError:
        raise Conflict(f"A {what} named '{name}' exists already.") from None


async def show_systems(context: Context, listing: Listing) -> Page[ConnectedSystemOut]:
    """Returns one page of the connected systems."""
    async with context.catalogue.read() as session:
        systems, total = await list_connected_systems(
            session,
            constants=_SYSTEM_CONSTANTS,
            order=listing.order,
            filters=listing.filters,
            offset=listing.offset,
            limit=listing.page_size,
        )
    items = [_show_system(system, context.box) for system in systems]
    return Page[ConnectedSystemOut].of(items, total, listing.page, listing.page_size)


async def show_system(context: Context, system_id: int) -> ConnectedSystemOut:
    """Returns a connected system."""
    async with context.catalogue.read() as session:
        return _show_system(await _find_system(session, system_id), context.box)


async def create_system(context: Context, body: ConnectedSystemCreate) -> ConnectedSystemOut:
    """Creates a connected system."""
    connector = find_connector(body.connector_name)
    system = ConnectedSystem(
        name=body.name,
        description=body.description,
        connector_name=connector.name,
        settings=read_settings(connector.settings_model, body.settings, {}, context.box),
    )
    _take_name(system, body)
    async with context.catalogue.write() as session:
        await _flush(session, system, "connected system")
    return _show_system(system, context.box, _warnings(body, ConnectedSystemOut, connector.settings_model))


async def update_system(
    context: Context,
    system_id: int,
    body: ConnectedSystemChange,
    *,
    dry_run: bool = False,
) -> ConnectedSystemOut:
    """Changes a connected system; `settings`, when sent, are complete. A dry run answers the same and changes nothing."""
    async with context.catalogue.write() as session:
        system = await _find_system(session, system_id, lock=True)
        if (
            "connector_name" in body.model_fields_set
            and find_connector(body.connector_name).name != system.connector_name
        ):
            message = (
                f"The connector is {system.connector_name} and cannot be changed: create another connected system."
            )
            raise ValidationFailed.of_fields({"connectorName": [message]})
        _take_name(system, body)
        if "description" in body.model_fields_set:
            system.description = body.description
        # It may be gone with the package that brought it; all but the settings can be changed then.
        model: type[BaseModel] | None = None
        if "settings" in body.model_fields_set:
            model = find_connector(system.connector_name).settings_model
            system.settings = read_settings(model, body.settings, system.settings, context.box)
        await _flush(session, system, "connected system")
        answer = _show_system(system, context.box, _warnings(body, ConnectedSystemOut, model))
        if dry_run:
            await session.rollback()
    return answer


async def delete_system(context: Context, system_id: int) -> None:
    """Deletes a connected system and its run profiles.

    Raises:
        Conflict: A schedule uses it.
    """
    async with context.catalogue.write() as session:
        system = await _find_system(session, system_id, lock=True)
        _refuse_if_used(await schedules_using(session, system_id), "connected system")
        for profile in await list_run_profiles(session, system_id):
            await session.delete(profile)
        await session.flush()
        await session.delete(system)


def _refuse_if_used(schedules: list[str], what: str) -> None:
    if schedules:
        names = ", ".join(f"'{name}'" for name in schedules[:_NAMED_AT_MOST])
        more = f" and {len(schedules) - _NAMED_AT_MOST} more" if len(schedules) > _NAMED_AT_MOST else ""
        raise Conflict(f"The {what} is used by the schedules {names}{more}: take it out of them first.")


async def show_profiles(context: Context, system_id: int) -> list[RunProfileOut]:
    """Returns the run profiles of a connected system."""
    async with context.catalogue.read() as session:
        system = await _find_system(session, system_id)
        profiles = await list_run_profiles(session, system_id)
    connector = all_connectors().get(system.connector_name)
    return [_show_profile(profile, connector, context.box) for profile in profiles]


async def show_profile(context: Context, system_id: int, profile_id: int) -> RunProfileOut:
    """Returns a run profile of a connected system."""
    async with context.catalogue.read() as session:
        system = await _find_system(session, system_id)
        profile = await _find_profile(session, system_id, profile_id)
    return _show_profile(profile, all_connectors().get(system.connector_name), context.box)


async def create_profile(context: Context, system_id: int, body: RunProfileCreate) -> RunProfileOut:
    """Creates a run profile of a connected system."""
    async with context.catalogue.write() as session:
        connector = find_connector((await _find_system(session, system_id, lock=True)).connector_name)
        profile = RunProfile(
            connected_system_id=system_id,
            name=body.name,
            run_type=str(body.run_type),
            settings=read_settings(connector.run_profile_model, body.settings, {}, context.box),
        )
        _take_name(profile, body)
        await _flush(session, profile, "run profile of that system")
    return _show_profile(profile, connector, context.box, _warnings(body, RunProfileOut, connector.run_profile_model))


async def update_profile(
    context: Context,
    system_id: int,
    profile_id: int,
    body: RunProfileChange,
    *,
    dry_run: bool = False,
) -> RunProfileOut:
    """Changes a run profile; `settings`, when sent, are complete. A dry run answers the same and changes nothing."""
    async with context.catalogue.write() as session:
        connector = find_connector((await _find_system(session, system_id, lock=True)).connector_name)
        profile = await _find_profile(session, system_id, profile_id)
        _take_name(profile, body)
        if "run_type" in body.model_fields_set:
            profile.run_type = str(body.run_type)
        if "settings" in body.model_fields_set:
            profile.settings = read_settings(connector.run_profile_model, body.settings, profile.settings, context.box)
        await _flush(session, profile, "run profile of that system")
        warnings = _warnings(body, RunProfileOut, connector.run_profile_model)
        answer = _show_profile(profile, connector, context.box, warnings)
        if dry_run:
            await session.rollback()
    return answer


async def delete_profile(context: Context, system_id: int, profile_id: int) -> None:
    """Deletes a run profile.

    Raises:
        Conflict: A schedule uses it.
    """
    async with context.catalogue.write() as session:
        await _find_system(session, system_id, lock=True)
        profile = await _find_profile(session, system_id, profile_id)
        _refuse_if_used(await schedules_using(session, system_id, profile_id), "run profile")
        await session.delete(profile)
