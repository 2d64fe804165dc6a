"""Schedules of JIM in Rota's terms: what comes over, and what is told of the difference."""

from typing import Any
from uuid import UUID

import pytest

from catalogue.plan import step_groups
from catalogue.schedules import ScheduleStep
from cli.jim_translation import Translation, translate
from tests.jim.state import State

WORKDAYS = "1,2,3,4,5"
TIMES = {"triggerType": "Cron", "patternType": "SpecificTimes", "daysOfWeek": WORKDAYS}
HOURS = {
    "triggerType": "Cron",
    "patternType": "Interval",
    "daysOfWeek": WORKDAYS,
    "intervalValue": 2,
    "intervalUnit": "Hours",
    "intervalWindowStart": "08:30",
    "intervalWindowEnd": "17:45",
}
MINUTES = HOURS | {"intervalValue": 15, "intervalUnit": "Minutes"}
RUN = {"connectedSystemId": 1, "runProfileId": 2}


def translated(*steps: dict[str, Any], **fields: Any) -> Translation:
    return translate(State().add_schedule("S", steps, **fields))


def timetable(**fields: Any) -> tuple[dict[str, Any], list[str]]:
    translation = translated(**fields)
    assert translation.document is not None
    shown = {name: translation.document[name] for name in translation.document if name not in {"name", "description"}}
    assert shown.pop("triggerType") == fields["triggerType"]
    assert shown.pop("steps") == []
    return shown, list(translation.notes)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (TIMES | {"runTimes": "06:00"}, "0 6 * * 1,2,3,4,5"),
        (TIMES | {"runTimes": "09:15,12:15", "daysOfWeek": "0,1,2,3,4,5,6"}, "15 9,12 * * *"),
        (HOURS | {"intervalWindowStart": "08:00", "intervalWindowEnd": "17:00"}, "0 8,10,12,14,16 * * 1,2,3,4,5"),
        (MINUTES | {"intervalWindowStart": "00:00", "intervalWindowEnd": "23:59"}, "*/15 * * * 1,2,3,4,5"),
    ],
)
def test_a_complete_pattern_comes_over_and_the_text_that_jim_made_of_it_says_the_same(
    pattern: dict[str, Any], text: str
) -> None:
    fields, notes = timetable(**pattern, cronExpression=text)
    assert fields == {name: value for name, value in pattern.items() if name != "triggerType"} | {"timeZone": "UTC"}
    assert notes == []


@pytest.mark.parametrize(
    ("pattern", "text", "cron"),
    [
        # As the portal makes them: minutes of the earliest time, of no window, window ignored, a window past midnight.
        (TIMES | {"runTimes": "09:15,12:45"}, "15 9,12 * * 1,2,3,4,5", "15 9 * * 1-5 | 45 12 * * 1-5"),
        (HOURS, "0 8,10,12,14,16 * * 1,2,3,4,5", "30 8,10,12,14,16 * * 1-5"),
        (MINUTES, "*/15 * * * 1,2,3,4,5", None),
        (HOURS | {"intervalWindowStart": "22:00", "intervalWindowEnd": "02:00"}, "0  * * 1,2,3,4,5", None),
        # As a client may have written over them.
        (TIMES | {"runTimes": "06:00"}, "0 6 1-7 * 1", None),
        (TIMES | {"runTimes": "06:00"}, "0 6 * * 5-1", None),
        (TIMES | {"runTimes": "06:00", "daysOfWeek": "0"}, "0 6 * * 7", None),
        (TIMES | {"runTimes": "06:00"}, "nonsense", None),
    ],
)
def test_a_pattern_whose_text_fires_otherwise_is_told(pattern: dict[str, Any], text: str, cron: str | None) -> None:
    fields, [note] = timetable(**pattern, cronExpression=text)
    assert fields["patternType"] == pattern["patternType"]
    assert "cronExpression" not in fields
    assert note.startswith("timetable: comes over by its pattern, ")
    assert note.endswith(f"; JIM's text fires otherwise: {text}")
    assert cron is None or f"({cron})" in note


@pytest.mark.parametrize(
    "pattern",
    [
        {},
        {"daysOfWeek": WORKDAYS},
        {"patternType": "Interval", "daysOfWeek": WORKDAYS, "intervalValue": 2, "intervalUnit": "Hours"},
        {"patternType": "Custom", "daysOfWeek": WORKDAYS, "runTimes": "06:00"},
    ],
)
def test_without_a_complete_pattern_the_text_comes_over_alone(pattern: dict[str, Any]) -> None:
    fields, notes = timetable(triggerType="Cron", cronExpression="0 0 1-7 * MON", **pattern)
    assert fields == {"patternType": "Custom", "cronExpression": "0 0 1-7 * MON", "timeZone": "UTC"}
    assert notes == []  # what of it JIM reads otherwise, the API warns of


