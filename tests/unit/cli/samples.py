"""Executions as the API shows them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from cli.client import ExecutionDetail, ExecutionStep

NOW = datetime(2026, 8, 3, 6, 0, 30, tzinfo=UTC)
EXECUTION_ID = "3f2a1c00-0000-4000-8000-000000000001"


def at(seconds: float | None) -> str | None:
    """A time of the API's JSON, so many seconds from NOW."""
    return None if seconds is None else (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def step(
    name: str,
    status: str = "Waiting",
    start: float | None = None,
    end: float | None = None,
    **fields: Any,
) -> ExecutionStep:
    """A step; `start` and `end` are seconds from NOW."""
    plain: dict[str, Any] = {
        "id": f"id of {name}",
        "name": name,
        "stepType": "Executable",
        "status": status,
        "startedAt": at(start),
        "completedAt": at(end),
        "errorMessage": None,
        "outputTail": None,
        "exitCode": None,
        "attempts": 1,
        "attemptHistory": [],
        "host": None,
        "processesEnded": 0,
        "progress": None,
    }
    return cast("ExecutionStep", plain | fields)


def execution(status: str, groups: Sequence[Sequence[ExecutionStep]], **fields: Any) -> ExecutionDetail:
    """An execution that started 20 s before NOW."""
    plain: dict[str, Any] = {
        "id": EXECUTION_ID,
        "scheduleId": "d88be36a-f547-4346-820a-1893bcaa332c",
        "scheduleName": "Identity sync",
        "status": status,
        "currentStepIndex": 0,
        "totalSteps": len(groups),
        "queuedAt": at(-21),
        "startedAt": at(-20),
        "completedAt": None,
        "initiatedByType": "ApiKey",
        "initiatedByName": "operations",
        "errorMessage": None,
        "steps": [member for group in groups for member in group],
        "progress": {
            "totalSteps": len(groups),
            "steps": [
                {
                    "stepIndex": ordinal,
                    "name": f"group {ordinal}",
                    "status": group[0]["status"],
                    "taskStatuses": [member["status"].replace(" with ", "With") for member in group],
                }
                for ordinal, group in enumerate(groups)
            ],
        },
    }
    return cast("ExecutionDetail", plain | fields)
