"""What a timetable accepts, refuses and says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timetable import IntervalUnit, PatternType, Timetable, TimetableError, TimetableFields
from timetable.cover import rectangles

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def specific(days: str, times: str, **others: Any) -> TimetableFields:
    return TimetableFields(days_of_week=days, run_times=times, **others)


def interval(days: str, value: int, unit: str, start: str, end: str) -> TimetableFields:
    return TimetableFields(
        pattern_type=PatternType.INTERVAL,
        days_of_week=days,
        interval_value=value,
        interval_unit=IntervalUnit(unit),
        interval_window_start=start,
        interval_window_end=end,
    )


def custom(text: str, zone: str = "UTC") -> TimetableFields:
    return TimetableFields(pattern_type=PatternType.CUSTOM, cron_expression=text, time_zone=zone)


def errors_of(fields: TimetableFields) -> dict[str, list[str]]:
    with pytest.raises(TimetableError) as caught:
        Timetable.parse(fields)
    return caught.value.errors


# --- cron text --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (specific("1,2,3,4,5", "06:00"), "0 6 * * 1-5"),
        (specific("0,1,2,3,4,5,6", "06:00,18:00"), "0 6,18 * * *"),
        (specific("6,0", "7:30"), "30 7 * * 0,6"),
        (specific("1,2,4,6,5", "00:00"), "0 0 * * 1-2,4-6"),
        (specific("3", "09:15,12:45"), "15 9 * * 3 | 45 12 * * 3"),
        (specific("3", "06:00,06:30,12:00,12:30"), "0,30 6,12 * * 3"),
        # A time may be said twice where that saves an expression.
        (specific("3", "6:00,6:30,12:00,12:30,12:45,18:30,18:45"), "0,30 6,12 * * 3 | 30,45 12,18 * * 3"),
        (interval("1,2,3,4,5", 15, "Minutes", "08:30", "17:45"), "30,45 8 * * 1-5 | */15 9-17 * * 1-5"),
        (interval("1", 2, "Hours", "08:00", "18:00"), "0 8,10,12,14,16,18 * * 1"),
        (interval("1", 2, "Hours", "08:30", "17:45"), "30 8,10,12,14,16 * * 1"),
        (interval("0,1,2,3,4,5,6", 15, "Minutes", "00:00", "23:59"), "*/15 * * * *"),
        (interval("0,1,2,3,4,5,6", 1, "Minutes", "00:00", "23:59"), "* * * * *"),
        (interval("1,2", 1, "Hours", "22:00", "02:00"), "0 22,23 * * 1-2 | 0 0-2 * * 2-3"),
        (interval("6", 3, "Hours", "22:00", "02:00"), "0 22 * * 6 | 0 1 * * 0"),
        (interval("0,1,2,3,4,5,6", 1, "Hours", "22:00", "02:00"), "0 0-2,22,23 * * *"),
        (interval("1", 5, "Minutes", "09:00", "09:00"), "0 9 * * 1"),
        (interval("1", 59, "Hours", "09:00", "18:00"), "0 9 * * 1"),
        (custom("  @Daily | 0 6 *  * MON"), "  @Daily | 0 6 *  * MON"),
    ],
)
def test_the_cron_expression(fields: TimetableFields, expected: str) -> None:
    assert Timetable.parse(fields).cron_expression == expected


MINUTE_OF_DAY = st.integers(0, 1439)


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(1, 59),
    st.sampled_from(IntervalUnit),
    MINUTE_OF_DAY,
    MINUTE_OF_DAY,
)
def test_the_cron_expression_says_the_same_times(
    days: set[int], value: int, unit: IntervalUnit, start: int, end: int
) -> None:
    clock = [f"{time // 60:02}:{time % 60:02}" for time in (start, end)]
    fields = replace(interval(",".join(map(str, days)), value, unit, *clock), end_at=NOW + timedelta(days=8))
    timetable = Timetable.parse(fields)
    read_back = Timetable.parse(replace(custom(timetable.cron_expression), end_at=fields.end_at))
    assert read_back.next_times(NOW, 15_000) == timetable.next_times(NOW, 15_000)
    assert read_back.warnings == timetable.warnings == []


@settings(max_examples=60, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_no_fewer_expressions_would_do(cells: set[tuple[int, int]]) -> None:
    found = rectangles(hour * 60 + minute for hour, minute in cells)
    assert {(hour, minute) for minutes, hours in found for hour, minute in product(hours, minutes)} == cells
    some = [set(chosen) for size in range(1, 5) for chosen in combinations(range(4), size)]
    inside = [set(product(hours, minutes)) for hours, minutes in product(some, some)]
    inside = [rectangle for rectangle in inside if rectangle <= cells]
    largest = [rectangle for rectangle in inside if not any(rectangle < other for other in inside)]
    assert not any(
        set().union(*chosen) == cells for size in range(len(found)) for chosen in combinations(largest, size)
    )


# --- canonical form ---------------------------------------------------------------------------------------------


def test_days_and_times_are_sorted_and_said_once() -> None:
    normalised = Timetable.parse(specific(" 5,1, 1,0", "18:00, 6:00,18:00")).normalised
    assert (normalised.days_of_week, normalised.run_times) == ("0,1,5", "06:00,18:00")
    assert normalised.cron_expression == "0 6,18 * * 0-1,5"


def test_windows_are_written_in_full_and_blank_fields_are_none() -> None:
    fields = interval("1", 1, "Hours", "8:00", "9:05")
    normalised = Timetable.parse(TimetableFields(**{**vars(fields), "run_times": " "})).normalised
    assert (normalised.interval_window_start, normalised.interval_window_end) == ("08:00", "09:05")
    assert normalised.run_times is None


# --- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "missing"),
    [
        (PatternType.SPECIFIC_TIMES, {"daysOfWeek", "runTimes"}),
        (
            PatternType.INTERVAL,
            {"daysOfWeek", "intervalValue", "intervalUnit", "intervalWindowStart", "intervalWindowEnd"},
        ),
        (PatternType.CUSTOM, {"cronExpression"}),
    ],
)
def test_required_fields_are_named(pattern: PatternType, missing: set[str]) -> None:
    assert errors_of(TimetableFields(pattern_type=pattern)).keys() == missing
    assert errors_of(TimetableFields(pattern, " ", " ", " ", None, None, "", "")).keys() == missing
    assert Timetable.parse_partial(TimetableFields(pattern_type=pattern)) is None


def test_the_message_for_a_missing_cron_expression_is_that_of_jim() -> None:
    errors = errors_of(TimetableFields(pattern_type=PatternType.CUSTOM))
    assert errors == {"cronExpression": ["Cron expression is required for scheduled triggers"]}


def test_all_errors_come_at_once() -> None:
    fields = TimetableFields(
        pattern_type=PatternType.CUSTOM,
        cron_expression="61 * * * * | 0 24 * * *",
        days_of_week="7,x",
        run_times="25:00,6:5",
        interval_value=60,
        interval_window_start="24:00",
        interval_window_end="noon",
        time_zone="Europe/Londn",
        start_at=NOW,
        end_at=NOW,
    )
    with pytest.raises(TimetableError) as caught:
        Timetable.parse_partial(fields)
    errors = caught.value.errors
    assert {field: len(messages) for field, messages in errors.items()} == {
        "cronExpression": 2,
        "daysOfWeek": 2,
        "runTimes": 2,
        "intervalValue": 1,
        "intervalWindowStart": 1,
        "intervalWindowEnd": 1,
        "timeZone": 1,
        "endAt": 1,
    }
    assert errors_of(fields) == errors
    assert "Sunday is 0" in errors["daysOfWeek"][0]
    assert "Europe/London" in errors["timeZone"][0]


@pytest.mark.parametrize(
    ("fields", "field", "part"),
    [
        (specific("1" + ",1" * 25, "06:00"), "daysOfWeek", "at most 50"),
        (specific("1", "06:00" + ",06:00" * 33), "runTimes", "at most 200"),
        (specific("1,", "06:00"), "daysOfWeek", "'' is not a day"),
        (specific("1", "06:00:00"), "runTimes", "24-hour times"),
        (specific("1", "\u0660\u0666:\u0660\u0660"), "runTimes", "24-hour times"),
        (interval("1", 0, "Hours", "08:00", "09:00"), "intervalValue", "1 to 59"),
        (interval("1", 1, "Hours", "08:00", " " * 9 + "09:00"), "intervalWindowEnd", "at most 10"),
        (specific("1", "06:00", time_zone=""), "timeZone", "IANA name"),
        (specific("1", "06:00", time_zone="localtime"), "timeZone", "IANA name"),
        (specific("1", "06:00", time_zone="../etc/passwd"), "timeZone", "IANA name"),
        (custom("0 0 * * *" + " " * 2000), "cronExpression", "at most 2,000"),
        (custom("* * * * * *"), "cronExpression", "has 6 fields, cron has five"),
        (custom("0 6 * *"), "cronExpression", "has 4 fields"),
        (custom("TZ=UTC 0 6 * * *"), "cronExpression", "timeZone"),
        (custom("@reboot"), "cronExpression", "@hourly"),
        (custom("@every 5m"), "cronExpression", "@hourly"),
        (custom("0 0 30 2 *"), "cronExpression", "none of its dates exists"),
        (custom("0 0 31 4,6,9,11 *"), "cronExpression", "none of its dates exists"),
        (custom("0 0 */30 * MON#2"), "cronExpression", "none of its dates exists"),
        (custom("0 0 15W * *"), "cronExpression", "'15W' is not known in the day of month"),
        (custom("0 0 L-3 * *"), "cronExpression", "'L-3' is not known"),
        (custom("0 0 * * L"), "cronExpression", "5L (the last Friday)"),
        (custom("0 0 * * 1#6"), "cronExpression", "'1#6' is not known"),
        (custom("0 0 * * 8L"), "cronExpression", "'8L' is not known"),
        (custom("0 0 * FOO *"), "cronExpression", "JAN to DEC"),
        (custom("0 0 * * MONDAY"), "cronExpression", "SUN to SAT"),
        (custom("*/0 * * * *"), "cronExpression", "the step of '*/0' is 0"),
        (custom("1,,2 * * * *"), "cronExpression", "'' is not known in the minute"),
        (custom("? * * * *"), "cronExpression", "'?' is not known in the minute"),
        (custom("*-5 * * * *"), "cronExpression", "'*-5' is not known"),
        (custom("1-2-3 * * * *"), "cronExpression", "'1-2-3' is not known"),
        (custom("\u0663 * * * *"), "cronExpression", "plain digits"),
        (custom("0 0 * * \u017fun"), "cronExpression", "plain digits"),
        (custom("0 0 * * fr\u0131"), "cronExpression", "plain digits"),
        (custom("0 6 * * * |"), "cronExpression", "An expression is empty"),
        (custom("|"), "cronExpression", "An expression is empty"),
    ],
)
def test_what_is_wrong_is_said_with_its_remedy(fields: TimetableFields, field: str, part: str) -> None:
    errors = errors_of(fields)
    assert errors.keys() == {field}
    assert part in errors[field][0]


def test_more_than_a_thousand_calendars_are_refused() -> None:
    text = "|".join(f"{n % 60} {n // 60} L * 5L" for n in range(126))
    assert "needs 1,008 calendars" in errors_of(custom(text))["cronExpression"][0]
    Timetable.parse(custom(text.rpartition("|")[0]))
    # Equal calendars count once.
    Timetable.parse(custom("|".join(["0 0 L * 5L"] * 170)))


def test_every_90_minutes_is_as_the_page_on_triggers_says() -> None:
    text = "0 */3 * * * | 30 1-23/3 * * *"
    assert f"`{text}`" in (Path(__file__).parents[3] / "docs" / "triggers.md").read_text("utf-8")
    times = Timetable.parse(custom(text)).next_times(datetime(2027, 1, 1, tzinfo=UTC) - timedelta(seconds=1), 33)
    assert {after - before for before, after in pairwise(times)} == {timedelta(minutes=90)}
    assert (times[0].hour, times[0].minute) == (0, 0)


# --- warnings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("0 6 * * 1-5", []),
        ("0 6 L * ?", []),
        ("0 6 */2 * 1", []),  # JIM asks for both too
        ("0 6 * * 5-7", []),
        ("0 6 1 * 1", ["fires only when both match"]),
        ("0 22-6 * * *", ["22-6 in the hour runs on past the end; JIM swaps its ends"]),
        ("0 6 * * FRI-MON", ["FRI-MON in the day of week"]),
        ("0 6 28-3 nov-feb 1", ["28-3 in the day of month", "NOV-FEB in the month", "both match"]),
        ("*/90 * * * *", ["larger than its range"]),
        ("0 6 1 * 1 | 0 22-6 * * *", ["both match", "22-6"]),
    ],
)
def test_warnings(text: str, parts: list[str]) -> None:
    warnings = Timetable.parse(custom(text)).warnings
    assert len(warnings) == len(parts)
    assert all(part in warning for part, warning in zip(parts, warnings, strict=True))


# --- sentences --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (specific("1,2,3,4,5", "06:00"), "At 06:00, Monday through Friday"),
        (specific("0,1,2,3,4,5,6", "06:00,12:30,18:00"), "At 06:00, 12:30 and 18:00, every day"),
        (
            specific("1", "06:00", time_zone="Europe/London"),
            "At 06:00, only on Monday (Europe/London)",
        ),
        (
            interval("1,2,3,4,5", 15, "Minutes", "08:30", "17:45"),
            "Every 15 minutes from 08:30 to 17:45, Monday through Friday",
        ),
        (
            interval("1,2,3,4,5", 2, "Hours", "22:00", "06:00"),
            "Every 2 hours from 22:00 to 06:00 the next day, opening Monday through Friday",
        ),
        (
            interval("0,1,2,3,4,5,6", 1, "Hours", "22:00", "06:00"),
            "Every hour from 22:00 to 06:00 the next day, every day",
        ),
        (interval("6", 5, "Minutes", "09:00", "09:00"), "At 09:00, only on Saturday"),
        (custom("0 6 * * 1-5"), "At 06:00, Monday through Friday"),
        (custom("@daily | 0 12 * * SUN"), "At 00:00; and at 12:00, only on Sunday"),
        (custom("0 6 13 * 5"), "At 06:00, on day 13 of the month; and at 06:00, only on Friday"),
        (custom("0 6 */10 * 5"), "At 06:00, only on Friday, if it is day 1, 11, 21 and 31 of the month"),
        (
            custom("0 6 L * ?"),
            "At 06:00, on the last day of the month",
        ),
        (
            custom("0 6 * * 1#1,3#2,5L"),
            (
                "At 06:00, on the first Monday of the month; and at 06:00, on the second Wednesday of the month; "
                "and at 06:00, on the last Friday of the month"
            ),
        ),
        (custom("*/15 8-17 * * *"), "Every 15 minutes, between 08:00 and 17:59"),
        # Not "every 25 minutes", which it is not.
        (custom("*/25 * * * *"), "At 0, 25, and 50 minutes past the hour"),
    ],
)
def test_sentences(fields: TimetableFields, expected: str) -> None:
    assert Timetable.parse(fields).sentence == expected


def test_an_end_must_follow_the_start() -> None:
    fields = specific("1", "06:00", start_at=NOW, end_at=NOW - timedelta(days=1))
    assert errors_of(fields) == {"endAt": ["endAt must be later than startAt: correct one of them, or leave endAt out"]}
