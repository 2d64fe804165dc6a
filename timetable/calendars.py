"""Calendars and single instants with which Temporal fires exactly at the times of a timetable.

Temporal's calendars are exact away from changes of the clocks and wrong around some of them (docs/adr/0003-clock-changes.md).
So the hours around a change are left out of the calendars that would fire in them on that date, and the instants that
belong there are listed one by one.
"""

from calendar import isleap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

from contracts.calendars import Calendar, CalendarSet, Range
from timetable.clock import DAY, FIRST_YEAR, LAST_YEAR, Change, changes
from timetable.rule import ALL_MONTHS, ALL_WEEKDAYS, MONTH_LENGTHS, Rule, month_lengths
from timetable.text import runs
from timetable.times import Times

_HOUR: Final = 3600
_ALL_HOURS: Final = frozenset(range(24))
_ALL_DAYS: Final = frozenset(range(1, 32))
_ALL_YEARS: Final = frozenset(range(FIRST_YEAR, LAST_YEAR + 1))
_LEAP_YEARS: Final = frozenset(year for year in _ALL_YEARS if isleap(year))
# Temporal refuses longer comments (maxCommentLen in its source).
_COMMENT_BYTES: Final = 200

_Hour = tuple[date, int]
"""One hour of the wall clock: its date and the hour of the day."""


