"""JIM's PowerShell module against Rota: what it sent to JIM, in order, gets the answers that it reads.

`tests/data/jim-client-traffic.json` has one object a request: `n` its number, `cmdlet` what caused it, `status` what it
was answered. `answerId` is the id that the answer had, `stepIds` those of the steps in it.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.integration.stack import Rota

TRAFFIC: Final = json.loads((Path(__file__).parents[1] / "data" / "jim-client-traffic.json").read_text())

# The transport of the module: a JSON content type and a length on every request, bodiless ones included.
HEADERS: Final = {"Accept": "application/json", "Content-Type": "application/json"}

NEEDS_DAYS: Final = "SpecificTimes needs daysOfWeek and runTimes; JIM drops both and stores a trigger that never fires"
NEEDS_WINDOW: Final = "Interval needs days, value, unit and window; JIM drops them all"

# Answers that the design decides otherwise: number of the request, status, reason.
OTHERWISE: Final = {
    10: (400, NEEDS_DAYS),
    11: (400, NEEDS_DAYS),
    12: (400, NEEDS_DAYS),
    14: (400, NEEDS_WINDOW),
    15: (400, NEEDS_WINDOW),
    17: (400, "'nonsense' is no cron expression; JIM stores it and never computes a next run"),
    21: (400, "a name may have 200 characters, as documented; the recorded server took 305"),
}

# The last poll of a `-Wait`: by then its steps had ended with an exit code, and the execution as this.
ENDED: Final = {101: ("0", "Complete"), 131: ("1", "Failed")}

LAST_EXECUTION: Final = {
    "lastExecutionId",
    "lastExecutionStatus",
    "lastExecutionCurrentStepIndex",
    "lastExecutionTotalSteps",
    "lastExecutionCompletedAt",
    "lastExecutionErrorMessage",
}
LAST_OF_ALL: Final = {
    "name": "psm-run-fail",
    "lastExecutionStatus": "Failed",
    "lastExecutionCurrentStepIndex": 0,
    "lastExecutionTotalSteps": 2,
}
SCHEDULE: Final = {
    *("id", "name", "description", "triggerType", "cronExpression", "patternType", "daysOfWeek", "runTimes"),
    *("intervalValue", "intervalUnit", "intervalWindowStart", "intervalWindowEnd", "isEnabled"),
    *("lastRunTime", "nextRunTime", "stepCount", "created", "lastUpdated"),
} | LAST_EXECUTION
STEP: Final = {
    *("id", "stepIndex", "name", "executionMode", "stepType", "continueOnFailure", "timeoutSeconds"),
    *("connectedSystemId", "runProfileId", "scriptPath", "executablePath", "workingDirectory", "arguments"),
    *("sqlConnectionString", "sqlScriptPath"),
}
EXECUTION: Final = {
    *("id", "scheduleId", "scheduleName", "status", "currentStepIndex", "totalSteps", "queuedAt", "startedAt"),
    *("completedAt", "initiatedByType", "initiatedById", "initiatedByName", "errorMessage"),
}


def check_schedule(answer: Any) -> None:
    assert answer.keys() >= SCHEDULE
    assert not any("unknown field" in warning for warning in answer["warnings"])
    for step in answer.get("steps", []):
        assert step.keys() >= STEP


def check_schedules(answer: Any) -> None:
    for item in answer["items"]:
        assert item.keys() >= SCHEDULE


def check_execution(answer: Any) -> None:
    assert answer.keys() >= EXECUTION
    progress = answer["progress"]
    assert progress.keys() >= {"currentStepNumber", "totalSteps"}
    # What the module shows as the step: the one whose index is the current number less one.
    assert progress["currentStepNumber"] - 1 in {group["stepIndex"] for group in progress["steps"]}
    assert all(group["name"] for group in progress["steps"])


def check_executions(answer: Any) -> None:
    for item in answer if isinstance(answer, list) else answer["items"]:
        assert item.keys() >= EXECUTION


def check_active(answer: Any) -> None:
    assert isinstance(answer, list)
    assert answer
    check_executions(answer)


def check_systems(answer: Any) -> None:
    assert answer["totalCount"] == len(answer["items"])
    assert {(item["id"], item["name"]) for item in answer["items"]} == {(1, "HR"), (2, "AD")}


def check_profiles(answer: Any) -> None:
    assert isinstance(answer, list)
    assert all(profile["name"] and profile["id"] for profile in answer)


GUID: Final = "[0-9a-f-]{36}"

# What the cmdlets read of an answer, by method and path.
READ: Final[dict[str, Callable[[Any], None]]] = {
    r"GET /api/v1/health": lambda answer: check_value(answer, "status"),
    r"GET /api/v1/health/version": lambda answer: check_value(answer, "version"),
    r"GET /api/v1/schedules": check_schedules,
    rf"(GET|PUT) /api/v1/schedules/{GUID}": check_schedule,
    r"POST /api/v1/schedules": check_schedule,
    rf"POST /api/v1/schedules/{GUID}/(enable|disable)": check_schedule,
    rf"POST /api/v1/schedules/{GUID}/run": lambda answer: check_value(answer, "executionId"),
    r"GET /api/v1/schedule-executions": check_executions,
    r"GET /api/v1/schedule-executions/active": check_active,
    rf"GET /api/v1/schedule-executions/{GUID}": check_execution,
    rf"POST /api/v1/schedule-executions/{GUID}/cancel": lambda answer: check_value(answer, "status"),
    r"GET /api/v1/synchronisation/connected-systems": check_systems,
    r"GET /api/v1/synchronisation/connected-systems/\d+/run-profiles": check_profiles,
}


def check_value(answer: Any, name: str) -> None:
    assert answer[name]


def check_what_is_read(request: dict[str, Any], answer: httpx.Response) -> None:
    if answer.status_code == 204:
        assert not answer.content
        return
    body = answer.json()
    if answer.is_error:
        assert body["message"]
        assert "validationErrors" in body
        return
    target = f"{request['method']} {request['path'].partition('?')[0]}"
    [check] = [check for pattern, check in READ.items() if re.fullmatch(pattern, target)]
    check(body)


class Ids:
    """The ids of the recording, and those that Rota gave to the same things."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def learn(self, request: dict[str, Any], answer: dict[str, Any]) -> None:
        if "stepIds" in request:
            for old, step in zip(request["stepIds"], answer["steps"], strict=True):
                self._same(old, step["id"])
        if "answerId" in request:
            self._same(request["answerId"], answer.get("executionId") or answer["id"])

    def _same(self, recorded: str, given: str) -> None:
        # What has kept its id there keeps it here.
        assert self._ids.setdefault(recorded, given) == given

    def translated(self, text: str) -> str:
        for old, new in self._ids.items():
            text = text.replace(old, new)
        return text


