"""The instants of a timetable against an oracle that walks every minute, written from the rules alone."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timetable import IntervalUnit, PatternType, Timetable, TimetableError, TimetableFields

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

# A day on which the clock of the zone changes, or any day where it never does.
CHANGES = [
    ("Europe/London", date(2027, 3, 28)),
    ("Europe/London", date(2027, 10, 31)),
    ("America/New_York", date(2027, 3, 14)),
    ("America/New_York", date(2027, 11, 7)),
    ("Australia/Lord_Howe", date(2027, 4, 4)),  # back by half an hour
    ("Australia/Lord_Howe", date(2027, 10, 3)),
    ("Africa/Casablanca", date(2025, 2, 23)),  # back at the start of Ramadan
    ("Africa/Casablanca", date(2025, 4, 6)),
    ("Pacific/Apia", date(2011, 12, 30)),  # a day that did not exist
    ("Pacific/Apia", date(2021, 4, 4)),
    ("America/Santiago", date(2027, 9, 5)),  # forward at midnight
    ("America/Santiago", date(2027, 4, 3)),  # back at midnight
    ("Antarctica/Troll", date(2027, 10, 31)),  # back by two hours
    ("Asia/Kathmandu", date(2027, 1, 1)),  # 5:45 h, never changes
    ("UTC", date(2028, 2, 28)),
]

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


# --- the oracle -------------------------------------------------------------------------------------------------


@cache
def in_field(text: str, value: int, low: int, high: int, names: tuple[str, ...] = ()) -> bool:
    return any(in_item(item, value, low, high, names) for item in text.lower().split(","))


def in_item(item: str, value: int, low: int, high: int, names: tuple[str, ...]) -> bool:
    """Counts through the item as a person would, from its first value on."""

    def number(text: str) -> int:
        return names.index(text) + low if text in names else int(text)

    if item in {"*", "?"}:
        return True
    span, _, step = item.partition("/")
    first, _, last = span.partition("-")
    if first == "*":
        current, steps_to_go = low, high - low
    elif last:
        current = number(first)
        steps_to_go = 0
        reached, goal = current, number(last)
        while reached != goal:
            reached = low if reached == high else reached + 1
            steps_to_go += 1
    else:
        current = number(first)
        steps_to_go = high - current if step else 0
    while True:
        if current == value:
            return True
        taken = int(step or 1)
        if taken > steps_to_go:
            return False
        steps_to_go -= taken
        for _ in range(taken):
            current = low if current == high else current + 1


def in_day_of_month(text: str, day: date) -> bool:
    items = text.lower().split(",")
    is_last = (day + DAY).day == 1
    return ("l" in items and is_last) or any(in_item(item, day.day, 1, 31, ()) for item in items if item != "l")


def in_day_of_week(text: str, day: date) -> bool:
    weekday = day.isoweekday() % 7

    def matches(item: str) -> bool:
        if "#" in item:
            which, nth = item.split("#")
            return in_item(which, weekday, 0, 6, tuple(WEEKDAYS)) and (day.day + 6) // 7 == int(nth)
        if "l" in item:
            return in_item(item.replace("l", ""), weekday, 0, 6, tuple(WEEKDAYS)) and (day + 7 * DAY).month != day.month
        return in_item(item, weekday, 0, 6, tuple(WEEKDAYS))

    return any(matches(item) for item in text.lower().split(","))


@cache
def cron_has_day(fields: tuple[str, ...], day: date) -> bool:
    _, _, of_month, month, of_week = fields
    if not in_field(month, day.month, 1, 12, tuple(MONTHS)):
        return False
    if of_month[0] in "*?" or of_week[0] in "*?":
        return in_day_of_month(of_month, day) and in_day_of_week(of_week, day)
    return in_day_of_month(of_month, day) or in_day_of_week(of_week, day)


def cron_has(expression: str, label: datetime) -> bool:
    fields = tuple(expression.split())
    return (
        in_field(fields[0], label.minute, 0, 59)
        and in_field(fields[1], label.hour, 0, 23)
        and cron_has_day(fields, label.date())
    )


def cron_is_fixed(expression: str) -> bool:
    return not set("*-/") & set("".join(expression.split()[:2]))


def instants_of(
    has: Callable[[datetime], bool], *, is_fixed: bool, zone: ZoneInfo, start: datetime
) -> Iterator[datetime]:
    """Yields, minute by minute from `start`, the instants at which the rules of the clock make it fire."""
    instant = start
    before = (instant - MINUTE).astimezone(zone).replace(tzinfo=None)
    while True:
        shown = instant.astimezone(zone)
        label = shown.replace(tzinfo=None)
        if is_fixed:
            left_out = []
            missing = before + MINUTE
            while missing < label:
                left_out.append(missing)
                missing += MINUTE
            if any(map(has, left_out)) or (has(label) and shown.fold == 0):
                yield instant
        elif has(label):
            yield instant
        before = label
        instant += MINUTE


def oracle(
    parts: Sequence[tuple[Callable[[datetime], bool], bool]], zone: str, after: datetime, until: datetime
) -> list[datetime]:
    """Returns the instants after one and up to another at which any part, given with whether it is fixed, fires."""
    found: set[datetime] = set()
    for has, is_fixed in parts:
        for instant in instants_of(has, is_fixed=is_fixed, zone=ZoneInfo(zone), start=after + MINUTE):
            if instant > until:
                break
            found.add(instant)
    return sorted(found)


# --- what is asked ----------------------------------------------------------------------------------------------


def numbers(low: int, high: int) -> st.SearchStrategy[str]:
    return st.integers(low, high).map(str)


def field(low: int, high: int, names: list[str] | None = None) -> st.SearchStrategy[str]:
    """Any field without L and #: a wildcard, or items with ranges, backward ones too, and steps."""
    value = numbers(low, high)
    if names:
        value = value | st.sampled_from(names) | st.sampled_from(names).map(str.upper)
    step = st.integers(1, high + 3).map("/{}".format)
    item = st.one_of(
        value,
        st.tuples(value, value).map("-".join),
        st.tuples(st.tuples(value, value).map("-".join), step).map("".join),
        st.tuples(value, step).map("".join),
        step.map("*{}".format),
    )
    return st.just("*") | st.lists(item, min_size=1, max_size=3).map(",".join)


