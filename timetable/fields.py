"""The trigger fields of a schedule, as the REST API names them, and the check of their formats."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Final
from zoneinfo import available_timezones

# Lengths as the documented API limits them; the Custom text is longer, so that it can join many expressions.
_MAX_CRON: Final = 2000
_MAX_DAYS: Final = 50
_MAX_TIMES: Final = 200
_MAX_WINDOW: Final = 10
_MAX_INTERVAL: Final = 59

# ASCII digits only: \d would take the digits of every script.
_TIME: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_DAY: Final = re.compile(r"[0-6]")


class PatternType(StrEnum):
    """How the times of a cron schedule are given."""

    SPECIFIC_TIMES = "SpecificTimes"
    INTERVAL = "Interval"
    CUSTOM = "Custom"


class IntervalUnit(StrEnum):
    """What `intervalValue` counts."""

    MINUTES = "Minutes"
    HOURS = "Hours"


class TimetableError(ValueError):
    """A timetable that cannot be; says for each field what is wrong and what would be right."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        """Takes the messages, by the JSON name of the field that each is about."""
        self.errors = errors
        super().__init__("; ".join(f"{field}: {message}" for field, said in errors.items() for message in said))


@dataclass(frozen=True)
class TimetableFields:
    """The trigger fields of a schedule. A blank text counts as absent."""

    pattern_type: PatternType = PatternType.SPECIFIC_TIMES
    cron_expression: str | None = None
    """Standard cron, or several joined by ` | `; up to 2,000 characters. Read for `Custom` only."""
    days_of_week: str | None = None
    """Day numbers 0-6, 0 is Sunday, separated by commas."""
    run_times: str | None = None
    """Times of day, `HH:MM`, separated by commas."""
    interval_value: int | None = None
    """How many units lie between two runs, 1-59."""
    interval_unit: IntervalUnit | None = None
    interval_window_start: str | None = None
    """`HH:MM`, the first run of the window."""
    interval_window_end: str | None = None
    """`HH:MM`, included; before the start: on the following day; equal to it: one run a day."""
    time_zone: str = "UTC"
    """IANA name of the zone in which all times of day are meant."""
    start_at: datetime | None = None
    """Aware; nothing fires before it."""
    end_at: datetime | None = None
    """Aware; nothing fires after it."""


@dataclass(frozen=True)
class ReadFields:
    """What the fields say. Where one is absent, `missing_fields` tells, and its value here means nothing."""

    days: tuple[int, ...]
    """Days of the week, 0 is Sunday, ascending."""
    times: tuple[int, ...]
    """Minutes of the day, ascending."""
    interval_value: int
    interval_unit: IntervalUnit
    window_start: int
    """Minute of the day."""
    window_end: int
    """Minute of the day."""


def read_fields(fields: TimetableFields, errors: dict[str, list[str]]) -> ReadFields:
    """Reads the fields that are present; what is wrong with them goes into `errors`."""
    days = _read_list(fields.days_of_week, _MAX_DAYS, _day, "daysOfWeek", errors)
    times = _read_list(fields.run_times, _MAX_TIMES, _time, "runTimes", errors)
    window_start = _read_window(fields.interval_window_start, "intervalWindowStart", errors)
    window_end = _read_window(fields.interval_window_end, "intervalWindowEnd", errors)
    if fields.interval_value is not None and not 1 <= fields.interval_value <= _MAX_INTERVAL:
        errors["intervalValue"] = [f"{fields.interval_value} is out of range: give 1 to {_MAX_INTERVAL}"]
    if fields.time_zone not in _zone_names():
        errors["timeZone"] = [
            f"{fields.time_zone!r} is not a known time zone: give an IANA name such as Europe/London, or UTC",
        ]
    if fields.start_at and fields.end_at and fields.end_at <= fields.start_at:
        errors["endAt"] = ["endAt must be later than startAt: correct one of them, or leave endAt out"]
    if fields.cron_expression and len(fields.cron_expression) > _MAX_CRON:
        errors["cronExpression"] = [
            f"{len(fields.cron_expression):,} characters: give at most {_MAX_CRON:,}, or split the schedule",
        ]
    return ReadFields(
        days,
        times,
        fields.interval_value or 1,
        fields.interval_unit or IntervalUnit.MINUTES,
        window_start,
        window_end,
    )


def missing_fields(fields: TimetableFields) -> dict[str, list[str]]:
    """Returns a message for each field that the pattern requires and that is absent."""
    if fields.pattern_type is PatternType.CUSTOM:
        # The message is JIM's.
        required = {"cronExpression": (fields.cron_expression, "Cron expression is required for scheduled triggers")}
    elif fields.pattern_type is PatternType.SPECIFIC_TIMES:
        required = {
            "daysOfWeek": (fields.days_of_week, _required(fields, 'the days, such as "1,2,3,4,5" (0 is Sunday)')),
            "runTimes": (fields.run_times, _required(fields, 'the times of day, such as "06:00,18:00"')),
        }
    else:
        value = None if fields.interval_value is None else str(fields.interval_value)
        required = {
            "daysOfWeek": (fields.days_of_week, _required(fields, 'the days, such as "1,2,3,4,5" (0 is Sunday)')),
            "intervalValue": (value, _required(fields, f"the number of minutes or hours, 1 to {_MAX_INTERVAL}")),
            "intervalUnit": (fields.interval_unit, _required(fields, "Minutes or Hours")),
            "intervalWindowStart": (
                fields.interval_window_start,
                _required(fields, 'the first time of the day, such as "08:00"'),
            ),
            "intervalWindowEnd": (
                fields.interval_window_end,
                _required(fields, 'the last time of the day, such as "18:00"'),
            ),
        }
    return {name: [message] for name, (value, message) in required.items() if is_blank(value)}


def is_blank(text: str | None) -> bool:
    """Whether a text is absent or holds white space only."""
    return text is None or not text.strip()


def _required(fields: TimetableFields, what: str) -> str:
    return f"Required for the pattern {fields.pattern_type}: give {what}"


@cache
def _zone_names() -> frozenset[str]:
    # available_timezones() also lists what is no zone of its own: "localtime" is the server's, whatever that is.
    return frozenset(available_timezones() - {"localtime", "posixrules", "Factory"})


def _day(text: str) -> int:
    if _DAY.fullmatch(text):
        return int(text)
    if text == "7":
        raise ValueError("7 is not a day: Sunday is 0")
    raise ValueError(f"{text!r} is not a day: give numbers from 0 (Sunday) to 6 (Saturday), separated by commas")


def _time(text: str) -> int:
    if match := _TIME.fullmatch(text):
        return int(match[1]) * 60 + int(match[2])
    raise ValueError(f'{text!r} is not a time of day: give 24-hour times from 00:00 to 23:59, such as "06:00"')


def _read_list(
    text: str | None,
    limit: int,
    read: Callable[[str], int],
    name: str,
    errors: dict[str, list[str]],
) -> tuple[int, ...]:
    """Reads a list separated by commas; `read` gives the value of one item, or raises what is wrong with it."""
    if text is None or is_blank(text):
        return ()
    if len(text) > limit:
        errors[name] = [f"{len(text)} characters: give at most {limit}"]
        return ()
    values: set[int] = set()
    for item in text.split(","):
        try:
            values.add(read(item.strip()))
        except ValueError as wrong:
            errors.setdefault(name, []).append(str(wrong))
    return tuple(sorted(values))


def _read_window(text: str | None, name: str, errors: dict[str, list[str]]) -> int:
    if text is None or is_blank(text):
        return 0
    if len(text) > _MAX_WINDOW:
        errors[name] = [f"{len(text)} characters: give at most {_MAX_WINDOW}"]
        return 0
    try:
        return _time(text.strip())
    except ValueError as wrong:
        errors[name] = [str(wrong)]
        return 0
