"""An oracle that walks every minute of local time, written from the rules alone: it shares no code with the timetable."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import cache, partial
from zoneinfo import ZoneInfo

from timetable import IntervalUnit, PatternType, TimetableFields

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


@cache
def in_field(text: str, value: int, low: int, high: int, names: tuple[str, ...] = ()) -> bool:
    return any(in_item(item, value, low, high, names) for item in text.lower().split(","))


def in_item(item: str, value: int, low: int, high: int, names: tuple[str, ...]) -> bool:
    """Counts through the item as a person would, from its first value on."""

    def number(text: str) -> int:
        return names.index(text) + low if text in names else int(text)

    if item in {"*", "?"}:
        return True
    span, _, step = item.partition("/")
    first, _, last = span.partition("-")
    if first == "*":
        current, steps_to_go = low, high - low
    elif last:
        current = number(first)
        steps_to_go = 0
        reached, goal = current, number(last)
        while reached != goal:
            reached = low if reached == high else reached + 1
            steps_to_go += 1
    else:
        current = number(first)
        steps_to_go = high - current if step else 0
    while True:
        if current == value:
            return True
        taken = int(step or 1)
        if taken > steps_to_go:
            return False
        steps_to_go -= taken
        for _ in range(taken):
            current = low if current == high else current + 1


def in_day_of_month(text: str, day: date) -> bool:
    items = text.lower().split(",")
    is_last = (day + DAY).day == 1
    return ("l" in items and is_last) or any(in_item(item, day.day, 1, 31, ()) for item in items if item != "l")


def in_day_of_week(text: str, day: date) -> bool:
    weekday = day.isoweekday() % 7

    def matches(item: str) -> bool:
        if "#" in item:
            which, nth = item.split("#")
            return in_item(which, weekday, 0, 6, tuple(WEEKDAYS)) and (day.day + 6) // 7 == int(nth)
        if "l" in item:
            return in_item(item.replace("l", ""), weekday, 0, 6, tuple(WEEKDAYS)) and (day + 7 * DAY).month != day.month
        return in_item(item, weekday, 0, 6, tuple(WEEKDAYS))

    return any(matches(item) for item in text.lower().split(","))


@cache
def cron_has_day(fields: tuple[str, ...], day: date) -> bool:
    _, _, of_month, month, of_week = fields
    if not in_field(month, day.month, 1, 12, tuple(MONTHS)):
        return False
    if of_month[0] in "*?" or of_week[0] in "*?":
        return in_day_of_month(of_month, day) and in_day_of_week(of_week, day)
    return in_day_of_month(of_month, day) or in_day_of_week(of_week, day)


def cron_has(expression: str, label: datetime) -> bool:
    fields = tuple(expression.split())
    return (
        in_field(fields[0], label.minute, 0, 59)
        and in_field(fields[1], label.hour, 0, 23)
        and cron_has_day(fields, label.date())
    )


def cron_is_fixed(expression: str) -> bool:
    return not set("*-/") & set("".join(expression.split()[:2]))


def instants_of(
    has: Callable[[datetime], bool], *, is_fixed: bool, zone: ZoneInfo, start: datetime, until: datetime
) -> Iterator[datetime]:
    """Yields, minute by minute from `start` to `until`, the instants at which the rules of the clock make it fire."""
    instant = start
    before = (instant - MINUTE).astimezone(zone).replace(tzinfo=None)
    while instant <= until:
        shown = instant.astimezone(zone)
        label = shown.replace(tzinfo=None)
        if is_fixed:
            left_out = []
            missing = before + MINUTE
            while missing < label:
                left_out.append(missing)
                missing += MINUTE
            if any(map(has, left_out)) or (has(label) and shown.fold == 0):
                yield instant
        elif has(label):
            yield instant
        before = label
        instant += MINUTE


def times_have(fields: TimetableFields, label: datetime) -> bool:
    times = [time.strip() for time in (fields.run_times or "").split(",")]
    return f"{label:%H:%M}" in times and str(label.isoweekday() % 7) in (fields.days_of_week or "")


def window_has(fields: TimetableFields, label: datetime) -> bool:
    start, end = (_minutes(text or "") for text in (fields.interval_window_start, fields.interval_window_end))
    unit = MINUTE if fields.interval_unit is IntervalUnit.MINUTES else 60 * MINUTE
    for opened in (label.date(), label.date() - DAY):
        opening = datetime.combine(opened, datetime.min.time()) + start * MINUTE
        closing = opening + ((end - start) % 1440) * MINUTE
        on_time = opening <= label <= closing and not (label - opening) % ((fields.interval_value or 0) * unit)
        if on_time and str(opened.isoweekday() % 7) in (fields.days_of_week or ""):
            return True
    return False


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def oracle(fields: TimetableFields, after: datetime, until: datetime) -> list[datetime]:
    """Returns the instants after one and up to another at which a timetable fires."""
    match fields.pattern_type:
        case PatternType.SPECIFIC_TIMES:
            parts = [(partial(times_have, fields), True)]
        case PatternType.INTERVAL:
            parts = [(partial(window_has, fields), False)]
        case PatternType.CUSTOM:
            expressions = [text.strip() for text in (fields.cron_expression or "").split("|")]
            parts = [(partial(cron_has, text), cron_is_fixed(text)) for text in expressions]
    found: set[datetime] = set()
    for has, is_fixed in parts:
        zone = ZoneInfo(fields.time_zone)
        found.update(instants_of(has, is_fixed=is_fixed, zone=zone, start=after + MINUTE, until=until))
    return sorted(found)