@pytest.mark.parametrize("text", ["0 6 * * 7", "0 6 L * *", "0 6 ? * *", "0 6 * * MON#1", "@daily", "0 0 6 * * *"])
def test_a_text_that_jim_cannot_read_is_told(text: str) -> None:
    assert timetable(triggerType="Cron", cronExpression=text)[1] == [
        f"timetable: JIM cannot read its text and never ran it: {text}"
    ]


@pytest.mark.parametrize("text", ["5/15 6-22/2 * JAN-MAR SUN", "*/7 0 1,15 * */7", "0 22-6 * * 1"])
def test_a_text_that_jim_reads_is_not_told(text: str) -> None:
    assert timetable(triggerType="Cron", cronExpression=text)[1] == []


def test_a_schedule_on_demand_has_no_timetable() -> None:
    assert timetable(triggerType="Manual") == ({}, [])
    assert timetable(triggerType="Manual", cronExpression="0 6 * * *") == (
        {},
        ["timetable: left out, as the schedule runs on demand only; JIM's text: 0 6 * * *"],
    )


def groups(translation: Translation) -> list[list[int]]:
    assert translation.document is not None
    rows = [
        ScheduleStep(
            schedule_id=UUID(int=0),
            position=place,
            step_index=step["stepIndex"],
            execution_mode=step["executionMode"],
            step_type=step["stepType"],
        )
        for place, step in enumerate(translation.document["steps"])
    ]
    return [[row.position for row in group] for group in step_groups(rows)]


def test_steps_group_by_their_index_alone_as_in_jim() -> None:
    parallel = {"executionMode": "ParallelWithPrevious", **RUN}
    translation = translated(
        RUN | {"stepIndex": 2},
        parallel | {"stepIndex": 0, "name": "a"},
        parallel | {"stepIndex": 1, "name": "b"},
        parallel | {"stepIndex": 1},
        RUN | {"stepIndex": 2},
        parallel | {"stepIndex": 7},
    )
    assert groups(translation) == [[0], [1, 2], [3, 4], [5]]
    why = "made Sequential, as the first of its index; else it would join the group before it"
    assert translation.notes == [
        f"step 1 a (RunProfile): {why}",
        f"step 2 b (RunProfile): {why}",
        f"step 6 (RunProfile): {why}",
    ]


def test_what_jim_skipped_and_what_cannot_come_over_is_told() -> None:
    translation = translated(
        RUN | {"timeoutSeconds": 60},
        {"stepIndex": 1, "stepType": "TemporalScopeReconciliation", "name": "Reconcile"},
        {"stepIndex": 2, "stepType": "PowerShell", "name": "Notify", "scriptPath": "x.ps1", "timeoutSeconds": 5},
        {"stepIndex": 3, "stepType": "Executable", "executablePath": "x", "arguments": ""},
        {"stepIndex": 4, "stepType": "SqlScript", "sqlConnectionString": "Host=x;Password=y", "sqlScriptPath": "x.sql"},
    )
    assert translation.notes == [
        "step 2 Reconcile (TemporalScopeReconciliation): left out, Rota has no such step",
        "step 3 Notify (PowerShell): JIM skipped it, Rota runs it",
        "step 4 (Executable): JIM skipped it, Rota runs it",
        "step 5 (SqlScript): JIM skipped it, Rota runs it",
        "time limits, which JIM did not enforce and Rota does: on 2 of its steps",
    ]
    assert translation.document is not None
    assert translation.document["steps"] == [
        RUN
        | {"stepIndex": 0, "executionMode": "Sequential", "stepType": "RunProfile", "continueOnFailure": False}
        | {"timeoutSeconds": 60},
        {"stepIndex": 2, "name": "Notify", "executionMode": "Sequential", "stepType": "PowerShell"}
        | {"continueOnFailure": False, "timeoutSeconds": 5, "scriptPath": "x.ps1"},
        {"stepIndex": 3, "executionMode": "Sequential", "stepType": "Executable", "continueOnFailure": False}
        | {"executablePath": "x"},
        {"stepIndex": 4, "executionMode": "Sequential", "stepType": "SqlScript", "continueOnFailure": False}
        | {"sqlConnectionString": "Host=x;Password=y", "sqlScriptPath": "x.sql"},
    ]


def test_a_schedule_of_which_nothing_can_come_over_is_left_out() -> None:
    translation = translated({"stepType": "TemporalScopeReconciliation"})
    assert translation.document is None
    assert translation.notes[-1] == "left out: no step of it can come over"


def test_a_description_that_is_too_long_is_cut_and_told() -> None:
    translation = translated(RUN | {"stepType": "RunProfile"}, description="é" * 1234)
    assert translation.document is not None
    assert translation.document["description"] == "é" * 1000
    assert translation.notes == ["description: cut to 1,000 of its 1,234 characters"]
