"""What triggers a schedule: its timetable, and the Temporal Schedule that it should have."""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from catalogue.schedules import Schedule
from contracts.calendars import CalendarSet
from contracts.execution import TriggerType
from runtime.triggers import Trigger
from timetable import Timetable, TimetableError, TimetableFields

_CACHED: Final = 4096


def timetable_fields(schedule: Schedule) -> TimetableFields:
    """Returns the part of a schedule that says when it runs."""
    return TimetableFields(
        pattern_type=schedule.pattern_type,
        cron_expression=schedule.cron_expression,
        days_of_week=schedule.days_of_week,
        run_times=schedule.run_times,
        interval_value=schedule.interval_value,
        interval_unit=schedule.interval_unit,
        interval_window_start=schedule.interval_window_start,
        interval_window_end=schedule.interval_window_end,
        time_zone=schedule.time_zone,
        start_at=schedule.start_at,
        end_at=schedule.end_at,
    )


@lru_cache(_CACHED)
def _parsed(fields: TimetableFields) -> Timetable:
    return Timetable.parse(fields)


def timetable_of(schedule: Schedule) -> Timetable:
    """Returns when a cron schedule runs.

    Raises:
        timetable.TimetableError: Its fields are not complete; those of an enabled cron schedule are.
    """
    return _parsed(timetable_fields(schedule))


def next_run_time(schedule: Schedule, now: datetime) -> datetime | None:
    """Returns when Temporal fires next (before jitter); None for a schedule that is disabled or manual."""
    if schedule.trigger_type is not TriggerType.CRON or not schedule.is_enabled:
        return None
    return timetable_of(schedule).next_time(now)


def lost_fire_time(schedule: Schedule, now: datetime) -> datetime | None:
    """Returns for which time a schedule has to fire that did not while its trigger was not as it should be.

    As after an outage that is the latest one, within the catch-up window. None where no fire is overdue: each one that
    reaches the catalogue moves `next_run_time` on.
    """
    if schedule.trigger_type is not TriggerType.CRON or not schedule.is_enabled or schedule.next_run_time is None:
        return None
    since = max(
        schedule.next_run_time - timedelta(seconds=1),
        now - timedelta(seconds=schedule.catch_up_window_seconds),
    )
    # With jitter it may still be to come.
    return timetable_of(schedule).latest_time(since, now - timedelta(seconds=schedule.jitter_seconds))


def _calendars(schedule: Schedule, now: datetime) -> CalendarSet:
    try:
        return timetable_of(schedule).calendars(now)
    except TimetableError:
        if schedule.is_enabled:
            raise
        # It does not fire, whatever its timetable meant: a zone that time zone data have lost must not keep it from
        # being disabled.
        return CalendarSet(time_zone="UTC", calendars=())


def desired_trigger(schedule: Schedule, now: datetime) -> Trigger | None:
    """Returns the Temporal Schedule that a schedule should have; None for a manual one.

    Raises:
        timetable.TimetableError: It is enabled, and its time zone is not known any more.
    """
    if schedule.trigger_type is not TriggerType.CRON:
        return None
    return Trigger(
        schedule_id=schedule.id,
        schedule_name=schedule.name,
        is_enabled=schedule.is_enabled,
        calendars=_calendars(schedule, now),
        catch_up_window=timedelta(seconds=schedule.catch_up_window_seconds),
        start_at=schedule.start_at,
        end_at=schedule.end_at,
        jitter=timedelta(seconds=schedule.jitter_seconds),
    )
