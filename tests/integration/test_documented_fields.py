"""Every documented field of a schedule: its default, its limits, its form on the way out."""

import re
from typing import Any, Final

import pytest

from tests.integration.stack import Rota

# Nothing here differs by database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SCHEDULES: Final = "/api/v1/schedules"
NO_GUID: Final = "00000000-0000-0000-0000-000000000000"
GUID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
OFFSET: Final = re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?[+-]\d\d:?\d\d")

TRUE: Final = {"stepType": "Executable", "executablePath": "/bin/true"}
SQL: Final = {"stepType": "SqlScript", "sqlConnectionString": "sqlite:///x.db", "sqlScriptPath": "x.sql"}
RUN_PROFILE: Final = {"connectedSystemId": 1, "runProfileId": 1}
INTERVAL: Final = {
    "patternType": "Interval",
    "daysOfWeek": "1",
    "intervalValue": 5,
    "intervalUnit": "Minutes",
    "intervalWindowStart": "08:00",
    "intervalWindowEnd": "09:00",
}


async def test_what_is_left_out_has_the_documented_default(api: Rota) -> None:
    schedule = await api.create(RUN_PROFILE, name="n")

    created = {name: schedule.pop(name) for name in ("id", "created", "warnings")}
    [step] = schedule.pop("steps")
    assert GUID.fullmatch(created["id"])
    assert created["created"].endswith("Z")
    assert GUID.fullmatch(step.pop("id"))
    assert schedule == {
        "name": "n",
        "description": None,
        "triggerType": "Manual",
        "cronExpression": None,
        "patternType": "SpecificTimes",
        "daysOfWeek": None,
        "runTimes": None,
        "intervalValue": None,
        "intervalUnit": None,
        "intervalWindowStart": None,
        "intervalWindowEnd": None,
        "timeZone": "UTC",
        "startAt": None,
        "endAt": None,
        "overlapPolicy": "Skip",
        "catchUpWindowSeconds": 3600,
        "jitterSeconds": 0,
        "isEnabled": False,
        "lastRunTime": None,
        "nextRunTime": None,
        "stepCount": 1,
        "lastUpdated": None,
        "lastExecutionId": None,
        "lastExecutionStatus": None,
        "lastExecutionCurrentStepIndex": None,
        "lastExecutionTotalSteps": None,
        "lastExecutionCompletedAt": None,
        "lastExecutionErrorMessage": None,
        "lastSkippedTime": None,
        "skippedCount": 0,
    }
    assert step == dict.fromkeys(step) | RUN_PROFILE | {
        "stepIndex": 0,
        "stepType": "RunProfile",
        "executionMode": "Sequential",
        "continueOnFailure": False,
        "maxAttempts": 1,
    }


def schedule_cases() -> list[tuple[str, Any, Any]]:
    """Returns field, the last value that is taken, the first that is not."""
    return [
        ("name", "x" * 200, "x" * 201),
        ("name", "x", ""),
        ("name", "x", " \t"),
        ("name", "x", None),
        ("description", "x" * 1000, "x" * 1001),
        ("changeReason", "x" * 2000, "x" * 2001),
        ("triggerType", " cron ", "Crone"),
        ("triggerType", "MANUAL", None),
        ("patternType", "interval", 1),
        ("patternType", "Custom", None),
        ("isEnabled", True, "true"),
        ("isEnabled", False, None),
        ("daysOfWeek", "0,1,2,3,4,5,6", "7"),
        ("daysOfWeek", ",".join("6" * 25), ",".join("6" * 26)),
        ("runTimes", "00:00, 23:59", "24:00"),
        ("runTimes", ",".join(["06:00"] * 33), ",".join(["06:00"] * 34)),
        ("intervalValue", 1, 0),
        ("intervalValue", "59", "60"),
        ("intervalValue", 59, 59.0),
        ("intervalUnit", "hours", "Days"),
        ("intervalWindowStart", "8:05", "8"),
        ("intervalWindowEnd", "23:59", "23:60"),
        ("steps", [], None),
        ("steps", [], {}),
    ]


def step_cases() -> list[tuple[str, Any, Any]]:
    return [
        ("stepIndex", 0, -1),
        ("stepIndex", "1000", "1001"),
        ("stepIndex", 5, None),
        ("id", NO_GUID, "1"),
        ("id", None, "b2c3d4e5f6a78901bcdef12345678901"),
        ("name", "x" * 200, "x" * 201),
        ("name", None, 5),
        ("executionMode", "parallelwithprevious", "Parallel"),
        ("executionMode", "Sequential", None),
        ("stepType", " executable ", "Exe"),
        ("stepType", "Executable", None),
        ("continueOnFailure", True, 1),
        ("continueOnFailure", False, None),
        ("timeoutSeconds", 1, 0),
        ("timeoutSeconds", 86400, 86401),
        ("executablePath", "x" * 500, "x" * 501),
        ("workingDirectory", "x" * 500, "x" * 501),
        ("arguments", "x" * 2000, "x" * 2001),
        # Fields of other types are checked before they are dropped.
        ("scriptPath", "x" * 500, "x" * 501),
        ("sqlScriptPath", "x" * 500, 5),
        ("sqlConnectionString", "x" * 500, "x" * 501),
        ("connectedSystemId", 2**31 - 1, 2**31),
        ("connectedSystemId", 0, -1),
        ("runProfileId", "7", 7.5),
        ("runProfileId", 0, 0.0),
    ]


