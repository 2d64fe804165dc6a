"""How a schedule is shown: its timetable, its step groups."""

import io
from typing import Any, cast

from rich.console import Console

from cli.client import Schedule
from cli.console import local_time
from cli.schedules import print_steps, timetable_text, trigger_options

STEP: dict[str, Any] = {
    "id": "x",
    "stepIndex": 0,
    "name": None,
    "executionMode": "Sequential",
    "stepType": "Executable",
    "continueOnFailure": False,
    "timeoutSeconds": None,
    "maxAttempts": 1,
    "connectedSystemId": None,
    "runProfileId": None,
    "scriptPath": None,
    "newField": None,
}


def tree(*steps: dict[str, Any]) -> list[str]:
    console = Console(file=io.StringIO(), width=100, record=True, color_system=None)
    print_steps(console, [STEP | step for step in steps], {(1, 2): "HR - Full import"})
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_steps_stand_in_the_groups_in_which_they_run() -> None:
    assert tree(
        {"stepType": "RunProfile", "connectedSystemId": 1, "runProfileId": 2, "timeoutSeconds": 120},
        {"stepType": "RunProfile", "connectedSystemId": 9, "runProfileId": 9, "executionMode": "ParallelWithPrevious"},
        {"stepIndex": 3, "name": "[x]", "newField": "a [b]", "maxAttempts": 3, "continueOnFailure": True},
    ) == [
        "Step groups, one after the other",
        "├── 1  2 steps in parallel",
        "│   ├── RunProfile  HR - Full import  limit 2m 00s",
        "│   └── RunProfile  connected system 9, run profile 9",
        "└── 2  [x] Executable  newField: a [b]  up to 3 attempts  may fail",
    ]


def test_no_steps_are_told() -> None:
    assert tree() == ["No steps"]


def timetable(**fields: Any) -> str:
    plain = {
        "triggerType": "Cron",
        "cronExpression": None,
        "patternType": "SpecificTimes",
        "daysOfWeek": "1,2,3,4,5",
        "runTimes": None,
        "intervalValue": None,
        "intervalUnit": None,
        "intervalWindowStart": None,
        "intervalWindowEnd": None,
        "timeZone": "UTC",
    }
    return timetable_text(cast("Schedule", plain | fields))


def test_a_timetable_is_a_sentence() -> None:
    assert timetable(runTimes="06:00", timeZone="Europe/Berlin") == ("At 06:00, Monday through Friday (Europe/Berlin)")
    assert (
        timetable(
            patternType="Interval",
            intervalValue=15,
            intervalUnit="Minutes",
            intervalWindowStart="08:30",
            intervalWindowEnd="17:45",
        )
        == "Every 15 minutes from 08:30 to 17:45, Monday through Friday"
    )
    assert timetable(patternType="Custom", cronExpression="0 6 * * *").startswith("At 06:00")
    assert timetable(triggerType="Manual") == "On demand only"
    assert timetable(patternType="Custom", cronExpression="0 6 * * *", timeZone="Mars/Olympus") == (
        "0 6 * * * (Mars/Olympus)"
    )


def test_what_is_set_beside_a_timetable_is_shown() -> None:
    plain = {
        "startAt": None,
        "endAt": None,
        "jitterSeconds": 0,
        "overlapPolicy": "Skip",
        "catchUpWindowSeconds": 3600,
    }
    assert trigger_options(cast("Schedule", plain)) == []
    fields = {
        "startAt": "2027-01-01T00:00:00Z",
        "endAt": "2027-06-30T12:00:00Z",
        "jitterSeconds": 90,
        "overlapPolicy": "BufferOne",
        "catchUpWindowSeconds": 7200,
    }
    assert trigger_options(cast("Schedule", fields)) == [
        ("From", local_time("2027-01-01T00:00:00Z")),
        ("Until", local_time("2027-06-30T12:00:00Z")),
        ("Jitter", "up to 1m 30s later"),
        ("Overlap", "BufferOne"),
        ("Catch-up", "within 2h 00m"),
    ]
