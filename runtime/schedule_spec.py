"""Calendars and instants as the specification of a Temporal Schedule."""

from collections.abc import Iterable
from datetime import MAXYEAR, UTC, datetime, timedelta

from temporalio.client import ScheduleCalendarSpec, ScheduleIntervalSpec, ScheduleRange, ScheduleSpec

from contracts.calendars import Calendar, CalendarSet, Range


def schedule_spec(
    calendars: CalendarSet,
    *,
    start_at: datetime | None = None,
    end_at: datetime | None = None,
    jitter: timedelta | None = None,
) -> ScheduleSpec:
    """Returns the specification with which a Temporal Schedule fires at exactly the times of a calendar set.

    Args:
        calendars: The times.
        start_at: Aware; nothing fires before it.
        end_at: Aware; nothing fires after it.
        jitter: Each fire is late by up to this, but not past the next.
    """
    # Temporal compares whole seconds, and would still fire at the second within which the start lies. The last year has
    # no second after its last, and nothing fires in it.
    if start_at is not None and start_at.microsecond and start_at.year < MAXYEAR:
        start_at = start_at.replace(microsecond=0) + timedelta(seconds=1)
    return ScheduleSpec(
        calendars=[_calendar(calendar) for calendar in calendars.calendars],
        intervals=[_once(instant) for instant in calendars.instants],
        start_at=start_at,
        end_at=end_at,
        jitter=jitter,
        time_zone_name=calendars.time_zone,
    )


def _calendar(calendar: Calendar) -> ScheduleCalendarSpec:
    return ScheduleCalendarSpec(
        minute=_ranges(calendar.minute),
        hour=_ranges(calendar.hour),
        day_of_month=_ranges(calendar.day_of_month),
        month=_ranges(calendar.month),
        day_of_week=_ranges(calendar.day_of_week),
        year=_ranges(calendar.year),
        comment=calendar.comment or None,
    )


def _ranges(ranges: Iterable[Range]) -> list[ScheduleRange]:
    return [ScheduleRange(part.start, part.end, part.step) for part in ranges]


def _once(instant: datetime) -> ScheduleIntervalSpec:
    """Returns an interval that matches an instant and then not again before 2080.

    Temporal counts intervals from 1970: one as long as the time since then ends first at the instant, and next after as long
    again. An offset would not do: before it, Temporal skips the first match (nextIntervalTime in its spec.go).
    """
    return ScheduleIntervalSpec(every=instant.astimezone(UTC) - datetime.fromtimestamp(0, UTC))