async def test_the_limits_of_a_schedule_are_the_documented_ones(api: Rota) -> None:
    for number, (field, last, first_beyond) in enumerate(schedule_cases()):
        body = {"name": f"n{number}", **INTERVAL, "cronExpression": None}
        taken = await api.http.post(SCHEDULES, json=body | {field: last})
        refused = await api.http.post(SCHEDULES, json=body | {"name": f"m{number}"} | {field: first_beyond})

        assert taken.status_code == 201, f"{field}: {taken.text}"
        assert refused.status_code == 400, field
        assert set(refused.json()["validationErrors"]) == {field}
        assert refused.json()["message"] == refused.json()["validationErrors"][field][0]
        await api.http.delete(taken.headers["location"])


async def test_names_of_ours_are_no_names_of_fields(api: Rota) -> None:
    """Whatever the code calls a field: a client that sends it sends something unknown."""
    others = {"trigger_type": "Cron", "cron_expression": "nonsense", "is_enabled": True, "change_reason": 5}
    step = TRUE | {"timeout_seconds": 5, "executable_path": 7}

    schedule = await api.create(step, **others)

    assert (schedule["triggerType"], schedule["cronExpression"], schedule["isEnabled"]) == ("Manual", None, False)
    assert (schedule["steps"][0]["timeoutSeconds"], schedule["steps"][0]["executablePath"]) == (None, "/bin/true")
    missing = await api.http.post(
        "/api/v1/synchronisation/connected-systems", json={"name": "n", "connector_name": "Jim"}
    )
    assert set(missing.json()["validationErrors"]) == {"connectorName"}


async def test_the_limits_of_a_step_are_the_documented_ones(api: Rota) -> None:
    for field, last, first_beyond in step_cases():
        taken = await api.http.post(SCHEDULES, json={"name": "n", "steps": [TRUE | {field: last}]})
        refused = await api.http.post(SCHEDULES, json={"name": "m", "steps": [TRUE, TRUE | {field: first_beyond}]})

        assert taken.status_code == 201, f"{field}: {taken.text}"
        assert refused.status_code == 400, field
        assert set(refused.json()["validationErrors"]) == {f"steps[1].{field}"}
        if field in {"scriptPath", "sqlScriptPath", "sqlConnectionString", "connectedSystemId", "runProfileId"}:
            assert taken.json()["steps"][0][field] is None
        if field == "id":
            assert taken.json()["steps"][0]["id"] != NO_GUID
        await api.http.delete(taken.headers["location"])


async def test_a_custom_cron_text_may_have_2000_characters(api: Rota) -> None:
    long = " | ".join(["0 6 * * 1"] * 200)[:2000].rpartition(" |")[0]
    padded = long + " " * (2000 - len(long))

    taken = await api.http.post(SCHEDULES, json={"name": "n", "triggerType": "Cron", "cronExpression": padded})
    refused = await api.http.post(SCHEDULES, json={"name": "m", "triggerType": "Cron", "cronExpression": padded + " "})

    assert (taken.status_code, taken.json()["cronExpression"]) == (201, padded)
    assert set(refused.json()["validationErrors"]) == {"cronExpression"}


async def test_the_messages_are_those_of_jim(api: Rota) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"triggerType": "Cron", "steps": [{}]}, "Cron expression is required for scheduled triggers"),
        ({"steps": [{}]}, "Connected System ID is required for RunProfile steps"),
        ({"steps": [{"connectedSystemId": 1}]}, "Run Profile ID is required for RunProfile steps"),
        ({"steps": [{"stepType": "PowerShell"}]}, "Script path is required for PowerShell steps"),
        ({"steps": [{"stepType": "Executable"}]}, "Executable path is required for Executable steps"),
        ({"steps": [{"stepType": "SqlScript"}]}, "Connection string is required for SqlScript steps"),
        ({"steps": [SQL | {"sqlScriptPath": " "}]}, "SQL script path is required for SqlScript steps"),
        # To JIM 0 is none.
        ({"steps": [RUN_PROFILE | {"connectedSystemId": 0}]}, "Connected System ID is required for RunProfile steps"),
        ({"steps": [RUN_PROFILE | {"runProfileId": "0"}]}, "Run Profile ID is required for RunProfile steps"),
    ]
    for body, message in cases:
        answer = await api.http.post(SCHEDULES, json={"name": "n"} | body)

        assert (answer.status_code, answer.json()["message"]) == (400, message)


async def test_times_are_utc_and_end_in_z(api: Rota) -> None:
    whole = {"startAt": "2027-03-28T01:00:00.25+05:30", "endAt": "2099-01-01T00:00:00Z"}
    schedule = await api.create(TRUE, triggerType="Cron", isEnabled=True, **INTERVAL, **whole)
    await api.http.put(f"{SCHEDULES}/{schedule['id']}", json={"description": "d"})
    execution_id = await api.run(schedule)

    for path in (
        SCHEDULES,
        f"{SCHEDULES}/{schedule['id']}",
        "/api/v1/schedule-executions",
        f"/api/v1/schedule-executions/{execution_id}",
        "/api/v1/health",
        "/nowhere",
    ):
        answer = await api.http.get(path)
        assert not OFFSET.search(answer.text)
    shown = (await api.http.get(f"{SCHEDULES}/{schedule['id']}")).json()
    assert shown["startAt"] == "2027-03-27T19:30:00.250000Z"
    for name in ("created", "lastUpdated", "lastRunTime", "nextRunTime"):
        assert shown[name].endswith("Z")
