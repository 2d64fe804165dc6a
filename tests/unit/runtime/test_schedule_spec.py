"""A calendar set as the specification of a Temporal Schedule; what a server makes of it is tested with the timetable."""

from datetime import UTC, datetime, timedelta

from temporalio.client import ScheduleCalendarSpec, ScheduleIntervalSpec, ScheduleRange, ScheduleSpec

from contracts.calendars import Calendar, CalendarSet, Range
from runtime.schedule_spec import schedule_spec

CALENDAR = Calendar(
    minute=(Range(start=0, end=45, step=15),), hour=(Range(start=8, end=17),), year=(Range(start=2027, end=2027),)
)


def test_every_field_is_carried_over() -> None:
    start, end = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
    calendars = CalendarSet(
        time_zone="Europe/London",
        calendars=(CALENDAR, CALENDAR.model_copy(update={"comment": "why"})),
        instants=(datetime(2027, 3, 28, 1, tzinfo=UTC),),
    )
    calendar = ScheduleCalendarSpec(
        minute=[ScheduleRange(0, 45, 15)],
        hour=[ScheduleRange(8, 17, 1)],
        day_of_month=[ScheduleRange(1, 31, 1)],
        month=[ScheduleRange(1, 12, 1)],
        day_of_week=[ScheduleRange(0, 6, 1)],
        year=[ScheduleRange(2027, 2027, 1)],
    )
    with_comment = ScheduleCalendarSpec(**{**vars(calendar), "comment": "why"})
    assert schedule_spec(calendars, start_at=start, end_at=end, jitter=timedelta(seconds=30)) == ScheduleSpec(
        calendars=[calendar, with_comment],
        intervals=[ScheduleIntervalSpec(every=timedelta(seconds=1806195600))],
        start_at=start,
        end_at=end,
        jitter=timedelta(seconds=30),
        time_zone_name="Europe/London",
    )


def test_a_start_within_a_second_waits_for_the_next() -> None:
    calendars = CalendarSet(time_zone="UTC", calendars=(CALENDAR,))
    start = datetime(2027, 1, 1, 8, microsecond=1, tzinfo=UTC)
    assert schedule_spec(calendars, start_at=start).start_at == datetime(2027, 1, 1, 8, 0, 1, tzinfo=UTC)
    last = datetime.max.replace(tzinfo=UTC)
    assert schedule_spec(calendars, start_at=last).start_at == last
