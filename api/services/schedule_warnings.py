"""Warnings about a schedule: what is accepted, and may not be meant."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from typing import Final

from pydantic.alias_generators import to_camel
from sqlalchemy import Connection

from api.misspelt import first_of, names_of, unknown_warnings
from api.models.base import is_blank
from api.models.schedules import PreviewRequest, ScheduleChange, ScheduleDetailOut, StepIn, StepOut
from catalogue.connected_systems import existing_profiles
from catalogue.schedules import ExecutionMode, Schedule, ScheduleStep
from catalogue.triggers import timetable_of
from contracts.execution import TriggerType
from timetable import TimetableError, TimetableFields

_LIKE_THIS: Final = "indices are like this"
# The rest of a timetable says nothing by itself: how to read it, where it begins and ends.
_TIMES: Final = tuple(
    field.name
    for field in fields(TimetableFields)
    if field.name not in ("pattern_type", "time_zone", "start_at", "end_at")
)

# What is shown may be sent back: clients change what they have read.
_SCHEDULE_NAMES: Final = names_of(ScheduleChange, ScheduleDetailOut)
_PREVIEW_NAMES: Final = names_of(PreviewRequest, ScheduleDetailOut)
_STEP_NAMES: Final = names_of(StepIn, StepOut)


def unknown_fields(body: ScheduleChange) -> list[str]:
    """Returns what is said of the fields of a request that nothing knows: each once, in however many steps it is."""
    places: dict[str, list[int]] = {}
    for position, step in enumerate(body.steps):
        for name in step.unknown:
            places.setdefault(name, []).append(position)
    return [
        *unknown_warnings([("", name, "") for name in body.unknown], _SCHEDULE_NAMES),
        *unknown_warnings(
            [
                (f"steps[{positions[0]}].", name, f" in {len(positions):,} steps" if len(positions) > 1 else "")
                for name, positions in places.items()
            ],
            _STEP_NAMES,
        ),
    ]


def unknown_preview_fields(body: PreviewRequest) -> list[str]:
    """Returns what is said of the fields of a preview that nothing knows."""
    return unknown_warnings([("", name, "") for name in body.unknown], _PREVIEW_NAMES)


def trigger_warnings(schedule: Schedule) -> list[str]:
    """Returns what may not be meant with when a schedule runs, as it is stored."""
    if schedule.trigger_type is not TriggerType.CRON:
        return []
    try:
        warnings = list(timetable_of(schedule).warnings)
    except TimetableError as error:
        # Time zone data may lose a name that they had when it was stored.
        return [f"The timetable cannot be read any more: {error}."]
    if schedule.is_enabled and schedule.next_run_time is None:
        until = f" until endAt, {schedule.end_at:%Y-%m-%dT%H:%M:%SZ}" if schedule.end_at else ""
        warnings.append(f"The schedule is enabled, but will not fire: its timetable has no more times{until}.")
    return warnings


def unfired_timetable(schedule: Schedule, body: ScheduleChange, *, is_new: bool) -> list[str]:
    """Returns what is said of a timetable that a request sets and that does not fire, where the request does not say so.

    Then the schedule is `Manual`, or new and disabled by default.
    """
    if schedule.trigger_type is TriggerType.CRON:
        is_meant = not is_new or schedule.is_enabled or "is_enabled" in body.model_fields_set
        return [] if is_meant else ["The schedule is disabled, as isEnabled was not sent: it does not fire. Enable it."]
    sent = [to_camel(name) for name in _TIMES if not is_blank(getattr(body, name))]
    if not sent or "trigger_type" in body.model_fields_set:
        return []
    named = ", ".join(sent)
    return [
        f"The schedule has a timetable ({named}), but its triggerType is Manual: it never fires. Set triggerType to Cron."
    ]


def step_warnings(connection: Connection, steps: Sequence[ScheduleStep]) -> list[str]:
    """Returns what may not be meant with the steps: systems that do not exist yet, and their groups."""
    return [*_missing_systems(connection, steps), *group_warnings(steps)]


def _missing_systems(connection: Connection, steps: Sequence[ScheduleStep]) -> list[str]:
    warnings: list[str] = []
    places: dict[tuple[int, int], int] = {}
    for step in sorted(steps, key=lambda step: step.position):
        if "connected_system_id" in step.config:
            places.setdefault((step.config["connected_system_id"], step.config["run_profile_id"]), step.position)
    known = existing_profiles(connection, {system_id for system_id, _ in places})
    for (system_id, profile_id), position in places.items():
        if system_id not in known:
            warnings.append(f"steps[{position}]: connected system {system_id} does not exist yet.")
        elif profile_id not in known[system_id]:
            warnings.append(
                f"steps[{position}]: run profile {profile_id} does not exist yet on connected system {system_id}.",
            )
    return first_of(warnings, len(warnings), "steps are like this")


def group_warnings(steps: Sequence[ScheduleStep]) -> list[str]:
    """Returns what is said of indices whose steps run otherwise than their modes sound, or than JIM runs them."""
    begun = Counter(step.step_index for step in steps if step.execution_mode is ExecutionMode.SEQUENTIAL)
    joined = [
        f"All steps of stepIndex {index} are ParallelWithPrevious: they run together with the steps before them."
        for index in sorted({step.step_index for step in steps})[1:]
        if index not in begun
    ]
    together = [
        f"{count:,} steps of stepIndex {index}{'' if index else ' (the default)'} are Sequential, and yet run in parallel, "
        "as all steps of one index do. To run them one after the other, give each a stepIndex of its own; else make all "
        "but the first ParallelWithPrevious."
        for index, count in sorted(begun.items())
        if count > 1
    ]
    return [*first_of(joined, len(joined), _LIKE_THIS), *first_of(together, len(together), _LIKE_THIS)]
