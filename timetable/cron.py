"""Standard cron, read from the text of a `Custom` schedule.

Five fields: minute, hour, day of month, month, day of week. Lists, ranges (backwards too: on past the end), steps, month and
day names, `?` for `*` in a day field, `L` (last day of the month), `FRI#2` (second Friday), `5L` or `L5` (last Friday),
`@daily` and its kin. The rules are those of crontab(5) as cronie has them; `L`, `#` and `?` are Quartz's.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from timetable.rule import DaySet, Rule, month_lengths
from timetable.text import numbers_text

SEPARATOR: Final = " | "

# crontab(5), "Extensions".
_NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_ITEM: Final = re.compile(r"(?P<first>\*|[0-9]+|[A-Z]+)(?:-(?P<last>[0-9]+|[A-Z]+))?(?:/(?P<step>[0-9]+))?")
_NTH_WEEKDAY: Final = re.compile(r"(?P<day>[0-9]|[A-Z]{3})#(?P<nth>[1-5])")
_LAST_WEEKDAY: Final = re.compile(r"(?P<day>[0-9]|[A-Z]{3})L|L(?P<other_day>[0-9]|[A-Z]{3})")

# What can be described as it stands: a range, or a step through the whole field.
_USUAL: Final = re.compile(r"\*/(?P<step>[0-9]+)|[0-9]+-[0-9]+")


@dataclass(frozen=True)
class _FieldKind:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_MINUTE: Final = _FieldKind("minute", 0, 59)
_HOUR: Final = _FieldKind("hour", 0, 23)
_DAY: Final = _FieldKind("day of month", 1, 31)
_MONTH: Final = _FieldKind(
    "month", 1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
)
_WEEKDAY: Final = _FieldKind("day of week", 0, 6, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))
_KINDS: Final = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)


@dataclass
class _Field:
    """One field of an expression, read."""

    text: str
    values: set[int] = field(default_factory=set)
    has_last_day: bool = False
    nth_weekdays: list[tuple[int, int]] = field(default_factory=list)
    last_weekdays: list[int] = field(default_factory=list)
    is_plain: bool = True
    """Whether it holds numbers only: no wildcard, range or step."""
    warnings: list[str] = field(default_factory=list)

    @property
    def is_starred(self) -> bool:
        """Whether the day rule of cron takes it as not restricted.

        That is a field that begins with `*`, `*/2` included: cronie's load_entry() sets DOM_STAR and DOW_STAR by the
        first character, and crontab(5) says "restricted (i.e., do not contain the "*" character)".
        """
        return self.text.startswith(("*", "?"))


@dataclass(frozen=True)
class Expression:
    """One cron expression."""

    rule: Rule
    fields: tuple[str, ...]
    """Its five fields in numbers: what is usual as it was, the rest as lists of values; `*` where all match."""
    is_either_day: bool
    """Whether both day fields are restricted, so that it fires where either matches."""
    warnings: tuple[str, ...]
    """What its writer may not expect."""


def read_cron(text: str, errors: list[str]) -> list[Expression]:
    """Reads one cron expression, or several joined by ` | `.

    Args:
        text: As the client wrote it.
        errors: Takes a message for everything that is wrong.

    Returns:
        The expressions that are right.
    """
    parts = [part.strip() for part in text.split(SEPARATOR.strip())]
    if not all(parts):
        errors.append(f'An expression is empty: write a cron expression on each side of "{SEPARATOR}"')
    return [expression for part in parts if part for expression in _read_expression(part, errors)]


def _read_expression(text: str, errors: list[str]) -> Iterator[Expression]:
    """Yields the expression of a text, or nothing if it has errors."""
    text = " ".join(text.split())
    texts = _NICKNAMES.get(text.lower(), text).upper().split()
    if problem := _problem(text, texts):
        errors.append(f"{text!r}: {problem}")
        return
    found: list[str] = []
    fields = [_read_field(kind, field_text, found) for kind, field_text in zip(_KINDS, texts, strict=True)]
    if not found:
        rule, is_either_day = _rule(fields, text)
        if not any(
            dates.days(length) for month in rule.months for length in month_lengths(month) for dates in rule.day_sets
        ):
            found.append("none of its dates exists (as 30 February does not): correct the day or the month")
    if found:
        errors.extend(f"{text!r}: {message}" for message in found)
        return
    warnings = [f"{text!r}: {warning}" for one in fields for warning in one.warnings]
    if is_either_day:
        warnings.append(
            f"{text!r}: day of month and day of week are both given: it fires when either matches, as in cron; "
            "JIM fires only when both match",
        )
    shown = tuple(_shown(kind, one) for kind, one in zip(_KINDS, fields, strict=True))
    yield Expression(rule, shown, is_either_day, tuple(warnings))


def _problem(text: str, texts: list[str]) -> str | None:
    """Returns what is wrong with an expression as a whole, given as it was written and as its fields in capitals."""
    # Some letters of other scripts have one of cron's as their capital: the long s, the dotless i.
    if not text.isascii():
        return "holds letters that cron does not know: use plain digits, letters and * , - / # ?"
    if texts[0].startswith("@"):
        return f"not a known nickname: use one of {', '.join(_NICKNAMES)}, or five fields"
    if texts[0].startswith(("TZ=", "CRON_TZ=")):
        return "a zone does not belong here: give it as timeZone"
    if len(texts) != len(_KINDS):
        excess = "; leave out seconds and year" if len(texts) > len(_KINDS) else ""
        return f"has {len(texts)} fields, cron has five: minute, hour, day of month, month, day of week{excess}"
    return None


def _read_field(kind: _FieldKind, text: str, errors: list[str]) -> _Field:
    read = _Field(text)
    for item in ["*"] if text == "?" and kind in {_DAY, _WEEKDAY} else text.split(","):
        try:
            _read_item(kind, item, read)
        except ValueError as wrong:
            errors.append(str(wrong))
    return read


def _read_item(kind: _FieldKind, item: str, read: _Field) -> None:
    if kind is _DAY and item == "L":
        read.has_last_day = True
    elif kind is _WEEKDAY and (match := _NTH_WEEKDAY.fullmatch(item)):
        read.nth_weekdays.append((_number(kind, match["day"], item) % 7, int(match["nth"])))
    elif kind is _WEEKDAY and (match := _LAST_WEEKDAY.fullmatch(item)):
        read.last_weekdays.append(_number(kind, match["day"] or match["other_day"], item) % 7)
    elif match := _ITEM.fullmatch(item):
        _read_range(kind, match, read)
    else:
        raise ValueError(_misread(kind, item))


def _read_range(kind: _FieldKind, match: re.Match[str], read: _Field) -> None:
    item, step = match[0], int(match["step"] or 1)
    size = kind.high - kind.low + 1
    if match["first"] == "*":
        if match["last"]:
            raise ValueError(_misread(kind, item))
        first, last = kind.low, kind.high
    else:
        first = _number(kind, match["first"], item)
        last = _number(kind, match["last"], item) if match["last"] else kind.high if match["step"] else first
        if kind is _WEEKDAY and first == 7:
            first, last = 0, last % 7
    if step == 0:
        raise ValueError(f"the step of {item!r} is 0: give 1 or more")
    if last < first:
        read.warnings.append(f"{item} in the {kind.name} runs on past the end; JIM swaps its ends")
        last += size
    # cronie's get_range() warns of the same.
    if step > max(last - first, 1):
        read.warnings.append(
            f"the step of {item} in the {kind.name} is larger than its range: only the first value is left"
        )
    read.values.update((value - kind.low) % size + kind.low for value in range(first, last + 1, step))
    read.is_plain = read.is_plain and item == match["first"] and item != "*"


def _number(kind: _FieldKind, text: str, item: str) -> int:
    """Returns the value of a number or a name in an item; for a day of the week 7 stays 7."""
    if text in kind.names:
        return kind.names.index(text) + kind.low
    high = 7 if kind is _WEEKDAY else kind.high
    if not text.isdecimal() or not kind.low <= int(text) <= high:
        raise ValueError(_misread(kind, item))
    return int(text)


def _misread(kind: _FieldKind, item: str) -> str:
    names = f" or {kind.names[0]} to {kind.names[-1]}" if kind.names else ""
    special = {_DAY: ", L (the last day)", _WEEKDAY: ", MON#1 (the first Monday), 5L (the last Friday)"}.get(kind, "")
    return (
        f"{item!r} is not known in the {kind.name}: give {kind.low} to {kind.high}{names}, "
        f"lists (1,3), ranges (1-3), steps (*/2){special} or *"
    )


def _rule(fields: list[_Field], text: str) -> tuple[Rule, bool]:
    """Returns the rule of an expression, and whether both its day fields are restricted."""
    minute, hour, day, month, weekday = fields
    dates = DaySet.of(day.values, last=1 if day.has_last_day else 0)
    weekdays = [
        *([DaySet.of(weekdays=frozenset(weekday.values))] if weekday.values else []),
        *(
            DaySet.of(range(7 * nth - 6, 7 * nth + 1), weekdays=frozenset({which}))
            for which, nth in weekday.nth_weekdays
        ),
        *(DaySet.of((), last=7, weekdays=frozenset({which})) for which in weekday.last_weekdays),
    ]
    is_either_day = not day.is_starred and not weekday.is_starred
    rule = Rule(
        minutes=frozenset(minute.values),
        hours=frozenset(hour.values),
        months=frozenset(month.values),
        day_sets=(dates, *weekdays) if is_either_day else tuple(dates.within(one) for one in weekdays),
        is_fixed=minute.is_plain and hour.is_plain,
        text=text,
    )
    return rule, is_either_day


def _shown(kind: _FieldKind, read: _Field) -> str:
    """Returns a field in the words of `Expression.fields`."""
    specials = [f"{which}#{nth}" for which, nth in read.nth_weekdays] + [f"{which}L" for which in read.last_weekdays]
    if read.has_last_day:
        specials.append("L")
    if len(read.values) == kind.high - kind.low + 1:
        return "*"
    if kind in {_MINUTE, _HOUR} and (usual := _USUAL.fullmatch(read.text)):
        step = int(usual["step"] or 1)
        if (kind.high + 1) % step == 0:
            return read.text
    values = numbers_text(read.values, shortest_range=32 if read.is_plain else 3)
    return ",".join([*([values] if values else []), *specials])
