"""The instants at which rules fire in a zone."""

from bisect import bisect_left
from calendar import monthrange
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import takewhile
from zoneinfo import ZoneInfo

from timetable.clock import DAY, Change, Stretch, stretches
from timetable.rule import Rule

_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class _DayTimes:
    """The labels of one date, in seconds of the day, ascending."""

    all: tuple[int, ...]
    fixed: tuple[int, ...]
    floating: frozenset[int]


@dataclass
class Times:
    """Finds the instants at which any of some rules fires; instants and labels are those of `timetable.clock`."""

    rules: Sequence[Rule]
    zone: ZoneInfo
    _months: dict[tuple[int, int, int], list[tuple[int, _DayTimes]]] = field(default_factory=dict)
    """For a month, its length and the weekday of its first day: each date that has times."""

    def after(self, instant: int) -> Iterator[int]:
        """Yields every instant later than the given one, in order, each once."""
        last = instant
        for stretch in stretches(self.zone, instant + 1):
            for found in self._within(stretch, instant):
                # The first instant after a gap may also be a time of its own.
                if found > last:
                    last = found
                    yield found

    def between(self, after: int, until: int) -> Iterator[int]:
        """Yields every instant later than `after` and not later than `until`."""
        return takewhile(lambda instant: instant <= until, self.after(after))

    def latest(self, after: int, until: int) -> int | None:
        """Returns the last instant later than `after` and not later than `until`, or None."""
        span = DAY
        while until > after:
            since = max(after, until - span)
            found = deque(self.between(since, until), maxlen=1)
            if found:
                return found[0]
            until, span = since, 2 * span
        return None

    def moves_out_of(self, change: Change) -> bool:
        """Whether a fixed time falls into the gap that a change leaves, and so fires at its end."""
        first, end = change.labels
        return change.is_forward and any(
            bisect_left(day_times.fixed, first - midnight) < bisect_left(day_times.fixed, end - midnight)
            for midnight, day_times in self._days(first, end)
        )

    def _within(self, stretch: Stretch, instant: int) -> Iterator[int]:
        """Yields the instants of a stretch that are later than `instant`."""
        repeated_until = None
        if stretch.opening is not None:
            if stretch.start > instant and self.moves_out_of(stretch.opening):
                yield stretch.start
            if not stretch.opening.is_forward:
                repeated_until = stretch.opening.labels[1]
        first = max(stretch.start, instant + 1) + stretch.offset
        end = stretch.end + stretch.offset
        for midnight, day_times in self._days(first, end):
            begin = bisect_left(day_times.all, first - midnight) if first > midnight else 0
            for second in day_times.all[begin:]:
                label = midnight + second
                if label >= end:
                    return
                if repeated_until is not None and label < repeated_until and second not in day_times.floating:
                    continue
                yield label - stretch.offset

    def _days(self, first: int, end: int) -> Iterator[tuple[int, _DayTimes]]:
        """Yields each date that has times and labels from `first` to before `end`, as the label of its midnight."""
        if first >= end:
            return
        day = datetime.fromtimestamp(first, UTC).date()
        year, month = day.year, day.month
        while (start := (date(year, month, 1).toordinal() - _EPOCH) * DAY) < end:
            for day_of_month, day_times in self._month(year, month):
                midnight = start + (day_of_month - 1) * DAY
                if midnight >= end:
                    return
                if midnight + DAY > first:
                    yield midnight, day_times
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)

    def _month(self, year: int, month: int) -> list[tuple[int, _DayTimes]]:
        weekday, length = monthrange(year, month)
        key = (month, length, (weekday + 1) % 7)
        if key not in self._months:
            self._months[key] = list(self._month_like(*key))
        return self._months[key]

    def _month_like(self, month: int, length: int, first_weekday: int) -> Iterator[tuple[int, _DayTimes]]:
        made: dict[tuple[bool, ...], _DayTimes] = {}
        for day in range(1, length + 1):
            weekday = (first_weekday + day - 1) % 7
            fires = tuple(rule.has(month, length, day, weekday) for rule in self.rules)
            if any(fires):
                if fires not in made:
                    made[fires] = _day_times([rule for rule, does in zip(self.rules, fires, strict=True) if does])
                yield day, made[fires]


def _day_times(rules: Sequence[Rule]) -> _DayTimes:
    fixed: set[int] = set()
    floating: set[int] = set()
    for rule in rules:
        (fixed if rule.is_fixed else floating).update(minute * 60 for minute in rule.minutes_of_day)
    return _DayTimes(all=tuple(sorted(fixed | floating)), fixed=tuple(sorted(fixed)), floating=frozenset(floating))
