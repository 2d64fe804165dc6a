"""The patterns `SpecificTimes` and `Interval` as rules, each with the cron expression that says it."""

from collections.abc import Iterable
from typing import Final

from timetable.cover import rectangles
from timetable.fields import IntervalUnit
from timetable.rule import ALL_MONTHS, ALL_WEEKDAYS, DaySet, Rule
from timetable.text import numbers_text

_DAY_MINUTES: Final = 24 * 60


def specific_times(days: Iterable[int], times: Iterable[int]) -> list[Rule]:
    """Returns the rules of the pattern `SpecificTimes`.

    Args:
        days: Days of the week, 0 is Sunday.
        times: Minutes of the day.
    """
    return _rules(frozenset(days), frozenset(times), is_fixed=True)


def interval(days: Iterable[int], value: int, unit: IntervalUnit, window_start: int, window_end: int) -> list[Rule]:
    """Returns the rules of the pattern `Interval`: from the start of the window, every `value` units, up to its end.

    Args:
        days: Days of the week on which the window opens, 0 is Sunday.
        value: How many units lie between two runs.
        unit: The unit.
        window_start: Minute of the day.
        window_end: Minute of the day, included. Before the start it is on the following day.
    """
    opening_days = frozenset(days)
    following_days = frozenset((day + 1) % 7 for day in opening_days)
    length = (window_end - window_start) % _DAY_MINUTES
    times = range(window_start, window_start + length + 1, value * (60 if unit is IntervalUnit.HOURS else 1))
    before_midnight = frozenset(time for time in times if time < _DAY_MINUTES)
    after_midnight = frozenset(time - _DAY_MINUTES for time in times if time >= _DAY_MINUTES)
    if opening_days == following_days:
        return _rules(opening_days, before_midnight | after_midnight, is_fixed=False)
    return [
        *_rules(opening_days, before_midnight, is_fixed=False),
        *_rules(following_days, after_midnight, is_fixed=False),
    ]


def _rules(days: frozenset[int], times: frozenset[int], *, is_fixed: bool) -> list[Rule]:
    write = _plain if is_fixed else _short
    return [
        Rule(
            minutes=minutes,
            hours=hours,
            months=ALL_MONTHS,
            day_sets=(DaySet.of(weekdays=days),),
            is_fixed=is_fixed,
            text=f"{write(minutes, 60)} {write(hours, 24)} * * {days_text(days)}",
        )
        for minutes, hours in rectangles(times)
    ]


def days_text(days: frozenset[int]) -> str:
    """Returns days of the week as a field of cron."""
    return "*" if days == ALL_WEEKDAYS else numbers_text(days, shortest_range=2)


def _plain(values: frozenset[int], _: int) -> str:
    """Writes a list of numbers: read as cron it is a fixed time, as the pattern is."""
    return ",".join(map(str, sorted(values)))


def _short(values: frozenset[int], size: int) -> str:
    """Writes the values of a field that counts to `size` in the shortest usual way."""
    if len(values) > 1 and size % len(values) == 0:
        step = size // len(values)
        if values == frozenset(range(0, size, step)):
            return "*" if step == 1 else f"*/{step}"
    return numbers_text(values, shortest_range=3)
