"""The double of JIM's API answers as JIM was seen to answer, where that is not what one would expect."""

import math
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.jim.double import STRANGERS_A_MINUTE, JimDouble
from tests.jim.state import RunProfile
from tests.waiting import eventually

EXECUTE = "/synchronisation/connected-systems/3/run-profiles/7/execute"


@pytest.fixture(scope="module")
def server() -> Iterator[JimDouble]:
    with JimDouble() as server:
        yield server


@pytest.fixture
def jim(server: JimDouble) -> JimDouble:
    server.reset()
    return server


@pytest.fixture
def profile(jim: JimDouble) -> RunProfile:
    return jim.state.add_profile(7, "Full Import", jim.state.add_system(3, "HR"))


@pytest.fixture
async def http(jim: JimDouble) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{jim.url}/api/v1", headers={"X-API-Key": jim.key.secret}) as http:
        yield http


async def get(http: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def ended(http: httpx.AsyncClient, run: dict[str, str]) -> dict[str, Any]:
    async def gone() -> bool:
        return (await http.get(f"/worker-tasks/{run['taskId']}")).status_code == 404

    await eventually(gone)
    activity: dict[str, Any] = await get(http, f"/activities/{run['activityId']}")
    return activity


async def test_a_run_from_its_request_to_its_end(http: httpx.AsyncClient, profile: RunProfile) -> None:
    profile.work.held = True
    answer = await http.post(EXECUTE)
    assert answer.status_code == 202
    run = answer.json()
    assert run["message"] == "Run Profile 'Full Import' has been queued for execution."
    assert (await get(http, f"/activities/{run['activityId']}"))["status"] == "InProgress"

    async def half_way() -> dict[str, Any] | None:
        progress: dict[str, Any] = await get(http, f"/activities/{run['activityId']}/progress")
        return progress if progress["objectsProcessed"] == 10 else None

    progress = await eventually(half_way)
    assert progress is not None
    assert (progress["currentPhase"], progress["objectsToProcess"]) == ("Synchronise", 20)
    assert (await get(http, f"/worker-tasks/{run['taskId']}"))["status"] == "Processing"
    assert [task["id"] for task in (await get(http, "/worker-tasks"))["items"]] == [run["taskId"]]
    profile.work.held = False
    activity = await ended(http, run)
    assert activity["status"] == "Complete"
    assert activity["connectedSystemRunProfileId"] == 7
    assert activity["created"].endswith("+00:00")


async def test_runs_go_one_at_a_time_and_repetitions_are_runs(
    http: httpx.AsyncClient, jim: JimDouble, profile: RunProfile
) -> None:
    profile.work.held = True
    first, second = [(await http.post(EXECUTE)).json() for _ in range(2)]

    async def statuses() -> bool:
        states = {task["id"]: task["status"] for task in (await get(http, "/worker-tasks"))["items"]}
        return states == {first["taskId"]: "Processing", second["taskId"]: "Queued"}

    await eventually(statuses)
    profile.work.held = False
    assert (await ended(http, first))["status"] == (await ended(http, second))["status"] == "Complete"
    assert len(jim.state.runs_of(profile)) == 2


async def test_a_cancelled_run_reads_in_progress_again_and_a_queued_one_does_not(
    http: httpx.AsyncClient, jim: JimDouble, profile: RunProfile
) -> None:
    jim.state.cancelled_reads_in_progress_after = 0.05
    profile.work.held = True
    running, queued = [(await http.post(EXECUTE)).json() for _ in range(2)]

    async def is_running() -> bool:
        return bool((await get(http, f"/worker-tasks/{running['taskId']}"))["status"] == "Processing")

    await eventually(is_running)
    for run in (queued, running):
        answer = await http.post(f"/worker-tasks/{run['taskId']}/cancel")
        assert (answer.status_code, answer.content) == (202, b"")
    assert (await ended(http, queued))["status"] == "Cancelled"
    await ended(http, running)

    async def relapsed() -> bool:
        return bool((await get(http, f"/activities/{running['activityId']}"))["status"] == "InProgress")

    await eventually(relapsed)
    assert (await get(http, f"/activities/{queued['activityId']}"))["status"] == "Cancelled"
    assert (await http.post(f"/worker-tasks/{running['taskId']}/cancel")).status_code == 404


async def test_the_probe_finds_runs_newest_first(http: httpx.AsyncClient, jim: JimDouble, profile: RunProfile) -> None:
    jim.state.clock_offset = timedelta(hours=-2)
    other = jim.state.add_profile(8, "Export", profile.system)
    jim.state.queue_run(profile, by=None)
    jim.state.queue_run(other, by=jim.key)
    runs = [(await http.post(EXECUTE)).json()["activityId"] for _ in range(2)]
    query = {
        "targetType": "ConnectedSystemRunProfile",
        "operation": "Execute",
        "connectedSystem": "HR",
        "runProfile": "Full Import",
        "initiatedById": str(jim.key.id),
    }
    oldest_first = await get(http, "/activities", **query)
    assert [item["id"] for item in oldest_first["items"]] == runs
    newest = await get(http, "/activities", **query, sortBy="created", sortDirection="desc", pageSize=1)
    assert [item["id"] for item in newest["items"]] == runs[1:]
    assert (newest["totalCount"], newest["totalPages"], newest["hasNextPage"]) == (2, 2, True)
    since = newest["items"][0]["created"]
    assert [item["id"] for item in (await get(http, "/activities", **query, createdFrom=since))["items"]] == runs[1:]
    late = datetime.fromisoformat(since) + timedelta(seconds=1)
    assert (await get(http, "/activities", createdFrom=late.isoformat()))["items"] == []


async def test_a_restart_abandons_what_ran_and_runs_what_was_queued(
    http: httpx.AsyncClient, jim: JimDouble, profile: RunProfile
) -> None:
    profile.work.held = True
    running, queued = [(await http.post(EXECUTE)).json() for _ in range(2)]

    async def is_running() -> bool:
        return bool((await get(http, f"/worker-tasks/{running['taskId']}"))["status"] == "Processing")

    await eventually(is_running)
    jim.stop()
    with pytest.raises(httpx.ConnectError):
        await http.get("/health")
    profile.work.held = False
    jim.start()
    abandoned = await ended(http, running)
    assert (abandoned["status"], abandoned["errorMessage"][:18]) == ("FailedWithError", "Task was abandoned")
    assert (await ended(http, queued))["status"] == "Complete"


async def test_without_its_database_a_valid_key_is_refused(http: httpx.AsyncClient, jim: JimDouble) -> None:
    jim.state.database_is_up = False
    refused = await http.get("/schedules")
    assert (refused.status_code, refused.json()) == (
        401,
        {"error": "Unauthorized", "message": "Authentication required"},
    )
    ready = await http.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "not_ready")
    assert (await get(http, "/health"))["status"] == "healthy"
    jim.state.database_is_up = True
    assert (await get(http, "/health/ready"))["status"] == "ready"
    assert not (await get(http, "/userinfo"))["authorised"]


