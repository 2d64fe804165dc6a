"""A rule: the wall-clock times of one cron expression or of one part of a pattern."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

ALL_MONTHS: Final = frozenset(range(1, 13))
ALL_WEEKDAYS: Final = frozenset(range(7))
MONTH_LENGTHS: Final = (28, 29, 30, 31)


def month_lengths(month: int) -> tuple[int, ...]:
    """Returns how many days a month can have."""
    return (28, 29) if month == 2 else (30,) if month in {4, 6, 9, 11} else (31,)


@dataclass(frozen=True)
class DaySet:
    """Dates: those of the month that are also one of the days of the week."""

    by_length: tuple[frozenset[int], ...]
    """Days of the month, for months of 28, 29, 30 and 31 days: the last day is another one in each."""
    weekdays: frozenset[int] = ALL_WEEKDAYS
    """Days of the week, 0 is Sunday."""

    @classmethod
    def of(cls, days: Iterable[int] = range(1, 32), *, last: int = 0, weekdays: frozenset[int] = ALL_WEEKDAYS) -> Self:
        """Returns the dates of the given days of the month, and of its `last` days counted from its end."""
        chosen = frozenset(days)
        return cls(
            tuple(
                frozenset(day for day in range(1, length + 1) if day in chosen or day > length - last)
                for length in MONTH_LENGTHS
            ),
            weekdays,
        )

    def days(self, month_length: int) -> frozenset[int]:
        """Returns the days of a month of that length, whatever day of the week they are."""
        return self.by_length[month_length - MONTH_LENGTHS[0]]

    def within(self, other: "DaySet") -> "DaySet":
        """Returns the dates that are in both."""
        return DaySet(
            tuple(mine & theirs for mine, theirs in zip(self.by_length, other.by_length, strict=True)),
            self.weekdays & other.weekdays,
        )


@dataclass(frozen=True)
class Rule:
    """Each minute of each hour, on the dates of any of its day sets in its months."""

    minutes: frozenset[int]
    hours: frozenset[int]
    months: frozenset[int]
    day_sets: tuple[DaySet, ...]
    is_fixed: bool
    """Whether a change of the clocks moves its times (a gap) or takes the first of two (a repeated hour).

    Else it fires whenever the clock shows one of its times.
    """
    text: str
    """The standard cron expression that says it."""

    @property
    def minutes_of_day(self) -> frozenset[int]:
        """The times of day."""
        return frozenset(hour * 60 + minute for hour in self.hours for minute in self.minutes)

    def has(self, month: int, month_length: int, day: int, weekday: int) -> bool:
        """Whether it fires on a date."""
        return month in self.months and any(
            day in dates.days(month_length) and weekday in dates.weekdays for dates in self.day_sets
        )