def plain_list(low: int, high: int) -> st.SearchStrategy[str]:
    return st.lists(numbers(low, high), min_size=1, max_size=4).map(",".join)


DAYS_OF_MONTH = st.just("*") | st.just("?") | field(1, 31) | st.sampled_from(["L", "1,L", "*/2", "1-7", "28-3", "15,L"])
SPECIAL_WEEKDAYS = st.sampled_from(["MON#1", "sun#2", "5L", "L0", "FRIL", "1#1,3", "2,6#5", "0L,1#4", "fri-mon"])
DAYS_OF_WEEK = st.just("*") | st.just("?") | field(0, 6, WEEKDAYS) | SPECIAL_WEEKDAYS
# Hours around which clocks change, so that most examples meet one.
TIMES = (
    st.tuples(plain_list(0, 59), plain_list(0, 4)).map(" ".join)
    | st.tuples(field(0, 59), field(0, 23)).map(" ".join)
    | st.tuples(field(0, 59), st.sampled_from(["*", "0-3", "22-2", "*/2", "1", "23,0,1"])).map(" ".join)
)
EVERY_DAY = TIMES.map("{} * * *".format)


DAYS = st.sets(st.integers(0, 6), min_size=1)
TIMES_OF_DAY = st.integers(0, 4 * 60) | st.integers(0, 1439)

Change = tuple[str, date]


def around(change: Change) -> tuple[datetime, datetime]:
    day = change[1]
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return midnight - 2 * DAY, midnight + 3 * DAY


def timetable_of(**fields: Any) -> Timetable:
    return Timetable.parse(TimetableFields(**fields))


def custom(text: str, **fields: Any) -> Timetable:
    return timetable_of(pattern_type=PatternType.CUSTOM, cron_expression=text, **fields)


def all_times(timetable: Timetable, after: datetime) -> list[datetime]:
    return timetable.next_times(after, 100_000)


# --- around changes of the clocks -------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(CHANGES), st.lists(EVERY_DAY, min_size=1, max_size=2))
def test_cron_keeps_the_rules_of_clock_changes(change: Change, expressions: list[str]) -> None:
    after, until = around(change)
    parts = [(partial(cron_has, text), cron_is_fixed(text)) for text in expressions]
    timetable = custom(" | ".join(expressions), time_zone=change[0], end_at=until)
    assert all_times(timetable, after) == oracle(parts, change[0], after, until)
    assert timetable.sentence.startswith(("At ", "Every ", "Minutes "))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(CHANGES), DAYS, st.lists(TIMES_OF_DAY, min_size=1, max_size=6))
def test_specific_times_are_fixed(change: Change, days: set[int], times: list[int]) -> None:
    after, until = around(change)

    def has(label: datetime) -> bool:
        return label.isoweekday() % 7 in days and label.hour * 60 + label.minute in times

    timetable = timetable_of(
        days_of_week=",".join(map(str, days)),
        run_times=",".join(f"{time // 60:02}:{time % 60:02}" for time in times),
        time_zone=change[0],
        end_at=until,
    )
    assert all_times(timetable, after) == oracle([(has, True)], change[0], after, until)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(CHANGES),
    DAYS,
    st.integers(1, 59),
    st.sampled_from(IntervalUnit),
    TIMES_OF_DAY,
    TIMES_OF_DAY,
)
def test_intervals_follow_the_clock_from_the_start_of_their_window(
    change: Change, days: set[int], value: int, unit: IntervalUnit, start: int, end: int
) -> None:
    after, until = around(change)
    every = timedelta(minutes=value) if unit is IntervalUnit.MINUTES else timedelta(hours=value)

    def has(label: datetime) -> bool:
        for opened in (label.date(), label.date() - DAY):
            opening = datetime.combine(opened, datetime.min.time()) + start * MINUTE
            closing = opening + ((end - start) % 1440) * MINUTE
            if opened.isoweekday() % 7 in days and opening <= label <= closing and not (label - opening) % every:
                return True
        return False

    timetable = timetable_of(
        pattern_type=PatternType.INTERVAL,
        days_of_week=",".join(map(str, days)),
        interval_value=value,
        interval_unit=unit,
        interval_window_start=f"{start // 60:02}:{start % 60:02}",
        interval_window_end=f"{end // 60:02}:{end % 60:02}",
        time_zone=change[0],
        end_at=until,
    )
    assert all_times(timetable, after) == oracle([(has, False)], change[0], after, until)


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
@given(DAYS_OF_MONTH, st.just("*") | field(1, 12, MONTHS), DAYS_OF_WEEK)
def test_cron_days(of_month: str, month: str, of_week: str) -> None:
    fields = ("0", "0", of_month, month, of_week)
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
