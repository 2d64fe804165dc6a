"""Random timetables, and days on which clocks change: what the property tests ask about."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import strategies as st

from tests.unit.timetable.oracle import DAY, MONTHS, WEEKDAYS
from timetable import IntervalUnit, PatternType, Timetable, TimetableError, TimetableFields

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
DAYS = st.tuples(DAYS_OF_MONTH, st.just("*") | field(1, 12, MONTHS), DAYS_OF_WEEK).map(" ".join)

# Hours around which clocks change, so that most examples meet one.
TIMES = (
    st.tuples(plain_list(0, 59), plain_list(0, 4)).map(" ".join)
    | st.tuples(field(0, 59), field(0, 23)).map(" ".join)
    | st.tuples(field(0, 59), st.sampled_from(["*", "0-3", "22-2", "*/2", "1", "23,0,1"])).map(" ".join)
)
EXPRESSIONS = st.tuples(TIMES, st.just("* * *") | st.just("* * *") | DAYS).map(" ".join)
CLOCK_TIMES = (st.integers(0, 4 * 60) | st.integers(0, 1439)).map(lambda time: f"{time // 60:02}:{time % 60:02}")
WEEKDAY_NUMBERS = st.lists(numbers(0, 6), min_size=1, max_size=9).map(",".join)


def timetables(zone: str) -> st.SearchStrategy[TimetableFields]:
    """Timetables of every pattern."""
    in_zone = st.just(zone)
    return st.one_of(
        st.builds(
            TimetableFields,
            st.just(PatternType.CUSTOM),
            cron_expression=st.lists(EXPRESSIONS, min_size=1, max_size=2).map(" | ".join),
            time_zone=in_zone,
        ),
        st.builds(
            TimetableFields,
            days_of_week=WEEKDAY_NUMBERS,
            run_times=st.lists(CLOCK_TIMES, min_size=1, max_size=6).map(", ".join),
            time_zone=in_zone,
        ),
        st.builds(
            TimetableFields,
            st.just(PatternType.INTERVAL),
            days_of_week=WEEKDAY_NUMBERS,
            interval_value=st.integers(1, 59),
            interval_unit=st.sampled_from(IntervalUnit),
            interval_window_start=CLOCK_TIMES,
            interval_window_end=CLOCK_TIMES,
            time_zone=in_zone,
        ),
    )


def change_after(zone: str, day: date) -> date:
    """Returns the first day from the given one on which the clock of a zone changes, or that day where none does in a year."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    offsets = [(noon + n * DAY).astimezone(ZoneInfo(zone)).utcoffset() for n in range(-1, 366)]
    return next((day + n * DAY for n in range(366) if offsets[n] != offsets[n + 1]), day)


# What Python lists besides is no zone of its own, and refused: "localtime" is the server's.
ZONES = sorted(available_timezones() - {"localtime", "posixrules", "Factory"})
CHANGES_ANYWHERE = st.tuples(st.sampled_from(ZONES), st.dates(date(2026, 1, 1), date(2031, 1, 1))).map(
    lambda place: (place[0], change_after(*place))
)


@st.composite
def examples(draw: st.DrawFn) -> tuple[TimetableFields, datetime, datetime]:
    """A timetable, and the days around a change of its clocks: an instant before it, and one after it."""
    zone, day = draw(st.sampled_from(CHANGES) | CHANGES_ANYWHERE)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return draw(timetables(zone)), midnight - 2 * DAY, midnight + 3 * DAY


def parse(fields: TimetableFields) -> Timetable | None:
    """Returns the timetable of an example, None where it is refused: none of its dates exists, so that nothing may fire."""
    try:
        return Timetable.parse(fields)
    except TimetableError as refusal:
        if any("none of its dates exists" not in message for message in refusal.errors["cronExpression"]):
            raise
        return None
