"""A timetable in English."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from cron_descriptor import DescriptionTypeEnum, ExpressionDescriptor, Options  # type: ignore[import-untyped] # it has no py.typed

from timetable.cron import Expression
from timetable.fields import IntervalUnit
from timetable.patterns import days_text
from timetable.text import clock_text, listed

# The locale is given, so that the sentence does not follow that of the process.
_OPTIONS: Final = Options(locale_code="en_US", use_24hour_time_format=True)


def times_sentence(days: Iterable[int], times: Iterable[int]) -> str:
    """Returns such as `At 06:00 and 18:00, Monday through Friday`; `times` are minutes of the day."""
    return f"At {listed([clock_text(time) for time in times])}, {_days_sentence(days) or 'every day'}"


def interval_sentence(days: Iterable[int], value: int, unit: IntervalUnit, window_start: int, window_end: int) -> str:
    """Returns such as `Every 15 minutes from 08:30 to 17:45, Monday through Friday`."""
    if window_start == window_end:
        return times_sentence(days, [window_start])
    noun = unit.lower()
    every = noun.removesuffix("s") if value == 1 else f"{value} {noun}"
    said_days = _days_sentence(days)
    if window_end < window_start:
        end = f"{clock_text(window_end)} the next day"
        said_days = said_days and f"opening {said_days}"
    else:
        end = clock_text(window_end)
    return f"Every {every} from {clock_text(window_start)} to {end}, {said_days or 'every day'}"


def cron_sentence(expressions: Sequence[Expression]) -> str:
    """Returns what the expressions say, joined by `; and`."""
    first, *others = (sentence for expression in expressions for sentence in _sentences(expression))
    return "; and ".join([first, *(other[0].lower() + other[1:] for other in others)])


def _days_sentence(days: Iterable[int]) -> str:
    """Returns such as `Monday through Friday`, nothing for every day."""
    descriptor = ExpressionDescriptor(f"0 0 * * {days_text(frozenset(days))}", _OPTIONS)
    return str(descriptor.get_description(DescriptionTypeEnum.DAYOFWEEK)).removeprefix(", ")


def _sentences(expression: Expression) -> Iterator[str]:
    """Yields a sentence for each way in which an expression names its days."""
    minute, hour, day, month, weekday = expression.fields

    def said(day: str, weekday: str) -> str:
        return str(ExpressionDescriptor(f"{minute} {hour} {day} {month} {weekday}", _OPTIONS).get_description())

    if "*" not in {day, weekday} and expression.is_either_day:
        yield from (said(way, "*") for way in _ways(day))
        yield from (said("*", way) for way in _ways(weekday))
    elif "*" in {day, weekday} and expression.is_either_day:
        yield said("*", "*")
    elif weekday == "*":
        yield from (said(way, "*") for way in _ways(day))
    else:
        also = "" if day == "*" else f", if it is day {listed(day.split(','))} of the month"
        yield from (said("*", way) + also for way in _ways(weekday))


def _ways(day_field: str) -> list[str]:
    """Splits a day field into what one sentence each can say: its numbers, and each `L` or `#`."""
    items = day_field.split(",")
    special = [item for item in items if "L" in item or "#" in item]
    numbers = [item for item in items if item not in special]
    return [",".join(numbers), *special] if numbers else special
