"""The instants of a timetable. Random ones are held against an oracle beside those that the server has."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.timetable.examples import DAYS
from tests.unit.timetable.oracle import DAY, MINUTE, cron_has_day
from timetable import PatternType, Timetable, TimetableError, TimetableFields


def timetable_of(**fields: Any) -> Timetable:
    return Timetable.parse(TimetableFields(**fields))


def custom(text: str, **fields: Any) -> Timetable:
    return timetable_of(pattern_type=PatternType.CUSTOM, cron_expression=text, **fields)


def all_times(timetable: Timetable, after: datetime) -> list[datetime]:
    return timetable.next_times(after, 100_000)


# --- around changes of the clocks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "zone",
    [
        "UTC",
        "Europe/London",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Africa/Casablanca",
        "Pacific/Apia",
    ],
)
def test_no_daily_run_is_lost_or_doubled_in_five_years(zone: str) -> None:
    first, last = date(2027, 1, 1), date(2031, 12, 31)
    every_date = Counter(first + n * DAY for n in range((last - first).days + 1))
    local = ZoneInfo(zone)
    start = datetime.combine(first, datetime.min.time(), local) - MINUTE
    end = datetime.combine(last, datetime.max.time(), local)
    for time in range(0, 1440, 30):
        timetable = timetable_of(
            days_of_week="0,1,2,3,4,5,6",
            run_times=f"{time // 60}:{time % 60:02}",
            time_zone=zone,
            end_at=end,
        )
        assert Counter(run.astimezone(local).date() for run in all_times(timetable, start)) == every_date


@pytest.mark.parametrize(
    ("text", "zone", "day", "expected"),
    [
        # Design, section 4: a fixed time in the gap runs at its end, once; the first of two runs.
        ("30 1 * * *", "Europe/London", "2027-03-28", ["01:00"]),
        ("0,30 1,2 * * *", "Europe/London", "2027-03-28", ["01:00", "01:30"]),
        ("30 1 * * *", "Europe/London", "2027-10-31", ["00:30"]),
        ("*/30 1-2 * * *", "Europe/London", "2027-03-28", ["01:00", "01:30"]),
        ("*/30 1-2 * * *", "Europe/London", "2027-10-31", ["00:00", "00:30", "01:00", "01:30", "02:00", "02:30"]),
        # Each of several expressions by its own kind.
        ("30 1 * * * | 15 1-1 * * *", "Europe/London", "2027-10-31", ["00:15", "00:30", "01:15"]),
        # The whole 30 December 2011 was left out: its run is at the first instant of the 31st there.
        ("0 6 * * *", "Pacific/Apia", "2011-12-30", ["10:00", "16:00"]),
    ],
)
def test_known_clock_changes(text: str, zone: str, day: str, expected: list[str]) -> None:
    midnight = datetime.fromisoformat(day).replace(tzinfo=UTC)
    timetable = custom(text, time_zone=zone, end_at=midnight + DAY - MINUTE)
    assert [f"{run:%H:%M}" for run in all_times(timetable, midnight - MINUTE)] == expected


# --- days -------------------------------------------------------------------------------------------------------


@settings(max_examples=120, deadline=None)
@given(DAYS)
def test_cron_days(text: str) -> None:
    fields = ("0", "0", *text.split())
    days = [date(2027, 1, 1) + n * DAY for n in range(4 * 365 + 1)]
    expected = [day for day in days if cron_has_day(fields, day)]
    try:
        timetable = custom(" ".join(fields), end_at=datetime(2030, 12, 31, tzinfo=UTC))
    except TimetableError:
        # Refused where no such date exists: then none may be found in four years, 29 February among them.
        assert expected == []
        return
    assert [run.date() for run in all_times(timetable, datetime(2026, 12, 31, tzinfo=UTC))] == expected
    assert timetable.sentence.startswith("At 00:00")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 29 2 *", ["2028-02-29", "2032-02-29", "2036-02-29"]),
        ("0 0 ? 2 MON#5", ["2044-02-29", "2072-02-29"]),
        ("0 0 * * 0-7/7", ["2027-01-03", "2027-01-10", "2027-01-17"]),
        ("0 0 * * 7", ["2027-01-03", "2027-01-10", "2027-01-17"]),
        ("0 0 * * 6-7", ["2027-01-02", "2027-01-03", "2027-01-09"]),
        ("0 0 * * 7-1", ["2027-01-03", "2027-01-04", "2027-01-10"]),
        ("0 0 * * 0-7", ["2027-01-01", "2027-01-02", "2027-01-03"]),
        ("0 0 * * 5-0", ["2027-01-01", "2027-01-02", "2027-01-03"]),
        ("0 0 * * 7L", ["2027-01-31", "2027-02-28", "2027-03-28"]),
        ("@yearly", ["2027-01-01", "2028-01-01", "2029-01-01"]),
        ("@Weekly", ["2027-01-03", "2027-01-10", "2027-01-17"]),
        ("@monthly | 0 0 L * *", ["2027-01-01", "2027-01-31", "2027-02-01"]),
        # Both day fields restricted: either. One that begins with * is not restricted: both.
        ("0 0 13 * 5", ["2027-01-01", "2027-01-08", "2027-01-13"]),
        ("0 0 */12 * 5", ["2027-01-01", "2027-06-25", "2027-08-13"]),
        ("0 0 1-31 * 5", ["2027-01-01", "2027-01-02", "2027-01-03"]),
    ],
)
def test_known_days(text: str, expected: list[str]) -> None:
    runs = custom(text).next_times(datetime(2026, 12, 31, tzinfo=UTC), 3)
    assert [str(run.date()) for run in runs][: len(expected)] == expected


# --- asking -----------------------------------------------------------------------------------------------------


def test_times_are_strictly_later_and_stop_at_the_end() -> None:
    noon = datetime(2027, 1, 1, 12, tzinfo=UTC)
    timetable = custom("0 * * * *", start_at=noon, end_at=noon + timedelta(hours=2))
    assert timetable.next_times(noon - DAY, 9) == [noon, noon + timedelta(hours=1), noon + timedelta(hours=2)]
    assert timetable.next_times(noon, 1) == [noon + timedelta(hours=1)]
    assert timetable.next_time(noon + timedelta(minutes=59, seconds=59, microseconds=999_999)) == noon + timedelta(
        hours=1
    )
    assert timetable.next_time(noon + timedelta(hours=2)) is None
    assert custom("0 * * * *", start_at=noon + timedelta(microseconds=1)).next_time(noon - DAY) == noon + timedelta(
        hours=1
    )
    assert custom("0 * * * *", end_at=noon - timedelta(microseconds=1)).next_times(noon - MINUTE, 1) == []


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_nothing_fires_before_2000(zone: str) -> None:
    first = datetime(2000, 1, 1, 0, 30, tzinfo=UTC)
    for before in (datetime.min.replace(tzinfo=UTC), first - DAY):
        assert custom("30 * * * *", time_zone=zone).next_times(before, 1) == [first]
    assert custom("30 * * * *", time_zone=zone).next_times(datetime.max.replace(tzinfo=UTC), 1) == []


def test_nothing_fires_after_2100() -> None:
    assert custom("0 0 29 2 *").next_times(datetime(2096, 3, 1, tzinfo=UTC), 5) == []
    assert len(custom("0 0 1 1 *").next_times(datetime(2090, 6, 1, tzinfo=UTC), 100)) == 10


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["0 6 * * 1-5", "*/20 1-3 * * *", "0 0 29 2 *", "30 1 * * *", "0 0 L * *"]),
    st.sampled_from(["UTC", "Europe/London"]),
    st.timedeltas(timedelta(0), timedelta(days=1500)),
    st.timedeltas(DAY + MINUTE, timedelta(days=400)),
)
def test_the_latest_time_is_the_last_of_all(text: str, zone: str, start: timedelta, span: timedelta) -> None:
    after = datetime(2027, 1, 1, tzinfo=UTC) + start
    until = after + span
    timetable = custom(text, time_zone=zone, start_at=after + DAY)
    runs = all_times(custom(text, time_zone=zone, start_at=after + DAY, end_at=until), after)
    assert timetable.latest_time(after, until) == (runs[-1] if runs else None)
    assert timetable.latest_time(after, after + DAY - MINUTE) is None
