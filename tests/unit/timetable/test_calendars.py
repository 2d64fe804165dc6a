"""The calendar sets that operators read; that they are exact is shown on a real server."""

from datetime import UTC, datetime

import pytest

from contracts.calendars import Calendar, Range
from timetable import PatternType, Timetable, TimetableFields

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def custom(text: str, zone: str) -> Timetable:
    return Timetable.parse(TimetableFields(PatternType.CUSTOM, cron_expression=text, time_zone=zone))


def one(value: int) -> tuple[Range, ...]:
    return (Range(start=value, end=value),)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "Europe/London", "America/New_York", "Africa/Casablanca"])
def test_a_time_that_no_change_touches_is_one_plain_calendar(zone: str) -> None:
    calendars = custom("30 6 * * MON-FRI", zone).calendars(NOW)
    weekdays = (Range(start=1, end=5),)
    assert calendars.time_zone == zone
    assert calendars.calendars == (
        Calendar(minute=one(30), hour=one(6), day_of_week=weekdays, comment="30 6 * * MON-FRI"),
    )
    assert calendars.instants == ()
    assert calendars.valid_until is None


def test_the_last_day_of_the_month_needs_no_list_of_years() -> None:
    calendars = custom("0 12 L * *", "Europe/London").calendars(NOW).calendars
    assert [
        (c.day_of_month[0].start, sum(len(range(r.start, r.end + 1, r.step)) for r in c.month)) for c in calendars
    ] == [
        (28, 1),
        (29, 1),
        (30, 4),
        (31, 7),
    ]
    assert calendars[1].year == (Range(start=2000, end=2096, step=4),)


def test_a_time_in_the_repeated_hour_is_left_out_on_that_date_and_put_back() -> None:
    calendars = custom("30 1 * * *", "Europe/London").calendars(NOW)
    october = next(c for c in calendars.calendars if c.month == one(10) and c.year == one(2027))
    assert october.day_of_month == (Range(start=1, end=30),)
    assert "2027-10-31" in october.comment
    assert datetime(2027, 10, 31, 0, 30, tzinfo=UTC) in calendars.instants
    # After the years that are listed Temporal's own reading goes on.
    assert any(c.month == one(10) and c.year == (Range(start=2032, end=2100),) for c in calendars.calendars)


def test_a_run_every_few_minutes_is_kept_in_utc_where_the_zone_makes_no_difference() -> None:
    calendars = custom("*/15 * * * *", "Europe/London").calendars(NOW)
    assert (calendars.time_zone, len(calendars.calendars), calendars.valid_until) == ("UTC", 1, None)
    assert "Europe/London" in calendars.calendars[0].comment
    # Half an hour makes one: on the hour there is half past in UTC for half of the year.
    assert custom("0 * * * *", "Australia/Lord_Howe").calendars(NOW).time_zone == "Australia/Lord_Howe"
    assert custom("*/30 * * * *", "Australia/Lord_Howe").calendars(NOW).time_zone == "UTC"


def test_it_is_the_same_all_year_and_holds_for_the_years_asked_for() -> None:
    timetable = custom("30 1 * * *", "Europe/London")
    sets = [timetable.calendars(NOW.replace(month=month)) for month in range(2, 13)]
    # It is made once: a worker keeps those of every schedule.
    assert all(one_set is sets[0] for one_set in sets)
    for now in (NOW, datetime(2026, 12, 31, 23, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)):
        valid_until = timetable.calendars(now, years=5).valid_until
        assert valid_until is not None
        assert valid_until >= now.replace(year=now.year + 5)
    later = timetable.calendars(NOW, years=10).valid_until
    assert later is not None
    assert later.year == 2036


def test_comments_fit_what_temporal_takes() -> None:
    text = ",".join(map(str, range(60))) + " 1 " + ",".join(map(str, range(1, 32))) + " * *"
    assert all(len(c.comment.encode()) <= 200 for c in custom(text, "Europe/London").calendars(NOW).calendars)
