"""Schedules: the catalogue and the Temporal Schedule change in one call.

Temporal is changed last, before the catalogue commits: where it cannot be reached nothing is changed. Should the commit
itself fail after that, the catalogue is the desired state all the same, and the upkeep brings Temporal back to it.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio.service import RPCError, RPCStatusCode

from api.context import Context
from api.errors import Conflict, Faults, NotFound, ValidationFailed, field_name
from api.models.base import Page, is_blank
from api.models.schedules import (
    NextRuns,
    Preview,
    PreviewRequest,
    PreviewTime,
    ScheduleChange,
    ScheduleCreate,
    ScheduleDetailOut,
    ScheduleOut,
    TimetableChange,
)
from api.services.change_history import Author, record_change, state_of
from api.services.schedule_warnings import (
    step_warnings,
    trigger_warnings,
    unfired_timetable,
    unknown_fields,
    unknown_preview_fields,
)
from api.services.steps import read_steps, show_step
from api.services.versions import check_version, etag_of
from catalogue.api_keys import ApiKey
from catalogue.change_history import ChangeOperation
from catalogue.columns import utc_now
from catalogue.executions import Execution, get_executions
from catalogue.schedules import (
    Schedule,
    ScheduleStep,
    count_steps,
    delete_steps,
    get_schedule,
    get_steps,
    list_schedules,
    read_schedule,
    replace_steps,
    schedule_of_steps,
)
from catalogue.triggers import desired_trigger, next_run_time, timetable_fields, timetable_of
from contracts.execution import DEFAULT_CATCH_UP_SECONDS, OverlapPolicy, TriggerType
from runtime.triggers import Trigger, apply_trigger, remove_trigger
from timetable import PatternType, Timetable, TimetableError, clock_change_note

# Fields that a schedule takes from a request as they are.
_PLAIN_FIELDS: Final = (
    "name",
    "description",
    "trigger_type",
    "pattern_type",
    "days_of_week",
    "run_times",
    "interval_value",
    "interval_unit",
    "interval_window_start",
    "interval_window_end",
    "start_at",
    "end_at",
    "is_enabled",
)

# Additive fields: an explicit null sets the default.
_DEFAULTED_FIELDS: Final = {
    "time_zone": "UTC",
    "overlap_policy": OverlapPolicy.SKIP,
    "catch_up_window_seconds": DEFAULT_CATCH_UP_SECONDS,
    "jitter_seconds": 0,
}

_PATTERN_FIELDS: Final = {
    PatternType.SPECIFIC_TIMES: ("days_of_week", "run_times"),
    PatternType.INTERVAL: (
        "days_of_week",
        "interval_value",
        "interval_unit",
        "interval_window_start",
        "interval_window_end",
    ),
    PatternType.CUSTOM: (),
}


def found_schedule(schedule: Schedule | None, schedule_id: UUID) -> Schedule:
    """Returns a schedule that was looked for.

    Raises:
        NotFound: There is none.
    """
    if schedule is None:
        raise NotFound(f"Schedule not found: {schedule_id}")
    return schedule


async def find_schedule_to_change(session: AsyncSession, schedule_id: UUID) -> Schedule:
    """Returns a schedule that nobody else can change now.

    Raises:
        NotFound: There is none.
    """
    return found_schedule(await get_schedule(session, schedule_id, lock=True), schedule_id)


async def _find_version(
    session: AsyncSession,
    schedule_id: UUID,
    if_match: str | None,
) -> tuple[Schedule, Sequence[ScheduleStep], str]:
    """Returns a schedule that is to be changed, its steps, and its ETag; nobody else can change it now.

    Raises:
        NotFound: There is none.
        PreconditionFailed: `if_match` names another version.
    """
    schedule = await find_schedule_to_change(session, schedule_id)
    steps = await (await session.connection()).run_sync(get_steps, schedule_id)
    etag = etag_of(schedule, steps)
    check_version(if_match, etag)
    return schedule, steps, etag


async def create_schedule(
    context: Context,
    body: ScheduleCreate,
    caller: ApiKey,
    *,
    dry_run: bool = False,
) -> tuple[ScheduleDetailOut, str]:
    """Creates a schedule with its steps, and its Temporal Schedule; a dry run answers the same and changes nothing.

    Returns:
        The schedule and its ETag.
    """
    async with context.catalogue.write() as session:
        schedule = Schedule(name=body.name)
        return await _save(context, session, schedule, body, [], None, caller, dry_run=dry_run)


async def update_schedule(
    context: Context,
    schedule_id: UUID,
    body: ScheduleChange,
    caller: ApiKey,
    *,
    if_match: str | None = None,
    dry_run: bool = False,
) -> tuple[ScheduleDetailOut, str]:
    """Changes a schedule: what the request leaves out keeps its value; steps, where sent, are the new list.

    A dry run answers the same and changes nothing.

    Returns:
        The schedule and its ETag.

    Raises:
        PreconditionFailed: `if_match` names another version.
    """
    async with context.catalogue.write() as session:
        schedule, stored, etag = await _find_version(session, schedule_id, if_match)
        return await _save(context, session, schedule, body, stored, etag, caller, dry_run=dry_run)


async def _save(
    context: Context,
    session: AsyncSession,
    schedule: Schedule,
    body: ScheduleChange,
    stored: Sequence[ScheduleStep],
    etag_before: str | None,
    caller: ApiKey,
    *,
    dry_run: bool,
) -> tuple[ScheduleDetailOut, str]:
    now = utc_now()
    is_new = etag_before is None
    before = None if is_new else _present_trigger(schedule, now)
    state_before = None if is_new else state_of(schedule, stored, context.box)
    faults = Faults()
    steps = stored
    with faults.collect():
        _take_fields(schedule, body)
    with faults.collect():
        _take_timetable(schedule, body)
    with faults.collect():
        if "steps" in body.model_fields_set:
            steps = read_steps(body.steps, schedule.id, {step.id: step for step in stored}, context.box)
    faults.check()
    schedule.next_run_time = next_run_time(schedule, now)
    session.add(schedule)
    try:
        await session.flush()
    except IntegrityError:
        raise Conflict(f"A schedule named '{body.name}' exists already.") from None
    if steps is not stored:
        await _check_owners(session, schedule.id, steps)
        await replace_steps(session, steps, {step.id for step in stored})
    etag = etag_of(schedule, steps)
    if not is_new and etag != etag_before:
        schedule.last_updated = now
    warnings = [
        *trigger_warnings(schedule),
        *unfired_timetable(schedule, body, is_new=is_new),
        *await (await session.connection()).run_sync(step_warnings, steps),
        *unknown_fields(body),
    ]
    ordered = sorted(steps, key=lambda step: (step.step_index, step.position))
    answer = ScheduleDetailOut(
        **_fields(schedule, len(steps), warnings=warnings).model_dump(),
        steps=[show_step(step, context.box) for step in ordered],
    )
    if dry_run:
        await session.rollback()
    else:
        author = Author(caller, body.change_reason)
        operation = ChangeOperation.CREATE if is_new else ChangeOperation.UPDATE
        state = state_of(schedule, steps, context.box)
        await record_change(session, schedule, operation, author, state_before, state)
        await _apply(context, schedule.id, before, desired_trigger(schedule, now))
    return answer, etag


def _take_fields(schedule: Schedule, body: ScheduleChange) -> None:
    for name in _PLAIN_FIELDS:
        if name in body.model_fields_set:
            setattr(schedule, name, getattr(body, name))
    for name, default in _DEFAULTED_FIELDS.items():
        if name in body.model_fields_set:
            value = getattr(body, name)
            setattr(schedule, name, default if is_blank(value) else value)
    if "name" in body.model_fields_set and not body.name.strip():
        raise ValidationFailed.of_fields({"name": ["The field name may not be empty."]})


def _take_timetable(schedule: Schedule, body: TimetableChange) -> None:
    """Settles which pattern counts and what its cron text is.

    Raises:
        ValidationFailed: The timetable is not complete, or cannot be.
    """
    _take_cron(schedule, body)
    is_manual = schedule.trigger_type is TriggerType.MANUAL
    parse = Timetable.parse_partial if is_manual else Timetable.parse
    try:
        timetable = parse(timetable_fields(schedule))
    except TimetableError as error:
        failed = ValidationFailed.of_fields(error.errors)
        what_says_when = ("cron_expression", *_PATTERN_FIELDS[schedule.pattern_type])
        if not is_manual and all(is_blank(getattr(schedule, name)) for name in what_says_when):
            failed.message = "Cron expression is required for scheduled triggers"
        raise failed from None
    if timetable is None:
        if schedule.pattern_type is not PatternType.CUSTOM:
            schedule.cron_expression = None
        return
    for name in ("cron_expression", "days_of_week", "run_times", "interval_window_start", "interval_window_end"):
        setattr(schedule, name, getattr(timetable.normalised, name))


def _take_cron(schedule: Schedule, body: TimetableChange) -> None:
    """Takes the cron text of a request where it counts: of `Custom`, which a text without a pattern's fields makes it.

    Raises:
        ValidationFailed: It comes with a part of a pattern.
    """
    sent = body.cron_expression if "cron_expression" in body.model_fields_set else None
    required = _PATTERN_FIELDS[schedule.pattern_type]
    absent = [name for name in required if is_blank(getattr(body, name))]
    if absent and not is_blank(sent):
        if len(absent) < len(required):
            if schedule.trigger_type is TriggerType.CRON:
                raise _incomplete_pattern(schedule.pattern_type, absent)
        elif sent != schedule.cron_expression:
            schedule.pattern_type = PatternType.CUSTOM
    if schedule.pattern_type is PatternType.CUSTOM and "cron_expression" in body.model_fields_set:
        schedule.cron_expression = sent


def _incomplete_pattern(pattern: PatternType, absent: Sequence[str]) -> ValidationFailed:
    """Returns what is said of a cron expression that comes with a part of a pattern: which of both is meant?"""
    message = f"Required for the pattern {pattern}: give it with the others, or send cronExpression without any of them"
    return ValidationFailed.of_fields({field_name([name]): [message] for name in absent})


async def _check_owners(session: AsyncSession, schedule_id: UUID, steps: Sequence[ScheduleStep]) -> None:
    owners = await schedule_of_steps(session, [step.id for step in steps])
    problems = {
        f"steps[{step.position}].id": [f"The step id {step.id} belongs to another schedule."]
        for step in steps
        if owners.get(step.id, schedule_id) != schedule_id
    }
    if problems:
        raise ValidationFailed.of_fields(problems)


_UNREADABLE: Final = object()


def _present_trigger(schedule: Schedule, now: datetime) -> object:
    """Returns the trigger that a stored schedule has; what equals no other where its time zone is not known any more."""
    try:
        return desired_trigger(schedule, now)
    except TimetableError:
        return _UNREADABLE


async def _apply(context: Context, schedule_id: UUID, before: object, after: Trigger | None) -> None:
    """Brings the Temporal Schedule in line, where it has to change: what needs only the catalogue does without Temporal."""
    if after == before:
        return
    if after is None:
        await remove_trigger(context.temporal, schedule_id)
        return
    try:
        await apply_trigger(context.temporal, after, context.task_queue)
    except RPCError as error:
        if error.status != RPCStatusCode.INVALID_ARGUMENT:
            raise
        # What the timetable takes and the server does not is a zone that its time zone data lack.
        message = f"Temporal refuses the timetable: {error.message}. Its time zone data may be older than Rota's."
        raise ValidationFailed.of_fields({"timeZone": [message]}) from None


async def set_enabled(
    context: Context,
    schedule_id: UUID,
    author: Author,
    *,
    enabled: bool,
    if_match: str | None = None,
) -> tuple[ScheduleOut, str]:
    """Enables or disables a schedule.

    Returns:
        The schedule and its ETag.

    Raises:
        PreconditionFailed: `if_match` names another version.
    """
    async with context.catalogue.write() as session:
        schedule, steps, _ = await _find_version(session, schedule_id, if_match)
        state = state_of(schedule, steps, context.box)
        now = utc_now()
        before = _present_trigger(schedule, now)
        if schedule.is_enabled != enabled:
            schedule.last_updated = now
        schedule.is_enabled = enabled
        schedule.next_run_time = next_run_time(schedule, now)
        session.add(schedule)
        operation = ChangeOperation.ENABLE if enabled else ChangeOperation.DISABLE
        changed = replace(state, snapshot={**state.snapshot, "isEnabled": enabled})
        await record_change(session, schedule, operation, author, state, changed)
        await _apply(context, schedule_id, before, desired_trigger(schedule, now))
        return _fields(schedule, len(steps), warnings=trigger_warnings(schedule)), etag_of(schedule, steps)


async def delete_schedule(
    context: Context,
    schedule_id: UUID,
    author: Author,
    *,
    if_match: str | None = None,
) -> None:
    """Deletes a schedule and its trigger; its executions and its change history stay, and a running one runs on.

    Raises:
        PreconditionFailed: `if_match` names another version.
    """
    async with context.catalogue.write() as session:
        schedule, steps, _ = await _find_version(session, schedule_id, if_match)
        state = state_of(schedule, steps, context.box)
        await record_change(session, schedule, ChangeOperation.DELETE, author, state, None)
        await delete_steps(session, schedule_id)
        await session.delete(schedule)
        await session.flush()
        await _apply(context, schedule_id, _present_trigger(schedule, utc_now()), None)


async def show_schedule(context: Context, schedule_id: UUID) -> tuple[ScheduleDetailOut, str]:
    """Returns a schedule with its steps, and its ETag."""

    def read(connection: Connection) -> tuple[Schedule, Sequence[ScheduleStep], list[str]]:
        schedule = found_schedule(read_schedule(connection, schedule_id), schedule_id)
        steps = get_steps(connection, schedule_id)
        return schedule, steps, step_warnings(connection, steps)

    schedule, steps, warnings = await context.catalogue.read_short(read)
    shown = ScheduleDetailOut(
        **_fields(schedule, len(steps), warnings=[*trigger_warnings(schedule), *warnings]).model_dump(),
        steps=[show_step(step, context.box) for step in steps],
    )
    return shown, etag_of(schedule, steps)


async def show_next_runs(context: Context, schedule_id: UUID, count: int, after: datetime | None) -> NextRuns:
    """Returns the next times at which a schedule runs, before jitter: none for one that is manual or disabled."""
    schedule = await context.catalogue.read_short(
        lambda connection: found_schedule(read_schedule(connection, schedule_id), schedule_id),
    )
    if schedule.trigger_type is not TriggerType.CRON or not schedule.is_enabled:
        return NextRuns(items=[])
    return NextRuns(items=timetable_of(schedule).next_times(after or utc_now(), count))


def preview_timetable(body: PreviewRequest) -> Preview:
    """Returns what a timetable means, and its next times."""
    schedule = Schedule(name="", trigger_type=TriggerType.CRON)
    for name in TimetableChange.model_fields:
        if name in body.model_fields_set and name not in {"cron_expression", *_DEFAULTED_FIELDS}:
            setattr(schedule, name, getattr(body, name))
    schedule.time_zone = body.time_zone or "UTC"
    _take_timetable(schedule, body)
    timetable = timetable_of(schedule)
    times = timetable.next_times(body.from_ or utc_now(), body.count)
    zone = ZoneInfo(schedule.time_zone)
    return Preview(
        cron_expression=timetable.cron_expression,
        sentence=timetable.sentence,
        warnings=[*timetable.warnings, *unknown_preview_fields(body)],
        items=[
            PreviewTime(time=time, local_time=time.astimezone(zone), clock_change=clock_change_note(zone, time))
            for time in times
        ],
    )


async def show_schedules(
    context: Context,
    *,
    search: str | None,
    sort_by: str | None,
    descending: bool,
    page: int,
    page_size: int,
) -> Page[ScheduleOut]:
    """Returns one page of the schedules, each with its latest execution."""

    def read(connection: Connection) -> tuple[Sequence[Schedule], int, dict[UUID, int], dict[UUID, Execution]]:
        schedules, total = list_schedules(
            connection,
            search=search,
            sort_by=sort_by,
            descending=descending,
            offset=(page - 1) * page_size,
            limit=page_size,
        )
        steps = count_steps(connection, [schedule.id for schedule in schedules])
        executions = [schedule.last_execution_id for schedule in schedules if schedule.last_execution_id]
        return schedules, total, steps, get_executions(connection, executions)

    schedules, total, steps, latest = await context.catalogue.read_short(read)
    items = [
        _fields(schedule, steps.get(schedule.id, 0), latest.get(schedule.last_execution_id or schedule.id))
        for schedule in schedules
    ]
    return Page[ScheduleOut].of(items, total, page, page_size)


def _fields(
    schedule: Schedule,
    step_count: int,
    latest: Execution | None = None,
    warnings: Sequence[str] = (),
) -> ScheduleOut:
    return ScheduleOut(
        **schedule.model_dump(include=set(ScheduleOut.model_fields) - {"last_execution_id"}),
        step_count=step_count,
        last_execution_id=latest.id if latest else None,
        last_execution_status=latest.status if latest else None,
        last_execution_current_step_index=latest.current_group if latest else None,
        last_execution_total_steps=latest.total_groups if latest else None,
        last_execution_completed_at=latest.completed_at if latest else None,
        last_execution_error_message=latest.error_message if latest else None,
        warnings=list(warnings),
    )