async def test_rate_limits(http: httpx.AsyncClient, jim: JimDouble) -> None:
    jim.requests_a_minute = 3
    answers = [await http.get("/schedules") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].json()["code"] == "TOO_MANY_REQUESTS"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert (await http.get("/health")).status_code == 200
    wrong = {"X-API-Key": "jim_ak_0"}
    statuses = [(await http.get("/schedules", headers=wrong)).status_code for _ in range(STRANGERS_A_MINUTE + 1)]
    assert statuses == [401] * STRANGERS_A_MINUTE + [429]


async def test_faults(http: httpx.AsyncClient, jim: JimDouble, profile: RunProfile) -> None:
    jim.fail("POST", ".*/execute", lost=True, acted=True)
    jim.fail("POST", ".*/execute", status=500)
    jim.fail("GET", "/health", delay=math.inf, times=1)
    jim.fail("GET", "/schedules", status=429, retry_after=7)
    with pytest.raises(httpx.RemoteProtocolError):
        await http.post(EXECUTE)
    assert len(jim.state.runs_of(profile)) == 1
    assert (await http.post(EXECUTE)).status_code == 500
    assert len(jim.state.runs_of(profile)) == 1
    with pytest.raises(httpx.ReadTimeout):
        await http.get("/health", timeout=0.05)
    limited = await http.get("/schedules")
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "7")
    assert (await http.get("/schedules")).status_code == 200
    assert jim.count("POST", ".*/execute") == 2


async def test_lists_of_systems_profiles_and_schedules(
    http: httpx.AsyncClient, jim: JimDouble, profile: RunProfile
) -> None:
    jim.state.add_system(4, "Directory", object_count=5)
    systems = "/synchronisation/connected-systems"
    assert [item["name"] for item in (await get(http, systems))["items"]] == ["HR", "Directory"]
    filtered = await get(http, systems, filter="objectCount:gte:5", sortBy="name", sortDirection="desc")
    assert [item["id"] for item in filtered["items"]] == [4]
    assert (await http.get(systems, params={"sortDirection": "up"})).status_code == 400
    assert (await get(http, systems, pageSize=1, page=2))["items"][0]["id"] == 4
    profiles = await get(http, f"{systems}/3/run-profiles")
    assert [(item["id"], item["runType"]) for item in profiles] == [(profile.id, "FullImport")]
    assert (await http.get(f"{systems}/5/run-profiles")).json()["code"] == "NOT_FOUND"
    assert (await http.post(f"{systems}/4/run-profiles/7/execute")).status_code == 404

    schedule = jim.state.add_schedule("Nightly", [{"connectedSystemId": 3, "runProfileId": 7}], isEnabled=True)
    listed = await get(http, "/schedules", search="NIGHT")
    assert listed["items"][0]["stepCount"] == 1
    assert "steps" not in listed["items"][0]
    detail = await get(http, f"/Schedules/{schedule['id'].replace('-', '')}/")
    assert (detail["patternType"], detail["steps"][0]["runProfileId"]) == ("SpecificTimes", 7)
    assert (await get(http, "/schedules", page=2))["totalCount"] == 0
    assert (await http.get(f"/schedules/{jim.key.id}")).json()["code"] == ""
    assert (await http.get("/schedules/nothing")).headers["content-type"].startswith("text/html")
    assert (await http.post("/schedules/nothing")).content == b""


async def test_its_clock_is_its_own(http: httpx.AsyncClient, jim: JimDouble) -> None:
    jim.state.clock_offset = timedelta(days=-1)
    timestamp = datetime.fromisoformat((await get(http, "/health"))["timestamp"])
    assert abs(timestamp.timestamp() - (time.time() - 86400)) < 60
