"""The instants of a timetable against an oracle that walks every minute, written from the rules alone."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from timetable import IntervalUnit, PatternType, Timetable, TimetableFields

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


@lru_cache(maxsize=None)
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


@lru_cache(maxsize=None)
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


def instants_of(has: Callable[[datetime], bool], *, is_fixed: bool, zone: ZoneInfo, start: datetime) -> Iterator[datetime]:
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


def oracle(parts: list[tuple[Callable[[datetime], bool], bool]], zone: str, after: datetime, until: datetime) -> list[datetime]:
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


DAYS_OF_MONTH = (
    st.just("*")
    | st.just("?")
    | field(1, 31)
    | st.sampled_from(["L", "1,L", "*/2", "1-7", "28-3", "15,L"])
)
SPECIAL_WEEKDAYS = st.sampled_from(["MON#1", "sun#2", "5L", "L0", "FRIL", "1#1,3", "2,6#5", "0L,1#4", "fri-mon"])
DAYS_OF_WEEK = st.just("*") | st.just("?") | field(0, 6, WEEKDAYS) | SPECIAL_WEEKDAYS
# Hours around which clocks change, so that most examples meet one.
TIMES = (
    st.tuples(plain_list(0, 59), plain_list(0, 4)).map(" ".join)
    | st.tuples(field(0, 59), field(0, 23)).map(" ".join)
    | st.tuples(field(0, 59), st.sampled_from(["*", "0-3", "22-2", "*/2", "1", "23,0,1"])).map(" ".join)
)
CRON = st.tuples(TIMES, DAYS_OF_MONTH, st.just("*") | field(1, 12, MONTHS), DAYS_OF_WEEK).map(" ".join)
EVERY_DAY = TIMES.map("{} * * *".format)


def around(zone: str, day: date) -> tuple[datetime, datetime]:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return midnight - 2 * DAY, midnight + 3 * DAY


def timetable_of(**fields: object) -> Timetable:
    return Timetable.parse(TimetableFields(**fields))  # type: ignore[arg-type] # the fields of each test are its own


def times_between(timetable: Timetable, after: datetime, until: datetime) -> list[datetime]:
    return [time for time in timetable.next_times(after, 10_000) if time <= until]


def custom(text: str, zone: str = "UTC") -> Timetable:
    return timetable_of(pattern_type=PatternType.CUSTOM, cron_expression=text, time_zone=zone)


thorough = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@thorough
@settings(max_examples=150)
@given(st.sampled_from(CHANGES), st.lists(EVERY_DAY, min_size=1, max_size=2))
def test_cron_fires_where_the_oracle_does_around_a_change_of_the_clocks(change: tuple[str, date], expressions: list[str]) -> None:
    zone, _ = change
    after, until = around(*change)
    expected = oracle(
        [((lambda label, text=text: cron_has(text, label)), cron_is_fixed(text)) for text in expressions],
        zone,
        after,
        until,
    )
    assert times_between(custom(" | ".join(expressions), zone), after, until) == expected
