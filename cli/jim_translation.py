"""A schedule of JIM in Rota's terms, and what is worth knowing of the difference."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from cli.definitions import Document
from timetable import IntervalUnit, PatternType, Timetable, TimetableError, TimetableFields

_PATTERN_FIELDS: Final = {
    "SpecificTimes": ("daysOfWeek", "runTimes"),
    "Interval": ("daysOfWeek", "intervalValue", "intervalUnit", "intervalWindowStart", "intervalWindowEnd"),
}

_STEP_FIELDS: Final = (
    "stepIndex",
    "name",
    "executionMode",
    "stepType",
    "continueOnFailure",
    "timeoutSeconds",
    "connectedSystemId",
    "runProfileId",
    "scriptPath",
    "executablePath",
    "workingDirectory",
    "arguments",
    "sqlConnectionString",
    "sqlScriptPath",
)
_SKIPPED_BY_JIM: Final = frozenset({"PowerShell", "Executable", "SqlScript"})
_TAKEN_OVER: Final = _SKIPPED_BY_JIM | {"RunProfile"}

# What JIM reads in a field of a cron expression: no L, no ?, no #.
_VALUE: Final = r"(?:\d+|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC|SUN|MON|TUE|WED|THU|FRI|SAT)"
_JIM_FIELD: Final = re.compile(rf"(?:(?:\*|{_VALUE}(?:-{_VALUE})?)(?:/\d+)?(?:,|$))+", re.IGNORECASE)
# Sunday is 0 to it, alone.
_DAY_SEVEN: Final = re.compile(r"(?<![/\d])7(?!\d)")

# More than a week of minutes: patterns repeat every week.
_COMPARED_TIMES: Final = 8 * 24 * 60
_COMPARED_FROM: Final = datetime(2029, 1, 1, tzinfo=UTC)


_LONGEST_DESCRIPTION: Final = 1000


def cut_description(text: str | None) -> tuple[str | None, list[str]]:
    """Returns what Rota can hold of a description, and a note where that is not all of it."""
    if text is None or len(text) <= _LONGEST_DESCRIPTION:
        return text, []
    note = f"description: cut to {_LONGEST_DESCRIPTION:,} of its {len(text):,} characters"
    return text[:_LONGEST_DESCRIPTION], [note]


@dataclass(frozen=True)
class Translation:
    """A schedule of JIM, translated."""

    document: Document | None
    """As `rota schedules apply` takes it, without `isEnabled`; None where nothing of it can come over."""
    notes: Sequence[str] = field(default=())
    """What is otherwise than in JIM, a line each."""


def translate(schedule: Mapping[str, Any]) -> Translation:
    """Returns a schedule of JIM's REST API (the detail, with its steps) in Rota's terms."""
    description, notes = cut_description(schedule["description"])
    steps = list(_steps(schedule["steps"], notes))
    if schedule["steps"] and not steps:
        return Translation(None, [*notes, "left out: no step of it can come over"])
    fields = {
        "name": schedule["name"],
        "description": description,
        "triggerType": schedule["triggerType"],
        **_timetable(schedule, notes),
        "steps": steps,
    }
    return Translation(Document(fields), notes)


def _steps(steps: Sequence[Mapping[str, Any]], notes: list[str]) -> Iterator[Document]:
    """Yields the steps that can come over, grouped as in JIM: there an index is a group, whatever the modes say."""
    begun: set[int] = set()
    limited = 0
    for number, step in enumerate(sorted(steps, key=lambda step: step["stepIndex"]), 1):
        label = f"step {number}{' ' + step['name'] if step['name'] else ''} ({step['stepType']})"
        if step["stepType"] not in _TAKEN_OVER:
            notes.append(f"{label}: left out, Rota has no such step")
            continue
        if step["stepType"] in _SKIPPED_BY_JIM:
            notes.append(f"{label}: JIM skipped it, Rota runs it")
        limited += step["timeoutSeconds"] is not None
        taken = Document({name: step[name] for name in _STEP_FIELDS if step[name] not in (None, "")})
        if step["stepIndex"] not in begun and step["executionMode"] != "Sequential":
            notes.append(f"{label}: made Sequential, as the first of its index; else it would join the group before it")
            taken["executionMode"] = "Sequential"
        begun.add(step["stepIndex"])
        yield taken
    if limited:
        notes.append(f"time limits, which JIM did not enforce and Rota does: on {limited} of its steps")


def _timetable(schedule: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Returns the fields that say when the schedule runs: its pattern where that is complete, else its cron text."""
    text = schedule["cronExpression"]
    if schedule["triggerType"] != "Cron":
        if text:
            notes.append(f"timetable: left out, as the schedule runs on demand only; JIM's text: {text}")
        return {}
    names = _PATTERN_FIELDS.get(schedule["patternType"], ())
    pattern = {name: schedule[name] for name in names}
    if pattern and all(value not in (None, "") for value in pattern.values()):
        try:
            timetable = _read_pattern(schedule["patternType"], pattern)
        except TimetableError as error:
            notes.append(f"timetable: comes over as the cron text, as the pattern cannot be: {error}")
        else:
            if _fires_otherwise(text, timetable):
                notes.append(
                    f"timetable: comes over by its pattern, {timetable.sentence} ({timetable.cron_expression}); "
                    f"JIM's text fires otherwise: {text}"
                )
            return {"patternType": schedule["patternType"], **pattern, "timeZone": "UTC"}
    if text and not _is_read_by_jim(text):
        notes.append(f"timetable: JIM cannot read its text and never ran it: {text}")
    return {"patternType": "Custom", "cronExpression": text, "timeZone": "UTC"}


def _read_pattern(pattern_type: str, pattern: Mapping[str, Any]) -> Timetable:
    unit = pattern.get("intervalUnit")
    return Timetable.parse(
        TimetableFields(
            pattern_type=PatternType(pattern_type),
            days_of_week=pattern["daysOfWeek"],
            run_times=pattern.get("runTimes"),
            interval_value=pattern.get("intervalValue"),
            interval_unit=IntervalUnit(unit) if unit else None,
            interval_window_start=pattern.get("intervalWindowStart"),
            interval_window_end=pattern.get("intervalWindowEnd"),
        ),
    )


def _fires_otherwise(text: str | None, pattern: Timetable) -> bool:
    """Whether JIM's cron text, as JIM reads it, has other times than the pattern."""
    if not text or not _is_read_by_jim(text):
        return True
    try:
        written = Timetable.parse(TimetableFields(pattern_type=PatternType.CUSTOM, cron_expression=text))
    except TimetableError:
        return True
    if written.warnings:
        # Both day fields, or a backward range: JIM reads it in a way that no pattern has.
        return True
    times = [one.next_times(_COMPARED_FROM, _COMPARED_TIMES) for one in (written, pattern)]
    return times[0] != times[1]


def _is_read_by_jim(text: str) -> bool:
    fields = text.split()
    return len(fields) == 5 and all(map(_JIM_FIELD.fullmatch, fields)) and not _DAY_SEVEN.search(fields[4])