def requests_of(refused: set[str]) -> Iterator[dict[str, Any]]:
    """Yields the requests that name no schedule that was refused by the time that they are due."""
    for request in TRAFFIC:
        if not any(schedule_id in request["path"] for schedule_id in refused):
            yield request


@contextmanager
def letting_runs_end(outcome: Path, exit_code: str) -> Iterator[None]:
    outcome.write_text(exit_code)
    yield
    outcome.unlink()


@pytest.fixture
async def outcome(rota: Rota) -> Path:
    """The connected systems that the recording names. Their runs end when this file says how."""
    path = rota.root / "outcome"
    program = rota.script("run.sh", f"#!/bin/sh\nuntil test -s {path}; do sleep 0.02; done\nexit $(cat {path})\n")
    for name, profiles in (("HR", ("Import", "Sync")), ("AD", ("Import", "Export"))):
        system = {"name": name, "connectorName": "Command", "settings": {"executablePath": program}}
        created = await rota.http.post("/api/v1/synchronisation/connected-systems", json=system)
        for profile in profiles:
            await rota.http.post(f"{created.headers['location']}/run-profiles", json={"name": profile})
    return path


# One catalogue will do: what the databases do differently is tested elsewhere.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_module_gets_what_it_reads(rota: Rota, outcome: Path) -> None:
    ids, refused, kept, sent = Ids(), set[str](), set[str](), 0
    for request in requests_of(refused):
        body = None if request["body"] is None else ids.translated(json.dumps(request["body"])).encode()
        headers = HEADERS if body is not None else HEADERS | {"Content-Length": "0"}
        path = ids.translated(request["path"])
        if request["n"] in ENDED:
            exit_code, status = ENDED[request["n"]]
            with letting_runs_end(outcome, exit_code):
                assert (await rota.ended(path.rpartition("/")[2]))["status"] == status

        answer = await rota.http.request(request["method"], path, content=body, headers=headers)

        sent += 1
        expected, _ = OTHERWISE.get(request["n"], (request["status"], None))
        assert answer.status_code == expected, f"{request['n']} {request['cmdlet']}: {answer.text}"
        check_what_is_read(request, answer)
        if request["n"] in OTHERWISE:
            refused.add(request["answerId"])
        elif answer.status_code == 204:
            kept.remove(path.partition("?")[0].rpartition("/")[2])
        elif answer.is_success:
            ids.learn(request, answer.json())
        if answer.status_code == 201:
            kept.add(answer.json()["id"])
        if path == "/api/v1/schedules?page=1&pageSize=100":
            assert {item["id"] for item in answer.json()["items"]} == kept
        if request["cmdlet"] == "Get-JIMSchedule list, last execution columns":
            [ran] = [item for item in answer.json()["items"] if item["lastExecutionId"]]
            assert {name: ran[name] for name in LAST_OF_ALL} == LAST_OF_ALL
            assert ran["lastExecutionCompletedAt"]
            assert ran["lastExecutionErrorMessage"]
    assert (len(TRAFFIC), sent) == (173, 159)
    assert len(refused) == len(OTHERWISE)
    assert not kept
