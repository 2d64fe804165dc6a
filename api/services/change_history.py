"""The change history of schedules: written in the transaction of the change itself, readable after the schedule is gone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pydantic.alias_generators import to_camel
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.support.registry import step_types
from api.context import Context
from api.errors import NotFound
from api.models.base import Page, is_blank
from api.models.change_history import (
    SNAPSHOT_FIELDS,
    ConfigurationDiff,
    DiffChange,
    ScheduleSnapshot,
    ScheduleVersionDetailOut,
    ScheduleVersionOut,
)
from api.models.schedules import StepOut
from api.paging import Listing
from api.services.differences import State, changed_nodes, difference, secret_place, summary
from api.services.steps import shown_fields
from catalogue.api_keys import ApiKey
from catalogue.change_history import (
    ChangeOperation,
    ScheduleVersion,
    get_versions,
    latest_version,
    list_versions,
)
from catalogue.executions import InitiatorType
from catalogue.schedules import Schedule, ScheduleStep, get_schedule
from runtime.secrets import SecretBox, SecretKeyError, secret_fields

_JSON_NAMES: Final = {name: to_camel(name) for name in StepOut.model_fields}

_SUMMARIES: Final = {ChangeOperation.ENABLE: "Enabled", ChangeOperation.DISABLE: "Disabled"}


@dataclass(frozen=True)
class Author:
    """Who changes a schedule, and why."""

    caller: ApiKey
    reason: str | None


def state_of(schedule: Schedule, steps: Sequence[ScheduleStep], box: SecretBox) -> State:
    """Returns a schedule as its history keeps it: what clients set of it, as responses show it.

    Args:
        schedule: The schedule.
        steps: Its steps, in any order.
        box: Opens secrets for their masks and fingerprints.
    """
    fields = schedule.model_dump(mode="json", include=set(SNAPSHOT_FIELDS))
    ordered = sorted(steps, key=lambda step: (step.step_index, step.position))
    return State(
        snapshot={to_camel(name): value for name, value in fields.items()}
        | {"steps": [_step_state(step, box) for step in ordered]},
        secrets={place: mark for step in steps for place, mark in _fingerprints(step, box).items()},
    )


def _step_state(step: ScheduleStep, box: SecretBox) -> dict[str, Any]:
    fields = shown_fields(step, box) | {"id": str(step.id)}
    return {_JSON_NAMES.get(name) or to_camel(name): value for name, value in fields.items() if value is not None}


def _fingerprints(step: ScheduleStep, box: SecretBox) -> dict[str, str | None]:
    step_type = step_types().get(step.step_type)
    marks: dict[str, str | None] = {}
    for name in secret_fields(step_type.config_model) if step_type else ():
        if step.config.get(name) is not None:
            place = secret_place(str(step.id), to_camel(name))
            try:
                marks[place] = box.fingerprint(step.config[name], place)
            except SecretKeyError:
                marks[place] = None
    return marks


async def record_change(
    session: AsyncSession,
    schedule: Schedule,
    operation: ChangeOperation,
    author: Author,
    before: State | None,
    after: State | None,
) -> None:
    """Writes the version of a change, unless nothing changed.

    A schedule that is older than its history gets a first version beside it: what it was before the change.

    Args:
        session: The transaction of the change; it holds the schedule's lock.
        schedule: The schedule.
        operation: What was done.
        author: Who did it, and why.
        before: What the schedule was; None for a new one.
        after: What it is now; None for one that is deleted.
    """
    state = after or before
    if before == after or state is None:
        return
    latest = await latest_version(session, schedule.id)
    if latest == 0 and before is not None:
        latest = 1
        session.add(
            ScheduleVersion(
                schedule_id=schedule.id,
                version=latest,
                operation=ChangeOperation.CREATE,
                changed_at=schedule.created,
                initiated_by_type=InitiatorType.SYSTEM,
                initiated_by_name="Rota",
                summary="As it was before its history was kept",
                secrets=dict(before.secrets),
                snapshot=dict(before.snapshot),
            ),
        )
    session.add(
        ScheduleVersion(
            schedule_id=schedule.id,
            version=latest + 1,
            operation=operation,
            initiated_by_type=InitiatorType.API_KEY,
            initiated_by_id=str(author.caller.id),
            initiated_by_name=author.caller.name,
            reason=None if is_blank(author.reason) else author.reason,
            summary=_SUMMARIES.get(operation) or summary(before, after),
            secrets=dict(state.secrets),
            snapshot=dict(state.snapshot),
        ),
    )
    await session.flush()


def _state(version: ScheduleVersion | None) -> State | None:
    """Returns what a version left: nothing, where there was none or it is a deletion."""
    if version is None or version.operation is ChangeOperation.DELETE:
        return None
    return State(version.snapshot, version.secrets)


def _configuration_diff(old: ScheduleVersion | None, new: ScheduleVersion) -> ConfigurationDiff:
    root = difference(_state(old), _state(new))
    counts = Counter(node.change for node in changed_nodes(root))
    return ConfigurationDiff(
        object_type="Schedule",
        object_id=0,
        object_guid_id=new.schedule_id,
        object_name=new.snapshot["name"],
        old_version=old.version if old else None,
        new_version=new.version,
        root=root,
        added_count=counts[DiffChange.ADDED],
        removed_count=counts[DiffChange.REMOVED],
        modified_count=counts[DiffChange.MODIFIED],
        has_changes=root.change is not DiffChange.UNCHANGED,
    )


def _fields(version: ScheduleVersion) -> dict[str, Any]:
    own = version.model_dump(include=set(ScheduleVersionOut.model_fields))
    return own | {"activity_id": version.id, "when": version.changed_at}


async def show_history(context: Context, schedule_id: UUID, listing: Listing) -> Page[ScheduleVersionOut]:
    """Returns one page of a schedule's versions; none of one that has not changed since its history is kept.

    Raises:
        NotFound: There never was such a schedule.
    """
    async with context.catalogue.read() as session:
        versions, total = await list_versions(
            session,
            schedule_id,
            order=listing.order,
            filters=listing.filters,
            offset=listing.offset,
            limit=listing.page_size,
        )
        is_known = total or await latest_version(session, schedule_id) or await get_schedule(session, schedule_id)
    if not is_known:
        raise NotFound(f"Schedule not found: {schedule_id}")
    items = [ScheduleVersionOut(**_fields(version), diff=None) for version in versions]
    return Page[ScheduleVersionOut].of(items, total, listing.page, listing.page_size)


async def _find_versions(session: AsyncSession, schedule_id: UUID, *wanted: int) -> dict[int, ScheduleVersion]:
    """Returns versions of a schedule, by number; those of them that do not exist are a 404."""
    found = await get_versions(session, schedule_id, wanted)
    for version in wanted:
        if version not in found:
            raise NotFound(f"Version {version} of schedule not found: {schedule_id}")
    return found


async def show_version(context: Context, schedule_id: UUID, version: int) -> ScheduleVersionDetailOut:
    """Returns one version of a schedule with its snapshot, and what it made different.

    Raises:
        NotFound: There is no such version.
    """
    async with context.catalogue.read() as session:
        found = await _find_versions(session, schedule_id, *({version, version - 1} - {0}))
    new = found[version]
    return ScheduleVersionDetailOut(
        **_fields(new),
        diff=_configuration_diff(found.get(version - 1), new),
        snapshot=ScheduleSnapshot.model_validate(new.snapshot),
    )


async def compare_versions(context: Context, schedule_id: UUID, old: int, new: int) -> ConfigurationDiff:
    """Returns what differs between two versions of a schedule.

    Raises:
        NotFound: One of them does not exist.
    """
    async with context.catalogue.read() as session:
        found = await _find_versions(session, schedule_id, old, new)
    return _configuration_diff(found[old], found[new])
