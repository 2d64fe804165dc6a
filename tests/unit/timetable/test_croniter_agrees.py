"""Plain cron means what croniter, which is independent of Rota and of its oracle, takes it to mean."""

from datetime import UTC, datetime
from itertools import islice

from croniter import croniter  # type: ignore[import-untyped] # it has no py.typed
from hypothesis import given, settings
from hypothesis import strategies as st

from timetable import PatternType, Timetable, TimetableFields

COUNT = 25
# Every month has them, so that no date is impossible and croniter finds the next.
LAST_DAY = 28


def _item(low: int, high: int) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high)
    number = numbers.map(str)
    # Two ends that differ: croniter 7.0.0 takes `5-5` for every value.
    ends = st.lists(numbers, min_size=2, max_size=2, unique=True).map(sorted)
    ranged = ends.map(lambda both: f"{both[0]}-{both[1]}")
    # A step beyond its range is allowed, and leaves the first value.
    stepped = st.tuples(ranged, st.integers(1, high)).map(lambda parts: f"{parts[0]}/{parts[1]}")
    return number | ranged | stepped


def _listed(low: int, high: int) -> st.SearchStrategy[str]:
    return st.lists(_item(low, high), min_size=1, max_size=3).map(",".join)


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    step = st.integers(1, high).map(lambda number: f"*/{number}")
    return st.just("*") | step | _listed(low, high)


# `*/2` in a day field beside a restricted one is left out: cronie takes it for not restricted, croniter for restricted.
_days = st.tuples(st.just("*") | _listed(1, LAST_DAY), st.just("*") | _listed(0, 7))
_expressions = st.tuples(_field(0, 59), _field(0, 23), _days, _field(1, 12)).map(
    lambda parts: f"{parts[0]} {parts[1]} {parts[2][0]} {parts[3]} {parts[2][1]}"
)
_starts = st.datetimes(datetime(2026, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive


@given(expression=_expressions, start=_starts)
@settings(deadline=None)
def test_the_next_times_are_those_of_croniter(expression: str, start: datetime) -> None:
    timetable = Timetable.parse(TimetableFields(pattern_type=PatternType.CUSTOM, cron_expression=expression))
    theirs = croniter(expression, start, ret_type=datetime, day_or=True)

    assert timetable.next_times(start, COUNT) == list(islice(theirs, COUNT))