@dataclass(frozen=True)
class _Calendar:
    """A calendar as sets of values, one of each of which must match."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    years: frozenset[int]
    text: str = field(compare=False)
    """The cron expression that it comes from."""
    note: str = field(default="", compare=False)

    def has(self, day: date) -> bool:
        """Whether it fires on a date."""
        return self.has_whatever_weekday(day) and _weekday(day) in self.weekdays

    def has_whatever_weekday(self, day: date) -> bool:
        """Whether it would fire on a date if that fell on another day of the week."""
        return day.day in self.days and day.month in self.months and day.year in self.years


def years_listed(now: datetime, years: int) -> tuple[int, int]:
    """Returns the first year in which a set that holds so many years from now must be exact, and the first in which not.

    Whole years, so that the set stays the same for all of a year; the month before `now` is for late catch-up.
    """
    first_year = (now - timedelta(days=31)).astimezone(UTC).year
    return first_year, (now + timedelta(days=2)).astimezone(UTC).year + years + 1


def calendar_set(times: Times, first_year: int, end_year: int) -> CalendarSet:
    """Returns what makes Temporal fire at exactly the given times, from a year to before another, or for ever."""
    plain = _distinct(times.rules)
    zone = times.zone.key
    clock_changes = list(changes(times.zone, _start_of(first_year)))
    if in_utc := _in_utc(plain, times.rules, clock_changes, zone):
        return CalendarSet(time_zone="UTC", calendars=tuple(map(_contract, in_utc)))
    touching = [
        change
        for change in clock_changes
        if times.moves_out_of(change) or any(_unsafe_hours(calendar, change) for calendar in plain)
    ]
    if not touching:
        return CalendarSet(time_zone=zone, calendars=tuple(map(_contract, plain)))
    near = [change for change in touching if change.at < _start_of(end_year)]
    return CalendarSet(
        time_zone=zone,
        calendars=tuple(
            _contract(part)
            for calendar in plain
            for part in _without(
                calendar,
                {hour for change in near for hour in _unsafe_hours(calendar, change)},
                first_year,
            )
        ),
        instants=tuple(
            datetime.fromtimestamp(instant, UTC)
            for instant in sorted({instant for change in near for instant in _instants(times, plain, change)})
        ),
        # A change at the very end of the last year reaches into the hours before it.
        valid_until=datetime.fromtimestamp(_start_of(end_year) - 2 * DAY, UTC),
    )


def count_calendars(rules: Iterable[Rule]) -> int:
    """Returns how many different calendars some rules need where the clocks never change."""
    return len(_distinct(rules))


def _distinct(rules: Iterable[Rule]) -> list[_Calendar]:
    return list(dict.fromkeys(calendar for rule in rules for calendar in _calendars(rule)))


def _calendars(rule: Rule) -> Iterator[_Calendar]:
    for dates in rule.day_sets:
        whole = _Calendar(
            rule.minutes, rule.hours, dates.days(31), rule.months, dates.weekdays, _ALL_YEARS, text=rule.text
        )
        lengths = [length for length in MONTH_LENGTHS if any(length in month_lengths(month) for month in rule.months)]
        if all(dates.days(length) == {day for day in whole.days if day <= length} for length in lengths):
            parts = [whole]
        else:
            parts = [
                replace(
                    whole,
                    days=dates.days(length),
                    months=frozenset(month for month in rule.months if length in month_lengths(month)),
                    years=_LEAP_YEARS if length == 29 else _ALL_YEARS - _LEAP_YEARS if length == 28 else _ALL_YEARS,
                )
                for length in lengths
            ]
        yield from (part for part in parts if part.days and part.weekdays)


def _in_utc(
    plain: Sequence[_Calendar],
    rules: Sequence[Rule],
    clock_changes: Sequence[Change],
    zone: str,
) -> list[_Calendar]:
    """Returns the same times in UTC where no change of the clocks matters: every hour of every day, at minutes that fit.

    Empty where one does, or where there is none.
    """
    offsets = {offset for change in clock_changes for offset in (change.before, change.after)}
    if any(rule.is_fixed for rule in rules) or any(offset % 60 for offset in offsets):
        return []
    found = []
    for calendar in plain:
        in_utc = {frozenset((minute - offset // 60) % 60 for minute in calendar.minutes) for offset in offsets}
        every_hour = replace(
            calendar,
            hours=_ALL_HOURS,
            days=_ALL_DAYS,
            months=ALL_MONTHS,
            weekdays=ALL_WEEKDAYS,
            years=_ALL_YEARS,
        )
        if calendar != every_hour or len(in_utc) != 1:
            return []
        found.append(replace(calendar, minutes=in_utc.pop(), note=f"in UTC, where it is the same as in {zone}"))
    return found


def _unsafe_hours(calendar: _Calendar, change: Change) -> set[_Hour]:
    """Returns the hours in which Temporal may not fire a calendar as it should because of a change.

    They are those left out or repeated, and the hour before a repeated one: leaving it Temporal may take it again.
    Where midnight is left out it takes the day before for the day of the week, for the whole date.
    """
    first, end = change.labels
    first -= first % _HOUR + (0 if change.is_forward else _HOUR)
    unsafe = {
        (day, hour)
        for day, hour in (_hour_of(label) for label in range(first, end, _HOUR))
        if hour in calendar.hours and calendar.has(day)
    }
    if change.is_forward and calendar.weekdays != ALL_WEEKDAYS:
        for midnight in range(-(-change.labels[0] // DAY) * DAY, end, DAY):
            day, _ = _hour_of(midnight)
            taken_for = day - timedelta(days=1)
            if calendar.has_whatever_weekday(day) and {_weekday(day), _weekday(taken_for)} & calendar.weekdays:
                unsafe |= {(day, hour) for hour in calendar.hours}
    return unsafe


def _without(calendar: _Calendar, left_out: set[_Hour], first_year: int) -> Iterator[_Calendar]:
    """Yields calendars that together are one, but for some hours; in the months of those, from the first year on."""
    dates_of: dict[int, set[date]] = {hour: set() for hour in calendar.hours}
    for day, hour in left_out:
        dates_of[hour].add(day)
    hours_without: dict[frozenset[date], set[int]] = {}
    for hour in sorted(calendar.hours):
        hours_without.setdefault(frozenset(dates_of[hour]), set()).add(hour)
    for dates, hours in hours_without.items():
        part = replace(calendar, hours=frozenset(hours))
        months = {day.month for day in dates}
        if part.months - months:
            yield replace(part, months=part.months - months)
        for month in sorted(months):
            years_without: dict[frozenset[int], set[int]] = {}
            for year in sorted(year for year in part.years if year >= first_year):
                days = frozenset(day.day for day in dates if (day.year, day.month) == (year, month))
                years_without.setdefault(days, set()).add(year)
            for days, without in years_without.items():
                if part.days - days:
                    yield replace(
                        part,
                        days=part.days - days,
                        months=frozenset({month}),
                        years=frozenset(without),
                        note=_note(month, days, without),
                    )


def _note(month: int, days: frozenset[int], years: set[int]) -> str:
    if not days:
        return ""
    dates = sorted(date(year, month, day) for year in years for day in days)
    more = " ..." if len(dates) > 3 else ""
    return f"without {', '.join(map(str, dates[:3]))}{more}: the clocks change, its times are among the intervals"


def _instants(times: Times, plain: Sequence[_Calendar], change: Change) -> Iterator[int]:
    """Yields the instants at which it fires in the unsafe hours of a change, and the end of a gap if something moves there."""
    if times.moves_out_of(change):
        yield change.at
    unsafe = {hour for calendar in plain for hour in _unsafe_hours(calendar, change)}
    if not unsafe:
        return
    labels = [_start_of_day(day) + hour * _HOUR for day, hour in unsafe]
    since = min(labels) - max(change.before, change.after)
    until = max(labels) + _HOUR - min(change.before, change.after)
    for instant in times.between(since - 1, until - 1):
        if _hour_of(instant + (change.before if instant < change.at else change.after)) in unsafe:
            yield instant


def _hour_of(label: int) -> _Hour:
    shown = datetime.fromtimestamp(label, UTC)
    return shown.date(), shown.hour


def _weekday(day: date) -> int:
    return day.isoweekday() % 7


def _start_of_day(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _start_of(year: int) -> int:
    return _start_of_day(date(year, 1, 1))


def _contract(calendar: _Calendar) -> Calendar:
    note = f"; {calendar.note}" if calendar.note else ""
    room = _COMMENT_BYTES - len(note)
    text = calendar.text if len(calendar.text) <= room else f"{calendar.text[: room - 3]}..."
    return Calendar(
        minute=_ranges(calendar.minutes),
        hour=_ranges(calendar.hours),
        day_of_month=_ranges(calendar.days),
        month=_ranges(calendar.months),
        day_of_week=_ranges(calendar.weekdays),
        year=() if calendar.years == _ALL_YEARS else _ranges(calendar.years),
        comment=text + note,
    )


def _ranges(values: Iterable[int]) -> tuple[Range, ...]:
    """Returns the values as one range with a step where that is what they are, else as runs."""
    ordered = sorted(values)
    step = ordered[1] - ordered[0] if len(ordered) > 2 else 1
    if ordered == list(range(ordered[0], ordered[-1] + 1, step)):
        return (Range(start=ordered[0], end=ordered[-1], step=step),)
    return tuple(Range(start=first, end=last) for first, last in runs(ordered))
