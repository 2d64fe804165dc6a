"""The timetable of a schedule: read once, then asked for its times, its text and its calendars."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from math import ceil, floor
from typing import Final, Self
from zoneinfo import ZoneInfo

from contracts.calendars import CalendarSet
from timetable.calendars import calendar_set, count_calendars, years_listed
from timetable.clock import BEGIN, END
from timetable.cron import SEPARATOR, Expression, read_cron
from timetable.fields import (
    PatternType,
    ReadFields,
    TimetableError,
    TimetableFields,
    is_blank,
    missing_fields,
    read_fields,
)
from timetable.patterns import interval, specific_times
from timetable.rule import Rule
from timetable.sentence import cron_sentence, interval_sentence, times_sentence
from timetable.text import clock_text
from timetable.times import Times

_MAX_CALENDARS: Final = 1000


class Timetable:
    """The exact set of instants at which a schedule fires."""

    def __init__(self, fields: TimetableFields, read: ReadFields, expressions: list[Expression]) -> None:
        """Takes what `parse` read."""
        self._read = read
        self._expressions = expressions
        rules = _rules(fields, read, expressions)
        is_custom = fields.pattern_type is PatternType.CUSTOM
        self.cron_expression = (
            fields.cron_expression or "" if is_custom else SEPARATOR.join(rule.text for rule in rules)
        )
        """The times as standard cron, several expressions joined by ` | `; for `Custom` the text as written."""
        self.normalised = replace(
            fields,
            cron_expression=self.cron_expression,
            days_of_week=",".join(map(str, read.days)) or None,
            run_times=",".join(map(clock_text, read.times)) or None,
            interval_window_start=None if is_blank(fields.interval_window_start) else clock_text(read.window_start),
            interval_window_end=None if is_blank(fields.interval_window_end) else clock_text(read.window_end),
        )
        """The fields in canonical form, blank ones None, `cron_expression` filled in for every pattern."""
        self.warnings = [warning for expression in expressions for warning in expression.warnings]
        """What JIM would read otherwise in a `Custom` text, and what its writer may not expect."""
        self._times = Times(rules, ZoneInfo(fields.time_zone))
        self._calendars: tuple[tuple[int, int], CalendarSet] | None = None

    @classmethod
    def parse(cls, fields: TimetableFields) -> Self:
        """Returns the timetable that the fields give.

        Raises:
            TimetableError: Fields are missing or wrong; it names all that are.
        """
        errors: dict[str, list[str]] = {}
        read, expressions = _read(fields, errors)
        errors |= missing_fields(fields)
        if errors:
            raise TimetableError(errors)
        return cls(fields, read, expressions)

    @classmethod
    def parse_partial(cls, fields: TimetableFields) -> Self | None:
        """Returns the same, or None where fields are missing: what a `Manual` schedule must keep to.

        Raises:
            TimetableError: Fields are wrong; it names all that are.
        """
        if not missing_fields(fields):
            return cls.parse(fields)
        errors: dict[str, list[str]] = {}
        _read(fields, errors)
        if errors:
            raise TimetableError(errors)
        return None

    @cached_property
    def sentence(self) -> str:
        """The times in English; names the zone where it is not UTC."""
        fields, read = self.normalised, self._read
        match fields.pattern_type:
            case PatternType.SPECIFIC_TIMES:
                said = times_sentence(read.days, read.times)
            case PatternType.INTERVAL:
                said = interval_sentence(
                    read.days, read.interval_value, read.interval_unit, read.window_start, read.window_end
                )
            case PatternType.CUSTOM:
                said = cron_sentence(self._expressions)
        return said if fields.time_zone == "UTC" else f"{said} ({fields.time_zone})"

    def next_times(self, after: datetime, count: int) -> list[datetime]:
        """Returns the next instants (aware, UTC) at which it fires.

        Args:
            after: Aware; only instants later than this one.
            count: How many at most; fewer where it ends before (`end_at`, the year 2100). Nothing fires before 2000.
        """
        return [datetime.fromtimestamp(instant, UTC) for instant in islice(self._after(after), count)]

    def next_time(self, after: datetime) -> datetime | None:
        """Returns the first instant later than `after`, None where there is none."""
        return next(iter(self.next_times(after, 1)), None)

    def latest_time(self, after: datetime, until: datetime) -> datetime | None:
        """Returns the last instant later than `after` and not later than `until`, None where there is none."""
        instant = self._times.latest(self._since(after), min(floor(until.timestamp()), self._last))
        return None if instant is None else datetime.fromtimestamp(instant, UTC)

    def calendars(self, now: datetime, *, years: int = 5) -> CalendarSet:
        """Returns what one Temporal Schedule needs to fire at exactly these times; `start_at` and `end_at` are not in it.

        Args:
            now: Aware; from when it must hold.
            years: For how many years at least, where it cannot hold for ever; then `valid_until` says until when.
        """
        listed = years_listed(now, years)
        if self._calendars is None or self._calendars[0] != listed:
            self._calendars = (listed, calendar_set(self._times, *listed))
        return self._calendars[1]

    def _after(self, after: datetime) -> Iterator[int]:
        return self._times.between(self._since(after), self._last)

    def _since(self, after: datetime) -> int:
        """Returns the last whole second at which it does not fire yet."""
        start_at = self.normalised.start_at
        since = max(floor(after.timestamp()), BEGIN - 1)
        return since if start_at is None else max(since, ceil(start_at.timestamp()) - 1)

    @property
    def _last(self) -> int:
        """The last second at which it may fire."""
        end_at = self.normalised.end_at
        return END - 1 if end_at is None else floor(end_at.timestamp())


def _read(fields: TimetableFields, errors: dict[str, list[str]]) -> tuple[ReadFields, list[Expression]]:
    """Reads the fields that are present; what is wrong goes into `errors`."""
    read = read_fields(fields, errors)
    text = fields.cron_expression
    if fields.pattern_type is not PatternType.CUSTOM or text is None or is_blank(text) or "cronExpression" in errors:
        return read, []
    wrong: list[str] = []
    expressions = read_cron(text, wrong)
    count = count_calendars(expression.rule for expression in expressions)
    if count > _MAX_CALENDARS:
        wrong.append(
            f"needs {count:,} calendars, at most {_MAX_CALENDARS:,} can be kept: split the schedule in several"
        )
    if wrong:
        errors["cronExpression"] = wrong
    return read, expressions


def _rules(fields: TimetableFields, read: ReadFields, expressions: list[Expression]) -> list[Rule]:
    match fields.pattern_type:
        case PatternType.SPECIFIC_TIMES:
            return specific_times(read.days, read.times)
        case PatternType.INTERVAL:
            return interval(read.days, read.interval_value, read.interval_unit, read.window_start, read.window_end)
        case PatternType.CUSTOM:
            return [expression.rule for expression in expressions]
